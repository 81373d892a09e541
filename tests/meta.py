"""A GPU's rules where there is none: torch's ``meta`` tensors have shapes and a device, and no values.

On them a step runs as it would on a GPU, but for the numbers. What a GPU would refuse, two devices in one operation,
what it would have to be waited for, the value of a tensor, and a tensor that a step makes elsewhere are errors here.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ppl_vae.data import Dataset
from ppl_vae.testing import Case

META = torch.device("meta")

# For each of these the host waits for the device; `_linalg_check_errors` asks whether a factorisation has failed.
_READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_linalg_check_errors")


class ReadError(AssertionError):
    """A tensor's value was read."""


class DeviceError(AssertionError):
    """A tensor is on another device than the rest."""


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Those of an operation's arguments or results; torch's own walk takes longer than the operation."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))


def is_read(func: Any, args: Any) -> bool:
    """Whether an operation of torch's dispatcher hands a value to the host, or has a result of a size that only the
    values tell, as an index by a mask has."""
    name = func.overloadpacket.__name__
    types = [tensor.dtype for tensor in tensors_in(args[1:])]
    return name in _READS or (name in ("index", "index_put", "index_put_") and torch.bool in types)


class OnMeta(TorchDispatchMode):
    """Inside a step: every tensor is a meta tensor, made there, and none is read."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_read(func, args):
            raise ReadError(f"{func} in {_place()}")
        self.hold(func, (args, kwargs))
        out = _shapes_of(func, args, kwargs or {})
        self.hold(func, out)
        return out

    def hold(self, func: Any, values: Any) -> None:
        devices = [str(tensor.device) for tensor in tensors_in(values)]
        if set(devices) - {"meta"} and not _is_of_a_plate():
            raise DeviceError(f"{func} of {devices} in {_place()}")


class Evaluating(TorchDispatchMode):
    """Between steps: values are read, and counted; the answer to each is a made-up one. Two devices do not meet, but in
    a copy from one to the other.

    Args:
        reads: gets the operation and the place of each.
    """

    def __init__(self, reads: list[str]) -> None:
        super().__init__()
        self.reads = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = list(tensors_in((args, kwargs)))
        devices = {tensor.device.type for tensor in tensors}
        name, copies = func.overloadpacket.__name__, ("_to_copy", "copy_")
        if len(devices) > 1 and name not in copies:
            raise DeviceError(f"{func} of {[str(tensor.device) for tensor in tensors]} in {_place()}")
        to_host = name in copies and "meta" in devices and torch.device((kwargs or {}).get("device", META)) != META
        if "meta" not in devices or not (to_host or is_read(func, args)):
            return _shapes_of(func, args, kwargs or {})
        self.reads.append(f"{func} in {_place()}")
        return self.answer(func, args, kwargs or {})

    def answer(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Numbers are 1, questions answered by yes, masks full, and what is looked for is nowhere."""
        name = func.overloadpacket.__name__
        if name == "_to_copy":
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name == "_local_scalar_dense":
            return torch.ones((), dtype=args[0].dtype).item()
        if name in ("is_nonzero", "equal"):
            return True
        if name == "nonzero":
            return torch.zeros(0, args[0].dim(), dtype=torch.long, device=META)
        if name == "_linalg_check_errors":
            return None
        if name == "masked_select":
            return args[0].flatten()
        value, indices, *rest = args
        return func(value, [each for index in indices for each in _as_numbers(index)], *rest, **kwargs)


def _as_numbers(index: Tensor | None) -> list[Tensor | None]:
    """A full mask as the numbers of its elements, one tensor for each of its dimensions."""
    if index is None or index.dtype != torch.bool:
        return [index]
    return [torch.zeros(index.numel(), dtype=torch.long, device=META) for _ in range(index.dim())]


def _shapes_of(func: Any, args: Any, kwargs: Any) -> Any:
    if func is torch.ops.aten._sample_dirichlet.default and args[0].device == META:  # torch has forgotten its shape
        return torch.empty_like(args[0])
    return func(*args, **kwargs)


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame:
        yield frame
        frame = frame.f_back


def _is_of_a_plate() -> bool:
    """Pyro's plate numbers its rows, on the CPU, and nothing of ours reads them."""
    return any(frame.f_code.co_filename.endswith("subsample_messenger.py") for frame in _frames())


def _place() -> str:
    """Where, outside of torch and of this file."""
    for frame in _frames():
        name = frame.f_code.co_filename
        if "/torch/" not in name and name != __file__:
            return f"{name}:{frame.f_lineno}"
    return "?"


@contextmanager
def fused_on_meta() -> Iterator[None]:
    """torch has its fused Adam for meta tensors, and does not list them among the devices that it has it for."""
    from torch.optim import optimizer

    listed = optimizer._get_fused_kernels_supported_devices
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [*listed(), "meta"])
        yield


@contextmanager
def a_step() -> Iterator[None]:
    """What a training step is held to, as ``fit`` takes it from the second one on."""
    with fused_on_meta(), pyro.validation_enabled(False), OnMeta():
        yield


def on_meta(case: Case) -> tuple[nn.Module, nn.Module, Dataset]:
    """The pair in training mode, and its data."""
    model, guide = (program.to(META).train() for program in case.pair())
    return model, guide, Dataset(case.x, case.y).to(META)
