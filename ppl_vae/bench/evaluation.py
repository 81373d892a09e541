"""Throughput of evaluation: draws of the importance bound in a second."""

import time
from itertools import pairwise
from typing import Any

import torch

from ppl_vae.bench.ours import build_pair
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES, Size
from ppl_vae.bench.timing import Timing
from ppl_vae.data import Dataset
from ppl_vae.evaluation import importance_bound
from ppl_vae.tracing.capture import Engine

NUM_SAMPLES = 500
# What the bound takes at a time, and says when it is done.
NUM_DATAPOINTS = 256
_SIZES = ("digits", "mnist", "burda")
_ENGINES: tuple[Engine, ...] = ("eager", "traced")


def measure_evaluation(clock: Clock) -> dict[str, Any]:
    """Time the bound at each size.

    Returns:
        by size and engine: the time of one draw for each of :data:`NUM_DATAPOINTS`, ``draws_per_second``, and
        ``first``, the seconds to the first of those batches, compiling included.
    """
    found: dict[str, Any] = {}
    for name in _SIZES:
        for engine in _ENGINES:
            clock.report(f"evaluation: {name}, {engine}")
            first, timing = _bound(SIZES[name], engine, clock)
            row = {**timing.to_dict(), "draws_per_second": 1e3 * NUM_DATAPOINTS / timing.median, "first": first}
            found[f"{name}, {engine}"] = row
    return found


def _bound(size: Size, engine: Engine, clock: Clock) -> tuple[float, Timing]:
    """One bound over ``repeats + 1`` batches: the first has the compiling in its time, the others are the rounds."""
    torch.manual_seed(0)
    model, guide = (program.to(clock.device) for program in build_pair(size))
    num_rows = (clock.repeats + 1) * NUM_DATAPOINTS
    data = Dataset(torch.from_numpy(size._replace(num_rows=num_rows).observations()).to(clock.device), dynamic=True)
    draws = clock.steps or NUM_SAMPLES
    times = [time.perf_counter()]

    def note(_: int) -> None:
        if data.x.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter())

    importance_bound(model, guide, data, draws, advance=note, engine=engine)
    first, *others = (after - before for before, after in pairwise(times))
    return first, Timing(draws, [1e3 * seconds / draws for seconds in others])
