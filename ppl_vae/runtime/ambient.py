"""What a caller has switched on around a call of ours, and what is kept out of it.

A caller's ``torch.autocast``, ``torch.inference_mode`` and Pyro handlers reach into everything that is computed inside
them, ours too: ``poutine.mask`` would make an ELBO 0, ``poutine.scale`` a multiple of itself, and autocast would go on
with a copy of the weights that it made at the first step. Numbers are to depend on what a function is given alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from pyro.poutine.runtime import _DIM_ALLOCATOR, _PYRO_STACK

_DEVICES = ("cpu", "cuda", "mps")  # autocast is a switch of each


@contextmanager
def apart() -> Iterator[None]:
    """Inside the block it is as if the caller had none of that, nor a plate around it; afterwards all is back.

    Whether gradients are recorded is left as it is; in inference mode they were not.
    """
    handlers, plates = list(_PYRO_STACK), list(_DIM_ALLOCATOR._stack)
    with ExitStack() as stack:
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        _PYRO_STACK.clear()
        _DIM_ALLOCATOR._stack.clear()
        try:
            yield
        finally:
            _PYRO_STACK[:], _DIM_ALLOCATOR._stack[:] = handlers, plates
