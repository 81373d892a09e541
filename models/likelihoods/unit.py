"""Likelihoods of numbers in [0, 1]: Bernoulli of bits, continuous Bernoulli of grey levels."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from ppl_vae.models.likelihoods.base import Likelihood

# A pixel that is never lit would put its logit at minus infinity (the clip is Burda et al.'s, 2016).
_MEAN_RANGE = (0.001, 0.999)
_NEAR_ZERO = 0.1  # |η| below which series are exact to rounding and closed forms are not


class Bernoulli(Likelihood):
    """x ~ Bernoulli(logits = η): for bits. On grey levels it is no likelihood, and they are labelled so."""

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        # Grey levels are let through, and labelled where they come out; that x is in [0, 1] check_pair sees to.
        likelihood: dist.TorchDistribution = dist.Bernoulli(logits=output, validate_args=False).to_event(event_dim)
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """Where E[x] is the mean, which knows how often each pixel is lit (Burda et al. 2016)."""
        return torch.logit(x_mean.clamp(*_MEAN_RANGE))


class ContinuousBernoulli(Likelihood):
    """x ~ ContinuousBernoulli(logits = η): a density of grey levels in [0, 1]."""

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        likelihood: dist.TorchDistribution = Tilted(output).to_event(event_dim)  # type: ignore[no-untyped-call]
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """The Bernoulli's: E[x] is then nearer to ½ than the mean, but on its side."""
        return torch.logit(x_mean.clamp(*_MEAN_RANGE))


class Tilted(dist.TorchDistribution):
    """The continuous Bernoulli in terms of its logit η alone: an exponential tilt of the uniform distribution.

    torch's own clamps the probability where float32 ends, so that from |η| = 16 on its density no longer integrates to
    one and its gradient is zero (at η = 40 the integral is 0.4). Here

        log p(x) = η (x − ½) − log(sinh(η/2) / (η/2)),   E[x] = ½ + ½ coth(η/2) − 1/η

    Args:
        logits: η, any shape.
    """

    called = "continuous-bernoulli"
    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> "Tilted":
        """The same for a larger batch."""
        return Tilted(self.logits.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x), in nats."""
        half = self.logits.abs() / 2
        near = half < _NEAR_ZERO / 2
        u = torch.where(near, torch.ones_like(half), half)  # whose logarithm and gradient are finite
        far_norm = u + torch.log1p(-torch.exp(-2 * u)) - torch.log(2 * u)
        square = (self.logits / 2) ** 2  # without the absolute value, which has no second derivative at 0
        near_norm = square / 6 - square**2 / 180 + square**3 / 2835
        log_prob: Tensor = self.logits * (value - 0.5) - torch.where(near, near_norm, far_norm)
        return log_prob

    @property
    def mean(self) -> Tensor:
        """E[x], the derivative of the logarithm of the normaliser."""
        half = self.logits / 2
        near = half.abs() < _NEAR_ZERO / 2
        u = torch.where(near, torch.ones_like(half), half)
        offset = torch.where(near, half / 3 - half**3 / 45 + 2 * half**5 / 945, 1 / torch.tanh(u) - 1 / u)
        mean: Tensor = 0.5 + 0.5 * offset
        return mean

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile x with ∫₀ˣ p = value."""
        size = self.logits.abs()
        near = size < 1e-3  # the quantile is then off the uniform one by less than 1e-3 / 8
        u = torch.where(near, torch.ones_like(size), size)
        rising = torch.where(self.logits > 0, value, 1 - value)  # of the mirror image with η > 0
        tiny = torch.finfo(value.dtype).tiny
        quantile = 1 + torch.log((rising + (1 - rising) * torch.exp(-u)).clamp(min=tiny)) / u
        quantile = torch.where(near, rising, quantile).clamp(0.0, 1.0)
        return torch.where(self.logits > 0, quantile, 1 - quantile)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A draw by inversion."""
        shape = self._extended_shape(sample_shape)
        return self.icdf(torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device))
