"""Milliseconds a step, all contenders side by side at one size."""

from collections.abc import Sequence
from typing import Any

from ppl_vae.bench.contenders import TITLES, AbsentError, Contender, Name, contender
from ppl_vae.bench.measure import interleave
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import Size
from ppl_vae.bench.timing import ratio

# What a traced step is held against.
RIVALS: tuple[Name, ...] = ("pyro", "handwritten", "numpyro", "floor", "eager")


def measure_steps(name: str, size: Size, names: Sequence[Name], clock: Clock) -> dict[str, Any]:
    """Time contenders at a size.

    Args:
        name: of the size.
        size: of everything.
        names: who takes part, if it can.
        clock: how to measure.

    Returns:
        ``size`` in words, ``contenders`` with their times, ``ratios`` of the traced step's time to each other's,
        ``absent`` with the reasons in words.
    """
    present: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    for who in names:
        clock.report(f"{name}: preparing {TITLES[who]}")
        try:
            present[who] = contender(who, size, clock.device)
        except AbsentError as error:
            absent[who] = str(error)
    timings = interleave(present, clock, name)
    ratios = {}
    if traced := timings.get("traced"):
        ratios = {
            f"traced/{who}": ratio(traced.milliseconds, timings[who].milliseconds)._asdict()
            for who in RIVALS
            if who in timings
        }
    return {
        "size": str(size),
        "contenders": {who: timing.to_dict() for who, timing in timings.items()},
        "ratios": ratios,
        "absent": absent,
    }
