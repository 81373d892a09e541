"""The clock: contenders take turns, so that whatever else the machine does falls on all of them alike."""

import gc
import math
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ppl_vae.bench.contenders import Contender
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.timing import Timing

# A stretch this long says how many steps fill a repetition; shorter ones say more about the clock.
_CALIBRATION_SECONDS = 0.1


def interleave(contenders: Mapping[str, Contender], clock: Clock, what: str) -> dict[str, Timing]:
    """Time contenders in rounds: each takes one repetition in each round, in an order drawn anew.

    Args:
        contenders: by name.
        clock: how to measure.
        what: is being measured, in words, for the progress bar.

    Returns:
        timings by the same names.
    """
    clock.report(f"{what}: first steps")
    counts = {name: _count(contender, clock) for name, contender in contenders.items()}
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    order, shuffle = list(contenders), random.Random(0).shuffle
    with _quiet_collector():
        for number in range(clock.repeats):
            clock.report(f"{what}: round {number + 1} of {clock.repeats}")
            shuffle(order)
            for name in order:
                taken[name].append(1e3 * _run(contenders[name], counts[name]) / counts[name])
    return {name: Timing(counts[name], taken[name]) for name in contenders}


def _run(contender: Contender, steps: int) -> float:
    start = time.perf_counter()
    contender.run(steps)  # waits for the device
    return time.perf_counter() - start


def _count(contender: Contender, clock: Clock) -> int:
    """How many steps a repetition has. Those taken here are the first, which compile, allocate, wake threads."""
    _run(contender, 2)
    if clock.steps:
        return clock.steps
    steps = 1
    while (taken := _run(contender, steps)) < min(_CALIBRATION_SECONDS, clock.seconds):
        steps *= 2
    return math.ceil(steps * clock.seconds / taken)


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Python's collector goes on, but not over what one contender's libraries have left for another to walk through."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
