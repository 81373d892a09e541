"""Guides compared over trainings: Student t intervals, paired differences, and ranks that show their ties.

A comparison has values v[g, s, i]: guide g, trained with seed s, on datapoint i. Three things make them uncertain:

* the training: another seed ends elsewhere;
* the datapoints: others of the kind are harder or easier;
* the estimate: other draws of z give another value. Where every seed is evaluated by draws of its own, this noise is in
  the spread over seeds and in that over datapoints already.

What two guides share, how hard an x is above all, is no part of the error of their difference, which is therefore taken
seed by seed and datapoint by datapoint.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.estimates.significance import errors_of_chance
from ppl_vae.runtime.shown import Row, Shown, with_error

# Of every interval; those of the differences hold all together.
LEVEL = 0.95


class Mean(NamedTuple):
    """A mean, and how far off chance may put it.

    Args:
        mean: of n values.
        stderr: s / √n; NaN for a single value.
        margin: half the interval of Student's t with n − 1 degrees of freedom; NaN for a single value.
    """

    mean: float
    stderr: float
    margin: float


@dataclass(frozen=True)
class Difference:
    """One guide less another, paired by seed and datapoint.

    Args:
        better: the guide with the higher mean.
        worse: the other.
        mean: of the difference, from 0.
        over_trainings: margin over seeds, on these datapoints; NaN for one seed.
        over_datapoints: margin over datapoints, of these trainings; NaN for one datapoint.
        stderr_over_trainings: standard error over seeds; NaN for one seed.
        stderr_over_datapoints: standard error over datapoints; NaN for one datapoint.
    """

    better: str
    worse: str
    mean: float
    over_trainings: float
    over_datapoints: float
    stderr_over_trainings: float
    stderr_over_datapoints: float

    @property
    def stderr(self) -> float:
        """Of trainings and datapoints together, the root of the sum of their squares; NaN if there is neither."""
        return _together(self.stderr_over_trainings, self.stderr_over_datapoints, math.nan)

    @property
    def margin(self) -> float:
        """Both margins together, the root of the sum of their squares (Zou and Donner 2008); ∞ if there is neither."""
        return _together(self.over_trainings, self.over_datapoints, math.inf)

    @property
    def tied(self) -> bool:
        """Whether the interval mean ± margin includes zero: chance alone may have made the difference."""
        return not self.mean > self.margin


def _together(one: float, other: float, unknown: float) -> float:
    known = [error for error in (one, other) if not math.isnan(error)]
    return math.hypot(*known) if known else unknown


@dataclass(frozen=True)
class Ranking(Shown):
    """Guides in order, and how much of that order is known; as a table, their paired differences.

    Args:
        guides: the best mean first.
        differences: of every pair, in that order; their intervals hold all together with probability ``level``.
        level: of the intervals.
        seeds: over how many trainings.
    """

    guides: tuple[str, ...]
    differences: tuple[Difference, ...]
    level: float
    seeds: int

    def rows(self) -> list[Row]:
        """A row for each pair: the difference, its standard error over trainings and datapoints together and over each,
        the margin that holds for all pairs together, whether it is a tie, and of how many comparisons it is one."""
        return [
            {
                "better": each.better,
                "worse": each.worse,
                "difference": each.mean,
                "difference_stderr": each.stderr,
                "over_trainings": each.stderr_over_trainings,
                "over_datapoints": each.stderr_over_datapoints,
                "margin": each.margin,
                "tied": "yes" if each.tied else "no",
                "comparisons": len(self.differences),
            }
            for each in self.differences
        ]

    def __str__(self) -> str:
        """A line for each pair, and of what kind the margins are."""
        pairs = [
            f"{each.better} − {each.worse}: {with_error(each.mean, each.stderr)} (margin {each.margin:.3g}"
            f"{', a tie' if each.tied else ''})"
            for each in self.differences
        ]
        return "\n".join([*pairs, *self.footnotes()])

    def footnotes(self) -> list[str]:
        """What ± and margin are, and how many comparisons were made."""
        count = len(self.differences)
        made = "1 comparison" if count == 1 else f"{count} comparisons"
        held = "hold" if count == 1 else "hold for all of them together"
        return [
            f"Paired differences, ± standard error over trainings and datapoints together, of {made}; margins "
            f"{held} at {100 * self.level:.0f} %{' (Bonferroni)' if count > 1 else ''}."
        ]

    def ranks(self, guide: str) -> tuple[int, int]:
        """The best and the worst rank that a guide may have, from 1: guides that are clearly better, or worse, counted.

        All ranks hold together with probability ``level`` at least (Mogstad et al. 2024).
        """
        clear = [difference for difference in self.differences if not difference.tied]
        above = sum(difference.worse == guide for difference in clear)
        below = sum(difference.better == guide for difference in clear)
        return 1 + above, len(self.guides) - below

    def tied_with(self, guide: str) -> list[str]:
        """The guides whose difference from this one may be chance, the best first."""
        pairs = [{each.better, each.worse} for each in self.differences if each.tied]
        return [other for other in self.guides if other != guide and {guide, other} in pairs]


def mean_of(values: Sequence[float] | Tensor, level: float = LEVEL) -> Mean:
    """The mean of independent values with its interval, mean ± t · s / √n (Student 1908).

    Args:
        values: at least one, ``(n,)``.
        level: of the interval, between 0 and 1.
    """
    known = torch.as_tensor(values, dtype=torch.float64)
    count, mean = len(known), float(known.mean())
    if count < 2:
        return Mean(mean, math.nan, math.nan)
    stderr = float(known.std()) / count**0.5
    return Mean(mean, stderr, float(errors_of_chance(count - 1, (1 - level) / 2)) * stderr)


def ranking_of(values: Mapping[str, Tensor], level: float = LEVEL) -> Ranking:
    """Order guides by their means and compare each with each.

    With m pairs every interval has level 1 − (1 − ``level``) / m, so that all m hold together with ``level``
    (Bonferroni): who is looked at because it came out first is compared as strictly as who was chosen beforehand.

    Args:
        values: by guide, ``(seeds, datapoints)``, bigger is better; rows are of the same seed and columns of the same
            datapoint, and the same bits of it, for all.
        level: of all intervals together, between 0 and 1.

    Raises:
        ValueError: the guides were not evaluated with the same number of seeds on the same number of datapoints.
    """
    if len({each.shape for each in values.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in values.items())
        raise ValueError(f"differences need the same seeds and datapoints for all; there are {shapes}")
    exact = {name: each.double() for name, each in values.items()}
    guides = sorted(exact, key=lambda name: float(exact[name].mean().nan_to_num(-math.inf)), reverse=True)
    pairs = list(combinations(guides, 2))
    each_level = 1 - (1 - level) / max(1, len(pairs))
    differences = tuple(_difference(exact, *pair, each_level) for pair in pairs)
    return Ranking(tuple(guides), differences, level, max((len(each) for each in exact.values()), default=0))


def _difference(values: Mapping[str, Tensor], better: str, worse: str, level: float) -> Difference:
    between = values[better] - values[worse]  # (seeds, datapoints)
    over_trainings, over_datapoints = mean_of(between.mean(1), level), mean_of(between.mean(0), level)
    margins, errors = (
        [getattr(each, name) for each in (over_trainings, over_datapoints)] for name in ("margin", "stderr")
    )
    return Difference(better, worse, over_trainings.mean, *margins, *errors)
