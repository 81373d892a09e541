"""A fresh process that takes a contender's first steps and says what that took.

Run by its path, ``python first_steps.py CONTENDER STARTED DEVICE THREADS SIZE``, it prints one line of JSON:
``first_step``, seconds since STARTED (the clock of the process that started it), and after :data:`STEPS` steps
``peak``, MiB of resident memory, and on a GPU ``device_peak``, MiB of its own; or ``absent``, why the contender cannot
take part.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

STEPS = 50
_RIVALS = ("pyro", "handwritten", "numpyro", "floor")


def main(name: Any, started: float, device: str, threads: int, size: dict[str, Any]) -> None:
    """Import, build, take steps, print."""
    os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = str(threads)  # jax's, torch's
    if name in _RIVALS:
        # A stand-in for our package, through which a rival's module is found without importing ours: a rival's start
        # and memory are its own.
        package = ModuleType("ppl_vae")
        package.__path__ = [str(Path(__file__).parents[1])]
        sys.modules["ppl_vae"] = package
    from ppl_vae.bench.contenders import AbsentError, contender
    from ppl_vae.bench.sizes import Size

    try:
        made = contender(name, Size(**{**size, "hidden": tuple(size["hidden"])}), device)
    except AbsentError as error:
        print(json.dumps({"absent": str(error)}))
        return
    made.run(1)
    first_step = time.time() - started
    made.run(STEPS - 1)
    found = {"first_step": first_step, "peak": _peak()}
    if device.startswith("cuda"):
        found["device_peak"] = _device_peak(name, device)
    print(json.dumps(found))


def _peak() -> float:
    """The largest resident memory so far, MiB."""
    status = Path("/proc/self/status")  # what getrusage says may be the memory of whoever started this process
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes, where there is no /proc


def _device_peak(name: str, device: str) -> float:
    """The most that tensors have held of the GPU's memory so far, MiB."""
    if name == "numpyro":
        import jax

        held: int = jax.devices("cuda")[0].memory_stats()["peak_bytes_in_use"]
    else:
        import torch

        held = torch.cuda.max_memory_allocated(device)
    return held / 2**20


if __name__ == "__main__":
    # Not this folder, whose modules are ppl_vae.bench's, but the one that holds the package, installed or not.
    sys.path[0] = str(Path(__file__).parents[2])
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5]))
