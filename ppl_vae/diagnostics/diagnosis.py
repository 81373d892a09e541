"""Diagnostics of a trained pair: how good the guide is as a proposal, what the latents are used for, what to mend."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.diagnostics.aggregate import Aggregate, aggregate
from ppl_vae.diagnostics.units import ACTIVE_VARIANCE, DRAWS, Units, units
from ppl_vae.evaluation.prior_draws import LeftOut, left_out
from ppl_vae.evaluation.weight_tails import KHAT_RELIABLE, WeightTails, weight_tails
from ppl_vae.programs.density import has_density
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Row, Shown, with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_SAMPLES = 100
"""Fewest draws for a k̂: the tail is then 20 weights (Vehtari et al. 2024 fit a fifth of the draws, or 3√K)."""

# Our own: fewer than this share of the units active is worth a warning, though a large latent need not be full.
_FEW_ACTIVE = 0.1
# Our own: in nats; with less, x could hardly be told from another.
_NO_INFORMATION = 0.05
_QUANTILES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Diagnostics(Shown):
    """Diagnostics of a pair on a data set.

    Args:
        num_datapoints: how many it was made on; of the aggregate there can be more.
        num_samples: draws of each datapoint for the importance weights.
        weights: bounds, effective sample size and k̂; None where q has no density.
        left_out: what as many draws from the prior find and the guide's do not; None where q has no density.
        units: KL and activity by unit of the latents.
        aggregate: mutual information, and the aggregate posterior against the prior; None where q has no density.
        notes: what could not be had, in words.
        warnings: what is wrong with the pair, in words, and what to do about it; none if nothing is.
        bound_warnings: the same of its importance bound, which the ELBO does not depend on.
    """

    num_datapoints: int
    num_samples: int
    weights: WeightTails | None
    left_out: LeftOut | None
    units: Units
    aggregate: Aggregate | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    bound_warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As numbers, lists and dictionaries that JSON takes; what is not finite is None."""
        return {
            "num_datapoints": self.num_datapoints,
            "num_samples": self.num_samples,
            "weights": self.weights and _weights_dict(self.weights),
            "left_out": self.left_out and _left_out_dict(self.left_out),
            "units": _units_dict(self.units),
            "aggregate": self.aggregate and _aggregate_dict(self.aggregate),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "bound_warnings": list(self.bound_warnings),
        }

    def lines(self, *, weights: bool = True) -> list[str]:
        """What was found, in a few lines, the first of which says of what; warnings apart.

        Args:
            weights: with what is known of the importance weights, which an ELBO does not depend on.
        """
        lines = [f"diagnostics of {self.num_datapoints} datapoints, {self.num_samples} draws of each:"]
        if self.weights and weights:
            ess, khat = self.weights.ess, self.weights.khat_quantile
            size = with_error(ess.mean, ess.stderr, 1)
            lines.append(f"  effective sample size {size} of {self.num_samples} draws")
            if rise := self.weights.log_px.rise:
                lines.append(f"  of {self.num_samples // 2} draws, the importance bound is {rise} nats lower")
            if self.left_out:
                more = 100 * self.left_out.share
                lines.append(f"  draws from the prior have more weight than the guide's on {more:.0f} % of datapoints")
            lines.append(
                f"  PSIS k̂ median {khat(0.5):.2f}, 95 % below {khat(0.95):.2f}; above {KHAT_RELIABLE:g}, where weights "
                f"are no longer to be relied on, on {100 * self.weights.unreliable:.0f} % of datapoints"
            )
        lines.append(f"  active units {self.units.num_active} of {len(self.units.names)}")
        if self.aggregate:
            num = self.aggregate.num_datapoints
            of = "" if num == self.num_datapoints else f" (of {num:,} datapoints)"
            lines += [f"  {line}{of}" for line in self.aggregate.in_words()]
        return [*lines, *(f"  {note}" for note in self.notes)]

    def __str__(self) -> str:
        return "\n".join([*self.lines(), *(f"warning: {warning}" for warning in self.warnings)])

    def rows(self) -> list[Row]:
        """A row for each unit of the latents."""
        units = self.units
        columns = (units.kl.tolist(), units.kl_stderr.tolist(), units.variance_of_means.tolist(), units.active.tolist())
        names = ("unit", "kl", "kl_stderr", "variance_of_means", "active")
        return [dict(zip(names, row, strict=True)) for row in zip(units.names, *columns, strict=True)]

    def figure(self, caption: str = "") -> "Figure":
        """KL and activity of each unit, drawn."""
        units = self.units
        return figures.kl_by_unit(units.kl, units.kl_stderr, units.active, units.names, caption)


