"""What is missing from observations, inferred: draws of p(x_missing | x_seen) by importance sampling.

    z₁, …, z_K ~ q(z | x_seen),   wₖ ∝ p(x_seen | zₖ) p(zₖ) / q(zₖ | x_seen)
    E[x_missing | x_seen] ≈ Σₖ wₖ E[x_missing | zₖ],   x_missing ~ p(x_missing | zₖ) with k ~ w

The weights take off what q misses of the posterior, as far as K draws can. Source: Mattei and Frellsen 2019.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.data.checks import check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.predictive.centre import centre_of, is_averaged
from ppl_vae.predictive.latent_space.codes import GuideFor
from ppl_vae.predictive.profiles import table_of
from ppl_vae.predictive.rendering import strips_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.tables import holes_written
from ppl_vae.predictive.tidy import tidy
from ppl_vae.predictive.wording import is_table, tones_of
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import has_density
from ppl_vae.programs.holes import reads_stand_ins, with_gaps
from ppl_vae.programs.pair import frozen, run_pair, weigh
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, Few, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Columned, Columns, Names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ELEMENTS = 2**24  # draws × datapoints × event, of one call
_SHOWN = 6  # datapoints, in the picture
_SHOWN_ROWS = 4  # of a table, whose draws are to be told apart
_SHOWN_DRAWS = 4

_BLIND = (
    "warning  the guide was trained without holes and takes the medians that stand in them for data; importance "
    "weights correct that only as far as these draws reach. Train on data with holes, or take more draws"
)

Probability = Annotated[float, Field(gt=0, lt=1)]
"""That what is missing lies in its interval."""


@dataclass(frozen=True, eq=False)
class Imputed(Columned):
    """Observations whole again, ``(N, *event)`` each but the draws and the two last; what was seen is as it was.

    Args:
        x: what is missing, by its mean; of names, which have none, the one most often drawn.
        lower: of an interval that has what is missing with the probability that was asked for.
        upper: its other end.
        draws: from p(x_missing | x_seen), ``(num_draws, N, *event)``.
        effective: effective number of the draws that the weights leave, 1 / Σₖ wₖ², ``(N,)``, from 1 to K.
        mask: which numbers were seen, bool.
        names: what the columns are called.
    """

    x: Tensor
    lower: Tensor
    upper: Tensor
    draws: Tensor
    effective: Tensor
    mask: Tensor
    names: Names = Names()  # noqa: RUF009

    def columns(self) -> Columns:
        """A row for each number of each observation: the observation's number from 0, the column, the value, the ends
        of its interval, and whether it was observed; a category is a column for each of its values, of 0 and 1."""
        names = self.names.of_x(tuple(self.x.shape[1:]))
        numbers = {"value": self.x, "lower": self.lower, "upper": self.upper, "observed": self.mask}
        flat = {name: values.flatten(1) for name, values in numbers.items()}
        return tidy({"index": range(len(self.x)), "column": names}, flat, Names(), ())


@in_range
def imputed(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count = 500,
    num_draws: Few = 20,
    probability: Probability = 0.9,
    seed: int = 0,
) -> Imputed:
    """Infer what is missing.

    Args:
        model: p(x, z).
        guide: q(z | x), with an answer to these datapoints; where it puts z at a point, that point has all weight.
        data: with a mask; not dynamic.
        num_samples: K, draws of z for each datapoint.
        num_draws: whole observations to draw of each.
        probability: of the intervals, between 0 and 1; their ends are quantiles of K draws.
        seed: of the draws.

    Raises:
        UserError: nothing is missing; the probability is none.
    """
    if data.mask is None or data.mask.all():
        raise UserError("nothing is missing from this data: give numbers that are NaN, or a `mask` of what was seen.")
    check_runs(data, model, guide)
    at_once = max(1, _ELEMENTS // (num_samples * data.event_size))
    weighted = has_density(guide, data.probe())
    with frozen(model, guide), seeded(stream(seed, "imputation"), data.device):
        ends = torch.tensor([0.5 - probability / 2, 0.5 + probability / 2], dtype=data.dtype, device=data.device)
        settings = num_samples, num_draws, ends, weighted
        parts = [_of_batch(model, guide, batch, *settings) for batch in data.batches(at_once)]
    x, lower, upper, draws, effective = zip(*parts, strict=True)
    whole, low, high, effective_number = (torch.cat(each) for each in (x, lower, upper, effective))
    return Imputed(whole, low, high, torch.cat(draws, 1), effective_number, data.mask, data.names)


def _of_batch(
    model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int, num_draws: int, ends: Tensor, weighted: bool
) -> tuple[Tensor, ...]:
    """x, its interval's ends, draws and their effective number, of a batch."""
    traces = run_pair(model, guide, batch, num_samples)
    fn: Any = traces.model.nodes["x"]["fn"]
    shape = (num_samples, *batch.x.shape)
    averaged = is_averaged(fn)
    centres, drawn = (each.expand(shape) for each in (centre_of(fn), fn.sample()))
    parts = weigh(traces, batch, num_samples)
    log_weights = parts.reconstruction - parts.kl
    weights = (log_weights if weighted else torch.zeros_like(log_weights)).softmax(0)  # (K, batch)
    wide = weights.reshape(*weights.shape, *(1 for _ in batch.x.shape[1:]))
    chosen = torch.multinomial(weights.mT, num_samples, replacement=True).mT  # (K, batch)
    resampled = drawn[chosen, torch.arange(len(batch.x), device=batch.x.device)]
    # Names are counted, not averaged; and between two names or two counts there is no end of an interval.
    mean = (wide * centres).sum(0) if averaged else resampled.mode(0).values
    lower = resampled.quantile(ends[0], dim=0, interpolation="lower")
    upper = resampled.quantile(ends[1], dim=0, interpolation="higher")
    seen, mask = batch.x, batch.mask
    assert mask is not None
    mean, lower, upper, draws = (torch.where(mask, seen, each) for each in (mean, lower, upper, resampled[:num_draws]))
    return mean, lower, upper, draws, 1 / weights.square().sum(0)


