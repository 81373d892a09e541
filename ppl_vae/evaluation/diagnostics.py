"""Diagnostics of a trained pair: how good the guide is as a proposal, what the latents are used for, what to mend."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ppl_vae.check import check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.errors import UserError
from ppl_vae.evaluation.aggregate import Aggregate, aggregate, has_density
from ppl_vae.evaluation.units import ACTIVE_VARIANCE, Units, units
from ppl_vae.evaluation.weight_tails import KHAT_RELIABLE, WeightTails, weight_tails
from ppl_vae.pair import frozen
from ppl_vae.rows import check_rows
from ppl_vae.seeding import seeded, stream

MIN_SAMPLES = 100
"""Fewest draws for a k̂: the tail is then 20 weights (Vehtari et al. 2024 fit a fifth of the draws, or 3√K)."""

# Our own: fewer than this share of the units active is worth a warning, though a large latent need not be full.
_FEW_ACTIVE = 0.1
# Our own: k̂ has noise. Weights with k = 0.4 exactly, which are good ones, are put above 0.7 on 1.6 % of datapoints at
# 1000 draws, and those with k = 0.5, whose variance is just infinite, on 6 %. One datapoint alone is no evidence.
_NOISY_SHARE = 0.05
# Our own: in nats; with less, x could hardly be told from another.
_NO_INFORMATION = 0.05
_QUANTILES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Diagnostics of a pair on a data set.

    Args:
        num_datapoints: how many it was made on.
        num_samples: draws of each datapoint for the importance weights.
        weights: effective sample size and k̂; None where q has no density.
        units: KL and activity by unit of the latents.
        aggregate: mutual information, and the aggregate posterior against the prior; None where q has no density.
        warnings: what is wrong, in words, and what to do about it; none if nothing is.
    """

    num_datapoints: int
    num_samples: int
    weights: WeightTails | None
    units: Units
    aggregate: Aggregate | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As numbers, lists and dictionaries that JSON takes; what is not finite is None."""
        return {
            "num_datapoints": self.num_datapoints,
            "num_samples": self.num_samples,
            "weights": self.weights and _weights_dict(self.weights),
            "units": _units_dict(self.units),
            "aggregate": self.aggregate and _aggregate_dict(self.aggregate),
            "warnings": list(self.warnings),
        }


def diagnose(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: int = 1000,
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> Diagnostics:
    """Diagnose a pair.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, at least 2, on the device of the pair.
        num_samples: draws of each datapoint for the importance weights, at least 100; the k̂ of fewer than some 2000 is
            itself noisy (Vehtari et al. 2024).
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
        advance: called with the number of datapoints whose weights are done, for a progress bar.

    Raises:
        UserError: too few draws or datapoints, or a guide that has no row for them.
    """
    if num_samples < MIN_SAMPLES:
        raise UserError(f"diagnostics need at least {MIN_SAMPLES} samples for the weights' tail, got {num_samples}.")
    if len(data) < 2:
        raise UserError("diagnostics compare datapoints with each other: give at least 2.")
    check_rows(guide, data.first, len(data))
    data = data.fixed(seed)
    device = data.x.device
    weights, over_data, notes = None, None, []
    with frozen(model, guide):
        check_runs(data, model, guide)
        with seeded(stream(seed, "diagnostics: units"), device):
            by_unit = units(model, guide, data)
            proper = has_density(guide, data.probe())
        if proper:
            with seeded(stream(seed, "draws"), device):
                weights = weight_tails(model, guide, data, num_samples, advance)
            with seeded(stream(seed, "diagnostics: aggregate"), device):
                try:
                    over_data = aggregate(model, guide, data)
                except UserError as error:
                    notes.append(f"no mutual information: {error}")
        else:
            notes.append(
                "the guide is a point, which has no density: no importance weights, no k̂, no KL by unit and no mutual "
                "information."
            )
            if advance:
                advance(len(data))
    found = _judge(weights, by_unit, over_data)
    return Diagnostics(len(data), num_samples, weights, by_unit, over_data, (*found, *notes))


def _judge(weights: WeightTails | None, by_unit: Units, over_data: Aggregate | None) -> list[str]:
    """What is wrong, the worst first."""
    found = []
    active, total = by_unit.num_active, len(by_unit.names)
    rule = f"variance of the posterior mean over the data above {ACTIVE_VARIANCE}"
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
    if over_data:
        information = over_data.mutual_information
        if information.mean < _NO_INFORMATION:
            found.append(
                f"z says next to nothing about x: mutual information {information.mean:.3f} ± "
                f"{information.stderr:.3f} nats."
            )
        if over_data.kl_to_prior is None:
            found.append("the prior is another for each datapoint: no KL(q(z) ‖ p(z)).")
    if weights and int((weights.khat > KHAT_RELIABLE).sum()) > max(1.0, _NOISY_SHARE * len(weights.khat)):
        found.append(
            f"the importance bound is unreliable on {100 * weights.unreliable:.0f} % of datapoints (k̂ > "
            f"{KHAT_RELIABLE}), and more samples hardly help: use annealed importance sampling (--estimator ais), "
            "proposals fitted to each datapoint (ppl-vae gaps), or a richer family."
        )
    return found


def _weights_dict(weights: WeightTails) -> dict[str, Any]:
    quantiles = {f"{share:g}": _number(weights.khat_quantile(share)) for share in _QUANTILES}
    return {
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
    return {
        "mutual_information": over_data.mutual_information.to_dict(),
        "mutual_information_upper": over_data.mutual_information_upper.to_dict(),
        "kl_to_prior": over_data.kl_to_prior and over_data.kl_to_prior.to_dict(),
        "kl_to_prior_lower": over_data.kl_to_prior_lower and over_data.kl_to_prior_lower.to_dict(),
        "wide": over_data.wide,
        "log_num_datapoints": over_data.log_num,
        "num_datapoints": over_data.num_datapoints,
        "num_draws": over_data.num_draws,
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [_number(float(value)) for value in values]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
