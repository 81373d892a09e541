"""Steps beside other work: what is left of a step's speed where two processes keep two cores busy."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ppl_vae.bench.contenders import Name
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES
from ppl_vae.bench.steps import measure_steps

NUM_BUSY = 2
"""Busy processes."""
_SIZES = ("digits", "mnist")


def measure_load(names: Sequence[Name], clock: Clock) -> dict[str, Any]:
    """:func:`ppl_vae.bench.steps.measure_steps` at two sizes, beside busy processes.

    Args:
        names: who takes part, if it can.
        clock: how to measure.

    Returns:
        by size what that function returns.
    """
    with _busy():
        return {name: measure_steps(f"{name}, under load", SIZES[name], names, clock) for name in _SIZES}


@contextmanager
def _busy() -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(NUM_BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
