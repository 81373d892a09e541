"""Arguments of a program, taken apart: the tensors, the numbers that may change, and all that a record is made for."""

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ppl_vae.tracing.capture import NotTraceableError

# What is the same as long as it is equal.
_PYTHONS = (bool, int, float, str, bytes, complex, type(None), enum.Enum, range, slice)
_FIXED = (*_PYTHONS, np.number, np.bool_, torch.dtype, torch.device, torch.Size)
_FLOATS = {float, np.float64}  # NumPy rounds what is worked out from a float32 in its own way


class Arguments(NamedTuple):
    """What a program is called with.

    ``key`` is equal for arguments that one record is good for; ``leaves`` has a mark in the place of each tensor and
    each number that may change.
    """

    key: tuple[Any, ...]
    leaves: list[Any]
    structure: Any
    tensors: list[Tensor]
    numbers: list[float]

    def filled(self, tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named arguments, with these tensors and numbers in their places."""
        given = {_TENSOR: iter(tensors), _NUMBER: iter(numbers)}
        leaves = [next(given[leaf]) if isinstance(leaf, _Mark) else leaf for leaf in self.leaves]
        args, kwargs = tree_unflatten(leaves, self.structure)
        return args, kwargs


class _Mark:
    """Stands where something else belongs."""


_TENSOR, _NUMBER = _Mark(), _Mark()


def taken_apart(args: tuple[Any, ...], kwargs: dict[str, Any], floats_change: bool) -> Arguments:
    """Take the arguments of a program apart.

    Args:
        args: positional.
        kwargs: by name.
        floats_change: whether Python's floats and float64 may change from call to call; if not, each has a record.

    Raises:
        NotTraceableError: one is of a type that may change without being seen to.
    """
    given, structure = tree_flatten((args, kwargs))
    key: list[Any] = [structure]
    leaves: list[Any] = []
    tensors: list[Tensor] = []
    numbers: list[float] = []
    for value in given:
        kind = type(value)
        if isinstance(value, Tensor):
            if value.requires_grad or value.layout is not torch.strided:
                raise NotTraceableError("an argument is a sparse tensor or one that wants a gradient")
            tensors.append(value)
            leaves.append(_TENSOR)
            key.append((kind, value.shape, value.stride(), value.dtype, value.device))
        elif kind in _FLOATS and floats_change:
            numbers.append(float(value))
            leaves.append(_NUMBER)
            key.append(_NUMBER)
        elif isinstance(value, _FIXED):
            leaves.append(value)
            key.append((kind, (value.start, value.stop, value.step) if isinstance(value, slice) else value))
        elif isinstance(value, nn.Module):
            leaves.append(value)
            key.append(value)
        else:
            raise NotTraceableError(f"an argument is a {kind.__name__}: what is in it may change without being seen to")
    return Arguments(tuple(key), leaves, structure, tensors, numbers)
