"""Pyro's own steps beside compiled ones, for four of its examples: python -m benchmarks.any_program.

Both take steps in turns, a round each, so that what disturbs a round disturbs both. They move the same parameters with
the same optimizer, which is what taking turns means. The time is that of a call of ``step``, the loss read.
"""

import time
from itertools import islice
from statistics import median
from typing import Any

import pyro
import torch

from ppl_vae import compiled
from ppl_vae.runtime.device import processor
from tests.svi.pyro_examples import EXAMPLES, Call, Example

ROUNDS, STEPS = 15, 20


def milliseconds(svi: Any, calls: list[Call]) -> float:
    """Of a step, over these calls."""
    began = time.perf_counter()
    for args, kwargs in calls:
        svi.step(*args, **kwargs)
    return 1e3 * (time.perf_counter() - began) / len(calls)


def compare(example: Example) -> tuple[float, float, float, float]:
    """Milliseconds of Pyro's step and of a compiled one, their ratio, and seconds until a compiled step has ended."""
    calls, step = example.calls(), compiled(example.svi)
    began = time.perf_counter()
    milliseconds(step, list(islice(calls, 2)))
    start = time.perf_counter() - began
    milliseconds(step, list(islice(calls, 200)))
    rounds = []
    for _ in range(ROUNDS):
        given = list(islice(calls, STEPS))
        rounds.append((milliseconds(example.svi, given), milliseconds(step, given)))
    assert step.why is None
    eager, fast = (median(times) for times in zip(*rounds, strict=True))
    return eager, fast, median(one / other for one, other in rounds), start


def main() -> None:
    """Print the table."""
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, Pyro {pyro.__version__}\n")
    print("| example | Pyro's step, ms | compiled, ms | times as fast | first two steps, s |\n|---|---|---|---|---|")
    for name, make in EXAMPLES.items():
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        eager, fast, ratio, start = compare(make())
        print(f"| {name} | {eager:.2f} | {fast:.3f} | {ratio:.1f} | {start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