@in_range
def diagnose(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count = 1000,
    seed: Seed = 0,
    advance: Callable[[int], object] | None = None,
    num_datapoints: Count | None = None,
    unfinished: str = "",
) -> Diagnostics:
    """Diagnose a pair.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, at least 2, on the device of the pair. The aggregate posterior is of all of them.
        num_samples: draws of each datapoint for the importance weights, at least 100; the k̂ of fewer than some 2000 is
            itself noisy (Vehtari et al. 2024).
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
        advance: called with the number of datapoints whose weights are done, for a progress bar.
        num_datapoints: only the first so many for everything but the aggregate posterior, whose cost grows less with
            them; all if None.
        unfinished: why units that are not active are not to be called collapsed, in words: training has not ended, or
            its loss does not ask for any.

    Raises:
        UserError: too few draws or datapoints, or a guide that has no row for them.
    """
    if num_samples < MIN_SAMPLES:
        raise UserError(f"`num_samples`: diagnostics need at least {MIN_SAMPLES} samples of each, got {num_samples}.")
    if len(data) < 2:
        raise UserError("diagnostics compare datapoints with each other: give at least 2.")
    check_rows_are_there(data)
    check_rows(guide, data.first, len(data))
    data = data.fixed(seed)
    few, device = data.head(num_datapoints), data.device
    weights, missed, over_data, notes = None, None, None, []
    with frozen(model, guide):
        check_runs(data, model, guide)
        with seeded(stream(seed, "diagnostics: units"), device):
            by_unit = units(model, guide, few, min(DRAWS, num_samples))
            proper = has_density(guide, data.probe())
        if proper:
            with seeded(stream(seed, "draws"), device):
                weights = weight_tails(model, guide, few, num_samples, advance)
            with seeded(stream(seed, "diagnostics: prior"), device):
                missed = left_out(model, few, weights, num_samples)
            with seeded(stream(seed, "diagnostics: aggregate"), device):
                try:
                    over_data = aggregate(model, guide, data)
                except UserError as error:
                    notes.append(f"no mutual information: {error}")
            if over_data and over_data.kl_to_prior is None:
                notes.append("no KL(q(z) ‖ p(z)): the prior is another for each datapoint.")
        else:
            notes.append(
                "the guide is a point, which has no density: no importance weights, no k̂, no KL by unit and no mutual "
                "information."
            )
            if advance:
                advance(len(few))
    warnings, of_bound = tuple(_judge(by_unit, over_data, unfinished)), tuple(of_missed(missed))
    return Diagnostics(len(few), num_samples, weights, missed, by_unit, over_data, tuple(notes), warnings, of_bound)


def _judge(by_unit: Units, over_data: Aggregate | None, unfinished: str) -> list[str]:
    """What is wrong, the worst first."""
    found = []
    active, total = by_unit.num_active, len(by_unit.names)
    rule = f"variance of the posterior mean over the data above {ACTIVE_VARIANCE}"
    if unfinished and active < _FEW_ACTIVE * total:
        return [f"{active} of {total} units are active so far ({rule}). That is no posterior collapse: {unfinished}."]
    if active == 0:
        found.append(
            f"posterior collapse: 0 of {total} units are active ({rule}); the decoder ignores z: try KL warm-up, a "
            "weaker decoder or a smaller KL weight."
        )
    elif active < _FEW_ACTIVE * total:
        found.append(
            f"partial posterior collapse: {active} of {total} units are active ({rule}): try KL warm-up, or a smaller "
            "latent_dim, which would do."
        )
    if over_data and active:
        information = over_data.mutual_information
        if information.mean < _NO_INFORMATION:
            found.append(
                "under this guide z tells almost nothing about x: mutual information "
                f"{with_error(information.mean, information.stderr, 3)} nats."
            )
    return found


def of_missed(missed: LeftOut | None) -> list[str]:
    """What an importance bound lacks, in words, where draws from the prior find it."""
    if not (missed and missed.telling):
        return []
    return [
        f"the guide misses part of the posterior, such as a mode: on {100 * missed.share:.0f} % of datapoints "
        f"draws from the prior have more weight than the guide's, {missed.nats:.2f} nats there, by which the "
        "importance bound is too low; annealed importance sampling from the prior (ais) does not depend on the guide."
    ]


def _left_out_dict(missed: LeftOut) -> dict[str, Any]:
    return {"log_px_by_prior": missed.log_px.to_dict(), "share": missed.share, "nats": missed.nats}


def _weights_dict(weights: WeightTails) -> dict[str, Any]:
    quantiles = {f"{share:g}": _number(weights.khat_quantile(share)) for share in _QUANTILES}
    return {
        "log_px": weights.log_px.to_dict(),
        "rise": weights.log_px.rise and weights.log_px.rise.to_dict(),
        "ess": weights.ess.to_dict(),
        "khat_median": _number(weights.khat_quantile(0.5)),
        "khat_quantiles": quantiles,
        "khat_threshold": KHAT_RELIABLE,
        "khat_above_threshold": weights.unreliable,
    }


def _units_dict(by_unit: Units) -> dict[str, Any]:
    return {
        "names": list(by_unit.names),
        "kl": _numbers(by_unit.kl),
        "kl_stderr": _numbers(by_unit.kl_stderr),
        "kl_methods": dict(by_unit.methods),
        "variance_of_means": _numbers(by_unit.variance_of_means),
        "active": by_unit.active.tolist(),
        "num_active": by_unit.num_active,
        "active_threshold": ACTIVE_VARIANCE,
    }


def _aggregate_dict(over_data: Aggregate) -> dict[str, Any]:
    """One number where its two ends say the same, and the ends."""
    ends = {
        "mutual_information": (over_data.mutual_information, over_data.mutual_information_upper),
        "kl_to_prior": (over_data.kl_to_prior_lower, over_data.kl_to_prior),
    }
    plain: dict[str, Any] = {}
    for name, (low, high) in ends.items():
        plain[name] = None if over_data.wide else low and low.to_dict()
        plain |= {f"{name}_lower": low and low.to_dict(), f"{name}_upper": high and high.to_dict()}
    return plain | {
        "wide": over_data.wide,
        "vague": over_data.vague,
        "log_num_datapoints": over_data.log_num,
        "num_datapoints": over_data.num_datapoints,
        "num_draws": over_data.num_draws,
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
