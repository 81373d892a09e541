"""Probabilistic PCA: the model whose every answer is known in closed form, hence the project's ruler.

    z ~ N(0, I),   x | z ~ N(W z + μ, σ² I)

With M = WᵀW + σ²I and Λ = M/σ² (the posterior precision):

    log p(x)  = log N(x; μ, WWᵀ + σ²I)
    p(z | x)  = N(M⁻¹Wᵀ(x − μ), σ²M⁻¹)
    best diagonal q: variances 1/Λᵢᵢ, losing ½ log(∏ᵢ Λᵢᵢ / |Λ|) nats a datapoint, whatever x

Source: Tipping and Bishop 1999.
"""

from collections.abc import Sequence
from math import prod
from typing import Self

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_vae.models.base import Model
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.holes import seen
from ppl_vae.runtime.errors import UserError


class LinearGaussian(Model):
    """Probabilistic PCA, x = Wz + μ + σε; the closed forms are in the module's docstring.

    Args:
        event_shape: shape of one observation; D is its number of elements.
        latent_dim: size of z, Q. Below D for the maximum-likelihood fit to exist.

    Attributes:
        weight: W, ``(D, Q)``; starts at N(0, 0.1²) draws.
        mean: μ, ``(D,)``; starts at 0.
        log_scale: log σ, ``()``; starts at 0.
    """

    loc: Tensor

    def __init__(self, event_shape: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        size = prod(self.event_shape)
        self.weight = nn.Parameter(0.1 * torch.randn(size, latent_dim))
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, Q)``, observe x ``(batch, *event)``, real."""
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1))
            loc = (z @ self.weight.mT + self.mean).unflatten(-1, self.event_shape)
            likelihood = dist.Normal(loc, self.log_scale.exp()).to_event(len(self.event_shape))
            x: Tensor = pyro.sample("x", seen(likelihood, batch), obs=batch.x)
        return x

    def log_px(self, x: Tensor) -> Tensor:
        """log p(x), exactly: ``(..., *event) -> (...)``, in nats."""
        scale = self.log_scale.exp() * torch.ones_like(self.mean)
        marginal = torch.distributions.LowRankMultivariateNormal(self.mean, self.weight, scale**2)
        log_px: Tensor = marginal.log_prob(x.flatten(x.dim() - len(self.event_shape)))
        return log_px

    def posterior(self, x: Tensor) -> torch.distributions.MultivariateNormal:
        """p(z | x), exactly: ``(..., *event)`` to a distribution of batch shape ``(...)`` over z ``(Q,)``."""
        centred = x.flatten(x.dim() - len(self.event_shape)) - self.mean
        precision = self._precision()
        pull = centred @ self.weight / self.log_scale.exp() ** 2  # (..., Q)
        loc = torch.linalg.solve(precision, pull.unsqueeze(-1)).squeeze(-1)
        return torch.distributions.MultivariateNormal(loc, precision_matrix=precision)

    def best_diagonal_gap(self) -> Tensor:
        """What the best diagonal Gaussian q loses against log p(x): ½ log(∏Λᵢᵢ / |Λ|), in nats per datapoint."""
        precision = self._precision()
        return 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))

    def _precision(self) -> Tensor:
        """Λ = WᵀW/σ² + I, ``(Q, Q)``."""
        eye = torch.eye(len(self.loc), dtype=self.weight.dtype, device=self.weight.device)
        return self.weight.mT @ self.weight / self.log_scale.exp() ** 2 + eye

    @classmethod
    def maximum_likelihood(cls, x: Tensor, latent_dim: int) -> Self:
        """The global maximum of the likelihood, from the eigenvalues λ₁ ≥ λ₂ ≥ … of the sample covariance.

        σ² is the mean of the discarded eigenvalues, W = U (Λ_Q − σ²I)^½ (Tipping and Bishop 1999, section 3.2).

        Args:
            x: the data, ``(N, *event)``, N ≥ 2.
            latent_dim: Q, from 1 to D − 1.

        Raises:
            UserError: Q is not below D, or the data spans no more than Q dimensions (the likelihood has no maximum).
        """
        flat = x.flatten(1)
        if not 1 <= latent_dim < flat.shape[1]:
            raise UserError(f"latent_dim must be from 1 to {flat.shape[1] - 1} for this data, got {latent_dim}.")
        covariance = torch.cov(flat.mT, correction=0).reshape(flat.shape[1], flat.shape[1])
        values, vectors = torch.linalg.eigh(covariance)  # ascending
        noise = values[:-latent_dim].mean()
        if noise <= torch.finfo(x.dtype).eps * values[-1]:
            raise UserError(f"the data spans only {latent_dim} dimensions: take a smaller latent_dim.")
        model = cls(x.shape[1:], latent_dim).to(x)
        with torch.no_grad():
            model.weight.copy_(vectors[:, -latent_dim:] * (values[-latent_dim:] - noise).clamp(min=0).sqrt())
            model.mean.copy_(flat.mean(0))
            model.log_scale.copy_(0.5 * noise.log())
        return model
