"""Predictive checks of a table: statistics of the data beside those of data sets that the pair makes.

    z_n ~ q(z | x_n),  x̃_n ~ p(x | z_n)    for each row n, again and again: replicated data sets x̃¹, …, x̃ᴿ
    p = 2 min(P(T(x̃) ≥ T(x)), P(T(x̃) ≤ T(x)))    for each statistic T

or z_n ~ p(z), which asks the prior and the decoder together. Replicated data sets have the data's labels, totals and
holes. The posterior predictive uses each row twice, so that its p-values are nearer to 1 than chance would have them:
it misses something rather than accuse the model wrongly. Under the prior they are uniform if the model is right. In
both the parameters are held as they were learned, and how sure they are is not counted: of data that is not much
smaller than the training data, not the same and not alike, small differences are no wonder. Holes that depend on
what is in them or beside them make the prior's rows others than those that were seen.

What is called beyond chance is so for all statistics together (:mod:`ppl_vae.predictive.judging`).

Sources: Rubin 1984; Gelman, Meng and Stern 1996; of p-values from few draws, Phipson and Smyth 2010.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from pyro import poutine
from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.checks import check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.predictive.judging import FEWEST, judge
from ppl_vae.predictive.latent_space.codes import GuideFor
from ppl_vae.predictive.statistics import CORRELATION, MEAN, SHARE, SPREAD, ZEROS, Statistics
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import no_x, trace_in_plate
from ppl_vae.programs.pair import frozen, in_particles
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import in_range
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Row, Shown, in_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Latents = Literal["posterior", "prior"]
"""Where the latents of replicated data sets come from."""
Replicates = Annotated[int, Field(ge=20, le=10_000)]

_INTERVAL = (0.025, 0.975)
_ELEMENTS, _DRAWS = 2**23, 2**15  # numbers of replicated data sets, and draws of z, in one call
_SAID, _SHOWN = 4, 12  # statistics in a sentence, and in the table that is printed

_WAYS = {"posterior": "z ~ q(z | x)", "prior": "z ~ p(z)"}


@dataclass(frozen=True, eq=False)
class PredictiveChecks(Shown):
    """Statistics of a table beside those of replicated data sets; S statistics, R data sets, all on the CPU.

    Args:
        columns: what the columns of x are called, D.
        statistics: which, and of which columns.
        data: of the data, ``(S,)``; NaN where it has none.
        draws: of the replicated data sets, ``(R, S)``.
        p_values: two-sided, ``(S,)``.
        p_errors: their Monte Carlo errors, ``(S,)``.
        away: how far the data is from the draws' mean, in standard deviations of the draws, ``(S,)``; of standard
            deviations, of their logarithms. NaN where it is not judged.
        beyond: whether that is beyond chance, all statistics together, bool, ``(S,)``.
        latents: where z comes from.
        num_data: rows, N.
        split: what the data is called.
    """

    columns: tuple[str, ...]
    statistics: Statistics
    data: Tensor
    draws: Tensor = field(repr=False)
    p_values: Tensor
    p_errors: Tensor
    away: Tensor
    beyond: Tensor
    latents: Latents
    num_data: int
    split: str

    def rows(self) -> Sequence[Row]:
        """A row for each statistic, those beyond chance first, then by how far the data is away."""
        low, high = self.ends
        mean = self.draws.mean(0)
        return [
            {
                "statistic": self.statistics.names[place],
                "column": self._columns_of(place),
                "data": float(self.data[place]),
                "draws": float(mean[place]),
                "lower": float(low[place]),
                "upper": float(high[place]),
                "p_value": float(self.p_values[place]),
                "p_error": float(self.p_errors[place]),
                "beyond_chance": "yes" if self.beyond[place] else "not judged" if self.away[place].isnan() else "no",
            }
            for place in self.order
        ]

    @property
    def order(self) -> list[int]:
        """Numbers of the statistics, the most telling first."""
        return (self.away.abs().nan_to_num(-1.0) + 1e9 * self.beyond).argsort(descending=True, stable=True).tolist()

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Between which 95 % of the draws' statistics lie, ``(S,)`` each."""
        low, high = self.draws.quantile(torch.tensor(_INTERVAL, dtype=self.draws.dtype), dim=0)
        return low, high

    @property
    def sentence(self) -> str:
        """What the draws do not reproduce, or that nothing was found."""
        judged, found = int((~self.away.isnan()).sum()), int(self.beyond.sum())
        where = f"{len(self.draws)} replicated data sets with {_WAYS[self.latents]}"
        if not judged:
            return f"Nothing can be judged: each statistic of the {self.num_data:,} rows rests on too few of them."
        if not found:
            return f"None of {judged:,} statistics of the data differs beyond chance from those of {where}."
        kinds = Counter(
            name for name, beyond in zip(self.statistics.names, self.beyond.tolist(), strict=True) if beyond
        )
        counts = ", ".join(f"{name} {count:,}" for name, count in kinds.items())
        most = "; ".join(self._in_words(place) for place in self.order[: min(found, _SAID)])
        first = f"Most of all {most}" if found > 1 else most[0].upper() + most[1:]
        return (
            f"{found:,} of {judged:,} statistics of the data differ{'s' * (found == 1)} beyond chance from those of "
            f"{where} ({counts}). {first}."
        )

    def _in_words(self, place: int) -> str:
        low, high = (_number(each[place]) for each in self.ends)
        return (
            f"{self.statistics.names[place]} of {self._columns_of(place)}: {_number(self.data[place])} in the data, "
            f"{_number(self.draws[:, place].mean())} in the draws (95 % of them from {low} to {high})"
        )

    def _columns_of(self, place: int) -> str:
        names = dict.fromkeys(self.columns[column] for column in self.statistics.places[place].tolist())
        return " and ".join(names)

    def table(self, most: int | None = None) -> list[tuple[str, ...]]:
        """The rows as they are written, the head first.

        Args:
            most: of so many statistics; None for all.
        """
        head = ("statistic", "of", "data", "draws", "95 % of draws", "p", "beyond chance")
        lines = [
            (
                str(row["statistic"]),
                str(row["column"]),
                *(_number(row[name]) for name in ("data", "draws")),
                f"{_number(row['lower'])} to {_number(row['upper'])}",
                f"{row['p_value']:.3f} ± {row['p_error']:.3f}",
                str(row["beyond_chance"]),
            )
            for row in self.rows()[:most]
        ]
        return [head, *lines]

    def __str__(self) -> str:
        return "\n".join([self.sentence, "", *in_columns(self.table(_SHOWN))])

    def figure(self, title: str = "") -> "Figure":
        """The data's statistics beside the draws', in a panel for each kind of statistic.

        Args:
            title: what the caption begins with, such as a run's name.
        """
        size, names = len(self.columns), self.statistics.which
        caption = (
            f"Does the model reproduce the data? Statistics of {self.num_data:,} {self.split} rows beside those of "
            f"{len(self.draws)} replicated data sets, {_WAYS[self.latents]}, x ~ p(x | z): their means, with bars over "
            "95 % of them. Means and shares of ones are drawn less the data's, in standard deviations of the data, "
            "spreads relative to the data's. Red: beyond chance, all statistics together."
        )
        return figures.column_checks(
            self.columns,
            self._part(names(MEAN, SHARE), size),
            self._part(names(SPREAD), size),
            self._part(names(ZEROS), size),
            self._part(names(CORRELATION)),
            f"{title}. {caption}" if title else caption,
        )

    def _part(self, chosen: Tensor, size: int | None = None) -> figures.Checked:
        """Some of the statistics; with a size, each at the place of its column, and NaN at the others."""
        low, high = self.ends
        values = [each[chosen] for each in (self.data, self.draws.mean(0), low, high, self.beyond)]
        if size is not None:
            places = self.statistics.places[chosen, 0]
            values = [_spread_out(each, places, size) for each in values]
        return figures.Checked(*(each.numpy() for each in values))


