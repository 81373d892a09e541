"""Repeated times of the same thing, and how two such compare."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Ratio(NamedTuple):
    """A time over another's: the median over the rounds, in each of which both were timed, and the rounds' range."""

    median: float
    min: float
    max: float


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Compare times by round: what disturbs a whole round cancels."""
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


class Timing(NamedTuple):
    """Repetitions of one contender.

    Args:
        steps: in each repetition.
        milliseconds: of one step, by repetition.
    """

    steps: int
    milliseconds: list[float]

    @property
    def median(self) -> float:
        """Milliseconds a step."""
        return median(self.milliseconds)

    def to_dict(self) -> dict[str, object]:
        """Median, range and every repetition."""
        return {
            "ms": self.median,
            "min": min(self.milliseconds),
            "max": max(self.milliseconds),
            "steps": self.steps,
            "repetitions": self.milliseconds,
        }
