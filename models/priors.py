"""Priors p(z) over one vector, as a setting of the models that take one.

    standard normal   N(0, I)
    mixture           Σₖ πₖ N(z; mₖ, diag(sₖ²)), everything learned
    VampPrior         1/K Σₖ q(z | uₖ): an encoder's posteriors at K learned pseudo-inputs (Tomczak and Welling 2018)

The best prior for a guide is its aggregate posterior E_x[q(z | x)]; the second and third can come near it.
To add one: copy :class:`MixtureOfGaussians` and name it in ``ppl_vae/registry/factories.py``, or leave it in your
own file and pass ``--prior path/to/file.py:Mine``. Keyword-only parameters of the constructor are its settings
(:mod:`ppl_vae.registry.settings`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, constraints

from ppl_vae.networks.dense import positive
from ppl_vae.programs.log_weights import log_sum_exp
from ppl_vae.runtime.config import Few

NUM_COMPONENTS = 100

Component = Callable[[Tensor], dist.TorchDistribution]

# Numbers of z, a copy for each component, that are scored at once: a minibatch in one piece, and of an evaluation's
# many draws so many that they take some hundred megabytes and not K times those of the draws.
_CALL_ELEMENTS = 2**24


class Prior(nn.Module, ABC):
    """p(z) over R^D.

    Args:
        latent_dim: D.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self) -> dist.TorchDistribution:
        """The distribution: batch shape ``()``, event shape ``(latent_dim,)``."""


class StandardNormal(Prior):
    """N(0, I)."""

    loc: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution, see :class:`Prior`."""
        prior: dist.TorchDistribution = dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1)
        return prior


class MixtureOfGaussians(Prior):
    """Σₖ πₖ N(z; mₖ, diag(sₖ²)) with K components; it starts at equal weights, unit scales and means from N(0, I).

    Args:
        latent_dim: D.
        num_components: How many components, K.
    """

    def __init__(self, latent_dim: int, *, num_components: Few = NUM_COMPONENTS) -> None:
        super().__init__(latent_dim)
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.loc = nn.Parameter(torch.randn(num_components, latent_dim))
        self.raw_scale = nn.Parameter(torch.zeros(num_components, latent_dim))

    def forward(self) -> dist.TorchDistribution:
        """The distribution, see :class:`Prior`."""
        return Mixture(self.logits, torch.cat([self.loc, self.raw_scale], dim=-1), _diagonal, self.latent_dim)


def _diagonal(params: Tensor) -> dist.TorchDistribution:
    loc, raw_scale = params.chunk(2, dim=-1)
    component: dist.TorchDistribution = dist.Normal(loc, positive(raw_scale)).to_event(1)
    return component


class VampPrior(Prior):
    """1/K Σₖ q(z | uₖ), q the amortized guide's: the guide is to be made of this very encoder and family.

    Args:
        family: q's, with a density.
        encoder: q's, from x ``(K, *event)``, and labels ``(K,)`` where the guide reads them, to parameters of q.
        x_mean: mean of the training data, ``(*event)``, in [0, 1], around which the pseudo-inputs start.
        num_components: How many components, K.
        num_classes: pseudo-input k has label k mod ``num_classes``; 0 if the encoder reads x alone.
    """

    y: Tensor | None

    def __init__(
        self,
        family: nn.Module,
        encoder: nn.Module,
        x_mean: Tensor,
        *,
        num_components: Few = NUM_COMPONENTS,
        num_classes: int = 0,
    ) -> None:
        super().__init__(int(family.latent_dim))  # type: ignore[arg-type]
        self.family, self.encoder = family, encoder
        centre = torch.logit(x_mean.clamp(0.01, 0.99))
        # Noise of a logit or so: pseudo-inputs that were all alike would stay so.
        self.raw_inputs = nn.Parameter(centre + torch.randn(num_components, *x_mean.shape))
        labels = torch.arange(num_components) % num_classes if num_classes else None
        self.register_buffer("y", labels, persistent=False)

    def forward(self) -> dist.TorchDistribution:
        """The distribution, see :class:`Prior`."""
        inputs = self.raw_inputs.sigmoid()
        params: Tensor = self.encoder(inputs) if self.y is None else self.encoder(inputs, self.y)
        return Mixture(torch.zeros_like(params[:, 0]), params, self.family, self.latent_dim)


class Mixture(dist.TorchDistribution):
    """A mixture of distributions over vectors.

    Not torch's ``MixtureSameFamily``, whose support is one that no map to and from real numbers is known for, and whose
    draws are one from each of the K components, K − 1 of them thrown away.

    Args:
        logits: of the weights, ``(K,)``.
        params: of the components, ``(K, P)``.
        component: from parameters ``(..., P)`` to a distribution, batch shape ``(...)``, event shape ``(D,)``.
        latent_dim: D.
        batch_shape: of independent draws from it.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol
    support = constraints.real_vector

    def __init__(
        self, logits: Tensor, params: Tensor, component: Component, latent_dim: int, batch_shape: Any = ()
    ) -> None:
        self.logits, self.params, self.component = logits, params, component
        super().__init__(torch.Size(batch_shape), torch.Size((latent_dim,)), validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> "Mixture":
        """The same for a larger batch."""
        return Mixture(self.logits, self.params, self.component, self.event_shape[0], batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log Σₖ πₖ pₖ(z), ``(..., D) -> (...)``, in nats."""
        each = []
        for params in self.params.split(max(1, _CALL_ELEMENTS // max(1, value.numel()))):
            copies = value.unsqueeze(-2).expand(*value.shape[:-1], len(params), -1)  # a flow does not broadcast
            each.append(self.component(params).log_prob(copies))
        return log_sum_exp(torch.cat(each, dim=-1) + self.logits.log_softmax(-1), dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, without gradients: which component, then z from it."""
        with torch.no_grad():
            chosen = Categorical(logits=self.logits).sample(self._extended_shape(sample_shape)[:-1])
            drawn: Tensor = self.component(self.params[chosen]).sample()
        return drawn
