"""A short hash of a module's weights, by which a result says what it was made with."""

import hashlib

import torch
from torch import Tensor, nn


def fingerprint_of(module: nn.Module) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over a module's state: names, dtypes, shapes and bytes.

    The same on every device. What stands outside the state (the architecture, settings such as an activation, buffers
    that are not persistent) is no part of it.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            # As bytes in torch: numpy has no bfloat16.
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:  # a module's extra state can be anything
            digest.update(f"{name} {value!r} ".encode())
    return digest.hexdigest()[:16]
