"""What all measurements are told."""

from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """How to measure.

    Args:
        device: ``cpu``, ``cuda``, …
        repeats: rounds.
        seconds: how long a repetition is to last at least.
        steps: how many steps a repetition has; None for as many as fill ``seconds``.
        report: called with what is being measured, in words.
    """

    device: str
    repeats: int
    seconds: float
    steps: int | None
    report: Callable[[str], object]
