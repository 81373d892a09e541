"""Likelihoods of counts: Poisson, negative binomial, and the latter with more zeros; for rows of unlike totals."""

from typing import Any, Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import softplus

from ppl_vae.models.likelihoods.base import HASTE, Likelihood
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.errors import UserError

SizeFactors = Literal["none", "total"]

_LOG_RATES = (-20.0, 20.0)  # of a count of 2e-9 and of 5e8: beyond them float32 has no use for a rate
_SMALLEST_MEAN = 0.001  # that a feature which was never counted starts with
_LOG_DISPERSIONS = (-10.0, 15.0)  # beyond them it is all zeros, or a Poisson, to float32
_FIRST_DISPERSIONS = (0.1, 100.0)
_STIRLING = 10.0  # the dispersion from which on Stirling's series is exact to rounding, and differences are not
_FIRST_ZEROS = -3.0  # the logit of the share of zeros that are none of the counting: 5 %


class Counts(Likelihood):
    """x = 0, 1, … of mean s e^η: η from the decoder, s the size of the row.

    With `size_factors` total, s is the total of what was seen of a row over what the data has there on average, so that
    the decoder says what share of a row is whose. A row of zeros has s = 1, as one drawn from the prior.
    The density is then one of x given its row's total, and adds up to at most 1 over all x of that total. A model that
    calls the likelihood itself, not :meth:`of`, has s = 1 for every row.

    Args:
        x_mean: mean of the data, ``(*event)``; not needed by a Poisson without size factors.
        size_factors: Whether the mean counts of a row are proportional to its total (total), as of cells that were
            sequenced to unlike depths, or not (none).

    Attributes:
        usual: the data's mean, ``(*event)``, a buffer; without size factors there is none.
    """

    usual: Tensor

    def __init__(self, x_mean: Tensor | None = None, *, size_factors: SizeFactors = "none") -> None:
        super().__init__()
        self.size_factors = size_factors
        if size_factors == "total":
            if x_mean is None:
                raise UserError("`size_factors` total is relative to the data; give x_mean.")
            self.register_buffer("usual", x_mean.clone())

    @property
    def given_totals(self) -> bool:
        """Whether the density is one given the total of each row, as estimates then say."""
        return self.size_factors == "total"

    def start(self, x_mean: Tensor) -> Tensor:
        """Where E[x] is the mean."""
        return x_mean.clamp(min=_SMALLEST_MEAN).log()

    def of(self, output: Tensor, batch: Batch) -> dist.TorchDistribution:
        """What a model observes a batch under, see :meth:`Likelihood.of`."""
        return super().of(output if self.size_factors == "none" else self.sized(output, self.log_size(batch)), batch)

    def log_size(self, batch: Batch) -> Tensor:
        """log s, ``(batch, 1, ...)`` as x."""
        counted = torch.ones_like(batch.x) if batch.mask is None else batch.mask.to(batch.x)
        total, usual = ((value * counted).flatten(1).sum(1) for value in (batch.x, self.usual))
        some = (total > 0) & (usual > 0)
        ratio = torch.where(some, total, 1.0) / torch.where(some, usual, 1.0)
        return ratio.log().reshape(-1, *[1] * (batch.x.dim() - 1))

    def sized(self, output: Tensor, log_size: Tensor) -> Tensor:
        """The output of a row of that size."""
        return output + log_size


class Poisson(Counts):
    """x ~ Poisson(s e^η): counts whose variance is their mean.

    P(x) = λˣ e^−λ / x!, λ = s e^η
    """

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        rate = output.clamp(*_LOG_RATES).exp()
        likelihood: dist.TorchDistribution = dist.Poisson(rate).to_event(event_dim)
        return likelihood


