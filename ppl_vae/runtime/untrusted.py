"""A value out of a checkpoint, which may come from other hands and be anything, and what is asked of it.

torch believes what it is given: its fused Adam writes through moments of any shape, past their end. So every value is
held to its type, shape and range first; what is wrong is one line that names the key.
"""

import math
import reprlib
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from ppl_vae.runtime.errors import UserError


class Found:
    """A value, and where it stands.

    Args:
        path: of the checkpoint.
        value: what was found there. A tensor on the meta device has no contents: those are asked for nothing.
        place: the keys that lead to it.
    """

    def __init__(self, path: Path, value: object, place: str = "") -> None:
        self.path, self.value, self.place = path, value, place

    def wrong(self, what: str) -> UserError:
        """The error that says what is wrong with this value."""
        place = f"{self.place}: " if self.place else ""
        return UserError(f"{self.path}: damaged checkpoint ({place}{what}); restore it or train again.")

    def at(self, key: object, value: object) -> "Found":
        """A value under this one."""
        return Found(self.path, value, f"{self.place}.{key}" if self.place else str(key))

    def mapping(self) -> dict[str | int, "Found"]:
        """The entries of a dictionary whose keys are names and numbers."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{_in_words(self.value)} instead of a dictionary")
        if strange := [key for key in self.value if not isinstance(key, str | int)]:
            raise self.wrong(f"a {type(strange[0]).__name__} among its keys")
        return {key: self.at(key, value) for key, value in self.value.items()}

    def entry(self, key: str) -> "Found":
        """The entry of a dictionary by this key."""
        found = self.mapping()
        if key not in found:
            raise self.wrong(f"{key!r} is missing")
        return found[key]

    def entries(self, keys: Collection[str], ignored: Collection[str] = ()) -> dict[str, "Found"]:
        """The entries of a dictionary that has these keys and, except for some that are ignored, no others."""
        for other in self.mapping():
            if other not in keys and other not in ignored:
                raise self.wrong(f"{_in_words(other)} is not one of its keys")
        return {key: self.entry(key) for key in keys}

    def items(self, count: int | None = None) -> list["Found"]:
        """The items of a list, so many of them."""
        if not isinstance(self.value, list) or count not in (None, len(self.value)):
            raise self.wrong(f"{_in_words(self.value)} instead of a list" + (f" of {count}" if count else ""))
        return [self.at(number, value) for number, value in enumerate(self.value)]

    def integer(self, low: int, high: int) -> int:
        """A whole number in a range, its ends included."""
        if type(self.value) is not int or not low <= self.value <= high:
            raise self.wrong(f"{_in_words(self.value)} instead of a whole number from {low} to {high}")
        return self.value

    def number(self, low: float = -math.inf, high: float = math.inf, finite: bool = True) -> float:
        """A floating-point number in a range, its ends included."""
        if type(self.value) is not float:
            raise self.wrong(f"{_in_words(self.value)} instead of a number")
        if finite and not (math.isfinite(self.value) and low <= self.value <= high):
            raise self.wrong(f"{self.value:g} instead of a finite number{_range_in_words(low, high)}")
        return self.value

    def tensor(self, shape: Collection[int], *dtypes: torch.dtype) -> Tensor:
        """A tensor of this shape and one of these types."""
        value = self.value
        right = isinstance(value, Tensor) and not value.is_nested and value.layout is torch.strided
        if not (right and isinstance(value, Tensor) and value.dtype in dtypes and value.shape == tuple(shape)):
            wanted = _shape_in_words(dtypes[0], tuple(shape))
            raise self.wrong(f"{_in_words(value)} instead of a tensor of {wanted}")
        return value.detach()

    def tensor_within(self, shape: Collection[int], *dtypes: torch.dtype, low: float, high: float) -> Tensor:
        """The same, its numbers in a range, the ends included where they are finite."""
        value = self.tensor(shape, *dtypes)
        if not value.is_meta and not bool((value.isfinite() & (value >= low) & (value <= high)).all()):
            bounds = _range_in_words(low, high)
            raise self.wrong(f"numbers that are not finite{' and' * bool(bounds)}{bounds}")
        return value


def _range_in_words(low: float, high: float) -> str:
    return f" from {low:g} to {high:g}" if math.isfinite(high) else f" from {low:g}" if low > -math.inf else ""


def _shape_in_words(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    return f"{str(dtype).removeprefix('torch.')} and shape {shape}"


def _in_words(value: object) -> str:
    if isinstance(value, Tensor):
        if value.is_nested or value.layout is not torch.strided:
            return "a tensor that is not laid out plainly"
        return f"a tensor of {_shape_in_words(value.dtype, tuple(value.shape))}"
    if value is None or isinstance(value, str | int | float):
        return reprlib.repr(value)
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, list | dict | tuple) else "something else"
