"""The machine in words: a time says nothing without it."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import torch

from ppl_vae.runtime.device import processor

_LIBRARIES = ("ppl_vae", "torch", "torchvision", "pyro-ppl", "numpyro", "jax", "jaxlib", "numpy")
# A load above this many busy cores is somebody else's.
_BUSY = 0.7


def describe_machine(device: str) -> dict[str, str]:
    """Processor, cores, threads, memory, load, system, device, versions; values are ready to be read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    described = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": processor(),
        "cores": f"{cores} of {os.cpu_count()}",
        "threads": str(torch.get_num_threads()),
        "memory": _memory(),
        "load": _load(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
    }
    if torch.version.cuda and device.startswith("cuda"):
        described["cuda"] = torch.version.cuda
    return described | {name: _version(name) for name in _LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _load() -> str:
    """Of the last minutes; threads that wait for each other, as torch's do, suffer far more from it than others."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    loads = os.getloadavg()
    busy = ": busy with other work, so that times and ratios are not to be relied on" if loads[0] > _BUSY else ""
    return " ".join(f"{load:.1f}" for load in loads) + busy


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, OSError, ValueError):
        return "unknown"