class NegativeBinomial(Counts):
    """x ~ NB(μ = s e^η, r): counts that vary more than a Poisson's.

        P(x) = Γ(x + r) / (Γ(r) x!) · (r / (r + μ))^r · (μ / (r + μ))^x,   E[x] = μ,   Var[x] = μ + μ² / r

    A Poisson whose rate is gamma-distributed with r as its shape; r → ∞ is the Poisson itself. The dispersion r is
    learned, one a feature, and starts where variance and mean of the data have it, at most at 100.

    Args:
        x_mean: mean of the data, ``(*event)``.
        x_std: its standard deviations, likewise.

    Attributes:
        log_dispersion: log r, by ten, ``(*event)``.
    """

    def __init__(self, x_mean: Tensor, x_std: Tensor, *, size_factors: SizeFactors = "none") -> None:
        super().__init__(x_mean, size_factors=size_factors)
        excess = (x_std**2 - x_mean).clamp(min=torch.finfo(x_mean.dtype).tiny)
        first = (x_mean.clamp(min=_SMALLEST_MEAN) ** 2 / excess).clamp(*_FIRST_DISPERSIONS)
        self.log_dispersion = nn.Parameter(first.log() / HASTE)

    @property
    def dispersion(self) -> Tensor:
        """r, ``(*event)``."""
        return (HASTE * self.log_dispersion).clamp(*_LOG_DISPERSIONS).exp()

    def counted(self, log_mean: Tensor) -> "GammaPoisson":
        """The distribution of counts of that mean, without further zeros."""
        log_dispersion = (HASTE * self.log_dispersion).clamp(*_LOG_DISPERSIONS)
        return GammaPoisson(*torch.broadcast_tensors(log_mean.clamp(*_LOG_RATES), log_dispersion))

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        likelihood: dist.TorchDistribution = self.counted(output).to_event(event_dim)  # type: ignore[no-untyped-call]
        return likelihood


class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """x = 0 with probability π, else x ~ NB(μ, r): counts some of which were lost.

        P(x) = π [x = 0] + (1 − π) NB(x; μ, r),   E[x] = (1 − π) μ

    log μ and the logit of π are the decoder's, two numbers for each of x (Lopez et al. 2018).
    """

    def start(self, x_mean: Tensor) -> Tensor:
        """Where μ is the mean and few zeros are lost counts."""
        log_mean = super().start(x_mean)
        return torch.stack([log_mean, torch.full_like(log_mean, _FIRST_ZEROS)], dim=-1)

    def sized(self, output: Tensor, log_size: Tensor) -> Tensor:
        """See :meth:`Counts.sized`; what is lost is as probable in a row of any size."""
        log_mean, zeros = output.unbind(-1)
        return torch.stack([log_mean + log_size, zeros], dim=-1)

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        log_mean, zeros = output.unbind(-1)
        made: Any = _Inflated
        likelihood: dist.TorchDistribution = made(
            self.counted(log_mean), gate_logits=zeros, validate_args=False
        ).to_event(event_dim)
        return likelihood


class _Inflated(dist.ZeroInflatedDistribution):
    called = "zero-inflated-negative-binomial"


class GammaPoisson(dist.TorchDistribution):
    """The negative binomial in terms of log μ and log r, to rounding for any r: torch's own, in terms of r and a
    probability, loses the difference of two log-gammas where r is large and the distribution near a Poisson.

        log P(x) = A(x, r) + x log μ − (x + r) log(1 + μ / r) − log x!,   A = log Γ(x + r) − log Γ(r) − x log r

    and A by Stirling's series for large r.

    Args:
        log_mean: log μ, any shape.
        log_dispersion: log r, of the same shape.
    """

    called = "negative-binomial"
    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol
    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor) -> None:
        self.log_mean, self.log_dispersion = log_mean, log_dispersion
        super().__init__(log_mean.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: object = None) -> "GammaPoisson":
        """The same for a larger batch."""
        return GammaPoisson(self.log_mean.expand(batch_shape), self.log_dispersion.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(x), in nats."""
        r = self.log_dispersion.exp()
        large = r > _STIRLING
        s = torch.where(large, r, _STIRLING)  # whose series is finite, as its gradient
        series = (s + value - 0.5) * torch.log1p(value / s) - value + _remainder(value + s) - _remainder(s)
        t = torch.where(large, 1.0, r)
        direct = torch.lgamma(value + t) - torch.lgamma(t) - value * t.log()
        of_dispersion = torch.where(large, series, direct)
        beside = (value + r) * softplus(self.log_mean - self.log_dispersion)
        log_prob: Tensor = of_dispersion + value * self.log_mean - beside - torch.lgamma(value + 1)
        return log_prob

    @property
    def mean(self) -> Tensor:
        """μ."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """μ + μ² / r."""
        return self.mean + (2 * self.log_mean - self.log_dispersion).exp()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A Poisson draw of a gamma draw."""
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            r = self.log_dispersion.exp().expand(shape)
            rate = torch._standard_gamma(r) / r * self.log_mean.exp()
            return torch.poisson(rate)


def _remainder(t: Tensor) -> Tensor:
    """log Γ(t) − ((t − ½) log t − t + ½ log 2π), by Stirling's series."""
    inverse = 1 / t
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square / 1260))
