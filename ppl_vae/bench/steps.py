"""Milliseconds a step, all contenders side by side at one size."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
        ``size`` in words, and what :func:`side_by_side` returns.
    """
    makers = {who: partial(contender, who, size, clock.device) for who in names}
    return {"size": str(size), **side_by_side(name, makers, clock)}


def side_by_side(what: str, makers: Mapping[Name, Callable[[], Contender]], clock: Clock) -> dict[str, Any]:
    """Make contenders and time them by turns.

    Args:
        what: is measured, in words.
        makers: by name, what makes a contender, or says that it is absent.
        clock: how to measure.

    Returns:
        ``contenders`` with their times, ``ratios`` of the traced step's time to each other's, ``absent`` with the
        reasons in words.
    """
    present: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    for who, make in makers.items():
        clock.report(f"{what}: preparing {TITLES[who]}")
        try:
            present[who] = make()
        except AbsentError as error:
            absent[who] = str(error)
    timings = interleave(present, clock, what)
    ratios = {}
    if traced := timings.get("traced"):
        ratios = {
            f"traced/{who}": ratio(traced.milliseconds, timings[who].milliseconds)._asdict()
            for who in RIVALS
            if who in timings
        }
    return {
        "contenders": {who: timing.to_dict() for who, timing in timings.items()},
        "ratios": ratios,
        "absent": absent,
    }
