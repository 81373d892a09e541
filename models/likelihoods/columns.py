"""A likelihood of tables whose columns are of several kinds."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae.models.likelihoods.base import Likelihood
from ppl_vae.models.likelihoods.categories import Blocks
from ppl_vae.models.likelihoods.counts import NegativeBinomial, Poisson
from ppl_vae.models.likelihoods.reals import Normal, StudentT
from ppl_vae.models.likelihoods.unit import Bernoulli
from ppl_vae.runtime.errors import UserError


class Columns(Likelihood):
    """Each column of a table has the likelihood of its kind, all of them independent given η.

        log p(x | z) = Σ of all columns log p(xᵢ | ηᵢ)

    Reals are Normal, counts negative binomial, bits Bernoulli, with a scale or dispersion for each column; of a
    category, a block of columns of which one is 1, it is that one's log-probability, log(e^(ηₖ) / Σⱼ e^(ηⱼ)).

    Args:
        x_mean: mean of each column, ``(D,)``.
        x_std: its standard deviation, likewise.
        kinds: of each column, or of all: reals, counts, bits or category; reals if nobody knows.
        blocks: how many columns stand together, from the first on; more than one in a category alone.
        of_reals: What columns of real numbers have, in a table of several kinds.
        of_counts: What columns of counts have, in a table of several kinds.

    Raises:
        UserError: no table, or kinds and blocks that are not those of D columns.
    """

    def __init__(
        self,
        x_mean: Tensor,
        x_std: Tensor,
        kinds: Sequence[str] = (),
        blocks: Sequence[int] = (),
        *,
        of_reals: Literal["normal", "student-t"] = "normal",
        of_counts: Literal["negative-binomial", "poisson"] = "negative-binomial",
    ) -> None:
        super().__init__()
        if x_mean.dim() != 1:
            raise UserError(
                f"columns are a table's, and an observation here has shape {tuple(x_mean.shape)}; reshape x to (N, D)."
            )
        num = len(x_mean)
        each = list(kinds) * num if len(kinds) == 1 else list(kinds or ["reals"] * num)
        sizes = torch.tensor(list(blocks or [1] * num))
        if len(each) != num or sizes.sum() != num:
            raise UserError(f"kinds are of {len(each)} columns and blocks of {int(sizes.sum())}, and x has {num}.")
        block = torch.arange(len(sizes)).repeat_interleave(sizes)
        makers: dict[str, Callable[[Tensor], Likelihood]] = {
            "reals": lambda here: _REALS[of_reals](x_mean[here], x_std[here], noise_scale="feature"),
            "counts": lambda here: _COUNTS[of_counts](x_mean[here], x_std[here]),
            "bits": lambda _: Bernoulli(),
            "category": lambda here: Blocks(block[here].unique(return_inverse=True)[1]),
        }
        self.parts = nn.ModuleDict()
        for kind in dict.fromkeys(each):
            here = torch.tensor([place for place, other in enumerate(each) if other == kind])
            self.register_buffer(f"columns_of_{kind}", here, persistent=False)
            self.parts[kind] = makers[kind](here)

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        parts = [Part(part(output[..., here], 0), here) for part, here in self._parts()]
        likelihood: dist.TorchDistribution = Beside(parts).to_event(event_dim)  # type: ignore[no-untyped-call]
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """Each column's own."""
        started = torch.empty_like(x_mean)
        for part, here in self._parts():
            started[here] = part.start(x_mean[here])
        return started

    def _parts(self) -> list[tuple[Any, Tensor]]:
        return [(part, getattr(self, f"columns_of_{kind}")) for kind, part in self.parts.items()]


_REALS = {"normal": Normal, "student-t": StudentT}
_COUNTS: dict[str, Callable[[Tensor, Tensor], Likelihood]] = {
    "negative-binomial": NegativeBinomial,
    "poisson": lambda *_: Poisson(),
}


class Part(NamedTuple):
    """A distribution of some columns.

    Args:
        distribution: of batch shape ``(..., n)``.
        columns: which, ``(n,)``.
    """

    distribution: dist.TorchDistribution
    columns: Tensor


class Beside(dist.TorchDistribution):
    """Distributions of single numbers beside each other, as one of all D columns: log p(x) = Σ log p(xᵢ).

    Its batch shape has the columns, so that a part of them may be missing.

    Args:
        parts: that have each column once.
    """

    called = "columns"
    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.order = torch.cat([part.columns for part in parts]).argsort()
        leading = torch.broadcast_shapes(*(part.distribution.batch_shape[:-1] for part in parts))
        super().__init__(torch.Size([*leading, len(self.order)]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Of each column its own."""
        return _EachItsOwn(self)

    def expand(self, batch_shape: Any, _instance: object = None) -> "Beside":
        """The same for a larger batch."""
        leading = torch.Size(batch_shape)[:-1]
        return Beside([Part(each.expand((*leading, len(columns))), columns) for each, columns in self.parts])

    def log_prob(self, value: Tensor) -> Tensor:
        """Of each number, in nats, ``(..., D)``."""
        return self.joined([part.distribution.log_prob(value[..., part.columns]) for part in self.parts])

    @property
    def mean(self) -> Tensor:
        """Of each number."""
        return self.joined([part.distribution.mean for part in self.parts])

    @property
    def variance(self) -> Tensor:
        """Of each number."""
        return self.joined([part.distribution.variance for part in self.parts])

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A draw of each."""
        with torch.no_grad():
            return self.joined([part.distribution.sample(torch.Size(sample_shape)) for part in self.parts])

    def joined(self, values: Sequence[Tensor]) -> Tensor:
        """The parts' numbers, each in its column."""
        return torch.cat(list(values), dim=-1)[..., self.order]


class _EachItsOwn(constraints.Constraint):
    in_words = "in each column what its kind says: counts whole numbers from 0 up, bits 0 and 1, a category one 1"

    def __init__(self, beside: Beside) -> None:
        self.beside = beside

    def check(self, value: Tensor) -> Tensor:
        """Whether each number is one that its column has."""
        found = []
        for distribution, columns in self.beside.parts:
            support: Any = distribution.support
            found.append(support.check(value[..., columns]))
        return self.beside.joined(found)
