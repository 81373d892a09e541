"""What a fresh process costs: imports, the time to the first step, memory."""

import json
import sys
import tempfile
import time
from statistics import median
from typing import Any

import torch

from ppl_vae.bench import first_steps, processes
from ppl_vae.bench.contenders import Name
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import Size

# What is imported, by its name in the table; "" is Python alone.
IMPORTS = {"python alone": "", "torch": "import torch", "pyro": "import pyro", "ppl_vae": "import ppl_vae"}

# The contender by its name in the table, in this order: a second traced start finds what the first has compiled.
STARTS: dict[str, Name] = {
    "pyro": "pyro",
    "handwritten": "handwritten",
    "numpyro": "numpyro",
    "eager": "eager",
    "traced, cold cache": "traced",
    "traced, warm cache": "traced",
}
# A start takes seconds, and differs by little.
_MOST_STARTS = 3


def measure_imports(clock: Clock) -> dict[str, float]:
    """Seconds that a fresh Python takes to import something and to end, the median over the rounds."""
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(clock.repeats):
        for name, code in IMPORTS.items():
            clock.report(f"startup: {name}")
            start = time.perf_counter()
            processes.run([sys.executable, "-c", code])
            taken[name].append(time.perf_counter() - start)
    return {name: median(seconds) for name, seconds in taken.items()}


def measure_starts(size: Size, clock: Clock) -> dict[str, Any]:
    """Each contender in a fresh process of its own.

    Returns:
        by name in :data:`STARTS`: ``first_step``, seconds from the start of the process to the end of its first step,
        and after 50 steps ``peak``, MiB of resident memory, and on a GPU ``device_peak``, MiB of its own; each the
        median over the rounds; or ``absent``, why not.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in STARTS}
    for _ in range(min(clock.repeats, _MOST_STARTS)):
        with tempfile.TemporaryDirectory() as cache:  # cold at first: no run finds another's compiled step
            for name, contender in STARTS.items():
                clock.report(f"startup: {name}")
                found[name].append(_start(contender, size, clock.device, cache))
    return {name: _median(runs) for name, runs in found.items()}


def _start(contender: Name, size: Size, device: str, cache: str) -> dict[str, Any]:
    arguments = [contender, str(time.time()), device, str(torch.get_num_threads()), json.dumps(size._asdict())]
    command = [sys.executable, first_steps.__file__, *arguments]
    out = processes.run(command, {"TORCHINDUCTOR_CACHE_DIR": cache})
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    return said


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    if "absent" in runs[0]:
        return runs[0]
    return {key: median(run[key] for run in runs) for key in runs[0]}
