"""Probabilistic PCA with a second layer: the ruler of hierarchical inference, its every answer in closed form.

    z2 ~ N(0, I),   z1 | z2 ~ N(A z2 + b, τ² I),   x | z1 ~ N(W z1 + μ, σ² I)

    log p(x)       = log N(x; W b + μ, W (A Aᵀ + τ² I) Wᵀ + σ² I)
    p(z2, z1 | x)  = N(Λ⁻¹ h, Λ⁻¹),   Λ = [[I + AᵀA/τ², −Aᵀ/τ²], [−A/τ², I/τ² + WᵀW/σ²]],
                                      h = (−Aᵀb/τ², b/τ² + Wᵀ(x − μ)/σ²)
    p(z2 | z1)     = N(B (z1 − b), (I + AᵀA/τ²)⁻¹),   B = (I + AᵀA/τ²)⁻¹ Aᵀ/τ²,   whatever x

so that a full-rank family and a bottom-up one of full-rank layers both hold the posterior. All of it is conditioning of
Gaussians (Bishop 2006, section 2.3.3).
"""

from collections.abc import Sequence
from math import prod

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from ppl_vae.models.base import Model
from ppl_vae.models.priors import StandardNormal
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.holes import seen


class TwoLayerLinearGaussian(Model):
    """z2 → z1 → x, linear and Gaussian; the closed forms are in the module's docstring.

    Args:
        event_shape: shape of one observation; D is its number of elements.
        latent_dim: size of z1, Q.
        upper_latent_dim: size of z2, P.

    Attributes:
        weight: W, ``(D, Q)``; starts at N(0, 0.1²) draws, as A does.
        mean: μ, ``(D,)``; starts at 0.
        log_scale: log σ, ``()``; starts at 0.
        upper_weight: A, ``(Q, P)``.
        upper_mean: b, ``(Q,)``; starts at 0.
        upper_log_scale: log τ, ``()``; starts at 0.
    """

    def __init__(self, event_shape: Sequence[int], latent_dim: int, upper_latent_dim: int) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        size = prod(self.event_shape)
        self.prior = StandardNormal(upper_latent_dim)
        self.weight = nn.Parameter(0.1 * torch.randn(size, latent_dim))
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.upper_weight = nn.Parameter(0.1 * torch.randn(latent_dim, upper_latent_dim))
        self.upper_mean = nn.Parameter(torch.zeros(latent_dim))
        self.upper_log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        """Sample z2 ``(..., batch, P)`` and z1 ``(..., batch, Q)``, observe x ``(batch, *event)``, real."""
        prior = self.prior()
        with pyro.plate("data", len(batch.x), dim=-1):
            z2 = pyro.sample("z2", prior)
            upper = dist.Normal(z2 @ self.upper_weight.mT + self.upper_mean, self.upper_log_scale.exp())
            z1 = pyro.sample("z1", upper.to_event(1))
            loc = (z1 @ self.weight.mT + self.mean).unflatten(-1, self.event_shape)
            likelihood = dist.Normal(loc, self.log_scale.exp()).to_event(len(self.event_shape))
            x: Tensor = pyro.sample("x", seen(likelihood, batch), obs=batch.x)
        return x

    def log_px(self, x: Tensor) -> Tensor:
        """log p(x), exactly: ``(..., *event) -> (...)``, in nats."""
        factor = self.weight @ torch.cat([self.upper_weight, self.upper_log_scale.exp() * self._eye(self.weight)], 1)
        noise = (2 * self.log_scale).exp() * torch.ones_like(self.mean)
        marginal = LowRankMultivariateNormal(self.weight @ self.upper_mean + self.mean, factor, noise)
        log_px: Tensor = marginal.log_prob(x.flatten(x.dim() - len(self.event_shape)))
        return log_px

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z2, z1 | x), exactly: ``(..., *event)`` to a distribution of batch shape ``(...)`` over ``(P + Q,)``."""
        pull = (x.flatten(x.dim() - len(self.event_shape)) - self.mean) @ self.weight / (2 * self.log_scale).exp()
        from_above = self.upper_mean / (2 * self.upper_log_scale).exp()
        top = (-from_above @ self.upper_weight).expand(*pull.shape[:-1], -1)
        precision = self.precision()
        loc = torch.linalg.solve(precision, torch.cat([top, from_above + pull], dim=-1).unsqueeze(-1)).squeeze(-1)
        return MultivariateNormal(loc, precision_matrix=precision)

    def upper_posterior(self, z1: Tensor) -> MultivariateNormal:
        """p(z2 | z1), exactly: ``(..., Q)`` to a distribution of batch shape ``(...)`` over ``(P,)``."""
        variance = (2 * self.upper_log_scale).exp()
        precision = self.upper_weight.mT @ self.upper_weight / variance + self._eye(self.upper_weight)
        pull = (z1 - self.upper_mean) @ self.upper_weight / variance
        loc = torch.linalg.solve(precision, pull.unsqueeze(-1)).squeeze(-1)
        return MultivariateNormal(loc, precision_matrix=precision)

    def precision(self) -> Tensor:
        """Λ of (z2, z1) given any x, ``(P + Q, P + Q)``; the best diagonal q loses ½ log(∏ᵢ Λᵢᵢ / |Λ|) nats by it."""
        variance = (2 * self.upper_log_scale).exp()
        upper = self.upper_weight / variance  # A/τ²
        top = torch.cat([self.upper_weight.mT @ upper + self._eye(self.upper_weight), -upper.mT], dim=1)
        lower = self.weight.mT @ self.weight / (2 * self.log_scale).exp() + self._eye(self.weight) / variance
        return torch.cat([top, torch.cat([-upper, lower], dim=1)])

    @staticmethod
    def _eye(weight: Tensor) -> Tensor:
        """The identity of the layer that this weight comes from."""
        return torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
