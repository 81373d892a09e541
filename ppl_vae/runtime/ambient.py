"""What a caller has switched on around a call of ours, and what is kept out of it.

A caller's ``torch.autocast``, ``torch.inference_mode`` and Pyro handlers reach into everything that is computed inside
them, ours too: ``poutine.mask`` would make an ELBO 0, ``poutine.scale`` a multiple of itself, and autocast would go on
with a copy of the weights that it made at the first step. Numbers are to depend on what a function is given alone. So
is their precision: torch's default shortens the factors of convolutions on a GPU to tf32.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from pyro.poutine.runtime import _DIM_ALLOCATOR, _PYRO_STACK

_DEVICES = ("cpu", "cuda", "mps")  # autocast is a switch of each
_blocks: list[None] = []  # that are entered


@contextmanager
def apart() -> Iterator[None]:
    """Inside the block it is as if the caller had none of that, nor a plate around it; afterwards all is back.

    Whether gradients are recorded is left as it is; in inference mode they were not. A block inside another one leaves
    the precision of convolutions as that has it, which may be a training's own.
    """
    handlers, plates = list(_PYRO_STACK), list(_DIM_ALLOCATOR._stack)
    with ExitStack() as stack:
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        if not _blocks:
            stack.enter_context(_float32_convolutions())
        _blocks.append(None)
        _PYRO_STACK.clear()
        _DIM_ALLOCATOR._stack.clear()
        try:
            yield
        finally:
            _blocks.pop()
            _PYRO_STACK[:], _DIM_ALLOCATOR._stack[:] = handlers, plates


@contextmanager
def _float32_convolutions() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before