@in_range
def impute(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    num_samples: Count = 500,
    num_draws: Few = 20,
    probability: Probability = 0.9,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """What is missing from some data, inferred: arrays x, lower, upper, draws, mask; and a picture of the first ones.

    Of a table whose columns have names also two CSVs: the whole of it, and a line for each hole.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: with holes.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        num_samples: draws of z for each datapoint.
        num_draws: whole observations to draw of each.
        probability: of the intervals from lower to upper.
        split: what the caption calls the data.
        seed: of the draws, and of the bits of grey levels.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: nothing is missing, or the guide has rows for other datapoints.
    """
    info = DataInfo.of(info)
    if unseen is None:
        check_rows(guide, data.first, len(data))
    data = data.fixed(seed)
    guide = unseen(data) if unseen else guide
    found = imputed(model, guide, data, num_samples, num_draws, probability, seed)
    assert data.mask is not None
    probe = data.probe()
    words = [f"inferred {int((~data.mask).sum()):,} of {data.mask.numel():,} numbers, with {probability:.0%} intervals"]
    if has_density(guide, probe):  # draws from a point have all the same weight
        worth = f"{found.effective[~data.mask.flatten(1).all(1)].median():.0f} of equal weight (median over those)"
        words.append(f"draws    {num_samples} of z for each datapoint with holes, weighted: as good as {worth}")
    if not info.holes and reads_stand_ins(guide, probe):
        words.append(_BLIND)
    return Samples(
        {"x": found.x, "lower": found.lower, "upper": found.upper, "draws": found.draws, "mask": data.mask},
        info,
        f"{split} data with what was seen of it, whole by the mean of p(x_missing | x_seen), and draws from it"
        f"{tones_of(info)}.",
        lambda caption: _picture(info, data, found, split, caption),
        tuple(words),
        {"x": found.x},
        {"-holes.csv": holes_written(info, data.mask, found.x, found.lower, found.upper)} if info.columns else {},
        table=replace(found, names=info.names),
    )


def _picture(info: DataInfo, data: Dataset, found: Imputed, split: str, caption: str) -> "Figure":
    """The first datapoints that have holes: what was seen of each, what is inferred, and draws."""
    assert data.mask is not None
    few = (~data.mask.flatten(1).all(1)).nonzero()[: _SHOWN_ROWS if is_table(info) else _SHOWN, 0]
    mask = data.mask[few]
    seen = with_gaps(data.values(few), mask)
    names = [f"{split} {row}" for row in few.tolist()]
    if is_table(info):
        inferred, draws = (with_gaps(each, ~mask) for each in (found.x[few], found.draws[:, few]))
        series = {"seen": seen[:, None], "draws": draws.movedim(0, 1), "inferred": inferred[:, None]}
        caption += " What was seen has no draws, and what is inferred was not seen."
        return table_of(info, series, [f"row {row + 1}" for row in few.tolist()], caption)  # as its CSV counts
    shown = [seen, found.x[few], *found.draws[:_SHOWN_DRAWS, few]]
    kinds = ["seen", "inferred", *(f"draw {number + 1}" for number in range(len(shown) - 2))]
    return strips_of(info, torch.stack(shown, 1), names, kinds, caption)