def _spread_out(values: Tensor, places: Tensor, size: int) -> Tensor:
    empty = torch.zeros(size, dtype=torch.bool) if values.dtype == torch.bool else torch.full((size,), torch.nan)
    return empty.to(values.dtype).index_put((places,), values)


def _number(value: object) -> str:
    return f"{float(value):.4g}".replace("-", "−")  # type: ignore[arg-type]  # a number of any type


@in_range
def predictive_checks(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    latents: Latents = "posterior",
    num_replicates: Replicates = 200,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> PredictiveChecks:
    """Whether data sets that the pair makes have the means, spreads, zeros, quantiles and correlations of a table.

    Args:
        model: p(x, z).
        guide: q(z | x); without a part in it where z comes from the prior.
        data: rows of reals, counts, bits or categories; where it has a mask, so have the replicated data sets.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        latents: "posterior" for z ~ q(z | x) of each row, "prior" for z ~ p(z).
        num_replicates: R, replicated data sets, at least 20; p-values are at least 2 / (R + 1).
        split: what the data is called.
        seed: of the draws, and of the bits of what is binarized.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: the data is no table, or the guide has rows for other datapoints.
    """
    info = DataInfo.of(info)
    data = data.fixed(seed)
    statistics = Statistics.of(info, data.some())
    if latents == "posterior":
        if unseen is None:
            check_rows(guide, data.first, len(data))
        guide = unseen(data) if unseen else guide
    check_runs(data, model, guide)
    x = data.values()
    seen = torch.ones_like(x, dtype=torch.bool) if data.mask is None else data.mask
    centre, usual = data.mean(), torch.where(seen, x, torch.nan).nanmedian(0).values

    def of(x: Tensor) -> tuple[Tensor, Tensor]:
        differing = ((x != usual) & seen).sum(1) / seen.sum(0).clamp(min=1)
        return statistics.values(x, data.mask, centre), differing

    with frozen(model, guide), seeded(stream(seed, f"predictive checks, {latents}"), data.device):
        drawn_from = guide if latents == "posterior" else None
        parts = [of(x) for x in _replicated(model, drawn_from, data, num_replicates)]
    drawn, differing = (torch.cat(each) for each in zip(*parts, strict=True))
    (value,), (varying,) = of(x.unsqueeze(0))
    drawn_varying = differing.mean(0)
    rests = [statistics.effective(seen, each) for each in (drawn_varying.maximum(varying), drawn_varying)]
    enough, usually = ((each >= FEWEST).cpu() for each in rests)
    value, drawn = value.double().cpu(), drawn.double().cpu()
    found = judge(statistics, value, drawn, enough, usually)
    return PredictiveChecks(info.column_names, statistics, value, drawn, *found, latents, len(data), split)


def _replicated(model: nn.Module, guide: nn.Module | None, data: Dataset, num: int) -> Iterator[Tensor]:
    """Replicated data sets, some at a time, ``(r, N, D)``."""
    at_once = max(1, min(num, _ELEMENTS // max(1, len(data) * data.event_size)))
    rows = max(1, _DRAWS // at_once)
    for start in range(0, num, at_once):
        count = min(at_once, num - start)
        yield torch.cat([_replicas(model, guide, batch, count) for batch in data.batches(rows)], dim=1)


def _replicas(model: nn.Module, guide: nn.Module | None, batch: Batch, num: int) -> Tensor:
    """x of the same rows again, ``(num, batch, *event)``: their labels and totals are the data's."""
    handled = in_particles(poutine.uncondition(model), num)
    if guide is not None:
        drawn = trace_in_plate(guide, batch, in_particles(guide, num))
        handled = poutine.replay(handled, trace=drawn)
    site: Any = trace_in_plate(model, batch, handled).nodes.get("x")
    if site is None:
        raise no_x()
    value: Tensor = site["value"]
    return value.reshape(num, *batch.x.shape)
