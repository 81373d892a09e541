"""What a decoder's output means: likelihoods p(x | z), independent pixels given the output η.

    Bernoulli              x in {0, 1},   P(x = 1) = 1 / (1 + e^−η)
    continuous Bernoulli   x in [0, 1],   p(x) = η e^{ηx} / (e^η − 1)       (Loaiza-Ganem and Cunningham 2019)
    Normal                 x real,        p(x) = N(x; η, σ²), one σ for all pixels, learned
    Poisson                x = 0, 1, …,   P(x) = λˣ e^−λ / x!, λ = e^η

The first is a probability, of bits, and the last one, of counts; the other two are densities, of grey levels, and their
nats compare with those of no Bernoulli. To add one: copy a class and name it in ``ppl_vae/registry/factories.py``, or
leave it in your own file and pass ``--likelihood path/to/file.py:Mine``. Keyword-only parameters of the constructor are
its settings (:mod:`ppl_vae.registry.settings`).
"""

from abc import ABC, abstractmethod
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae.networks.dense import positive, raw_scale

# A pixel that is never lit would put its logit at minus infinity (the clip is Burda et al.'s, 2016).
_MEAN_RANGE = (0.001, 0.999)
# Half a step between 256 grey levels: below it a density says nothing of the picture that was stored.
_SMALLEST_SCALE = 0.5 / 255
_FIRST_SCALE = 12**-0.5  # of a pixel that is uniform on [0, 1]
# σ is one number that all pixels wait for, and Adam's steps are of one length: so they are made longer for it. On the
# digits 20 epochs then end at 22 nats instead of 9.
_HASTE = 10.0
_LOG_RATES = (-20.0, 20.0)  # of a count of 2e-9 and of 5e8: beyond them float32 has no use for a rate
_NEAR_ZERO = 0.1  # |η| below which series are exact to rounding and closed forms are not


class Likelihood(nn.Module, ABC):
    """p(x | z) given the decoder's output; the module's docstring has them all."""

    @abstractmethod
    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output η ``(..., *event)``, the event's number of dimensions, to a distribution over x ``(*event)``."""

    @abstractmethod
    def start(self, x_mean: Tensor) -> Tensor:
        """The output that a decoder does well to begin with for data of mean ``x_mean``, in [0, 1]: ``(*event)``."""


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


class Normal(Likelihood):
    """x ~ N(η, σ²), one σ for all pixels: a density of grey levels, its scale learned.

    Attributes:
        raw_scale: σ before :func:`ppl_vae.networks.dense.positive`, by ten, ``()``; σ starts at the scale of a uniform
            pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw_scale = nn.Parameter(raw_scale(torch.tensor(_FIRST_SCALE), _SMALLEST_SCALE) / _HASTE)

    @property
    def scale(self) -> Tensor:
        """σ, ``()``, above half a step of 256 grey levels."""
        return positive(_HASTE * self.raw_scale, _SMALLEST_SCALE)

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        likelihood: dist.TorchDistribution = dist.Normal(output, self.scale).to_event(event_dim)
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """The mean itself."""
        return x_mean


class Poisson(Likelihood):
    """x ~ Poisson(e^η): for counts."""

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        rate = output.clamp(*_LOG_RATES).exp()
        likelihood: dist.TorchDistribution = dist.Poisson(rate).to_event(event_dim)
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """Where E[x] is the mean."""
        return x_mean.clamp(min=_MEAN_RANGE[0]).log()


class Tilted(dist.TorchDistribution):
    """The continuous Bernoulli in terms of its logit η alone: an exponential tilt of the uniform distribution.

    torch's own clamps the probability where float32 ends, so that from |η| = 16 on its density no longer integrates to
    one and its gradient is zero (at η = 40 the integral is 0.4). Here

        log p(x) = η (x − ½) − log(sinh(η/2) / (η/2)),   E[x] = ½ + ½ coth(η/2) − 1/η

    Args:
        logits: η, any shape.
    """

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
