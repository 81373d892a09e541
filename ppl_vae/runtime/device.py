"""Which device to compute on, and which one a program is on."""

import platform
from pathlib import Path

import torch
from torch import nn

from ppl_vae.runtime.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is CUDA where there is one, then MPS, then the CPU.

    Raises:
        UserError: no such device on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device '{name}'; use auto, cpu, mps, cuda or cuda:N.") from None
    # torch keeps the number in a byte: cuda:1000 would come back as another.
    number = int(name.partition(":")[2] or 0)
    if device.type == "cuda" and number >= torch.cuda.device_count():
        raise UserError(
            f"device '{name}' is not there ({torch.cuda.device_count()} CUDA devices); use `device` auto or cpu."
        )
    if device.type == "cpu" and number:
        raise UserError(f"device '{name}' is not there; there is one cpu.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps' is not there; use `device` auto or cpu.")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"device '{name}' is not supported; use auto, cpu, mps, cuda or cuda:N.")
    return device


def device_of(program: nn.Module) -> torch.device:
    """Where a program's parameters are; the CPU of one without any."""
    return next(program.parameters(), torch.zeros(())).device


def processor() -> str:
    """The model of the processor, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
