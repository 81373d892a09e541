"""A user's own data: an ``.npz`` with ``x`` and, if there are labels, ``y``. Nothing in it is ever unpickled.

Classes may have names: in ``y`` itself, or beside it in ``class_names``. So may the columns of a table, in ``columns``.

What 1 means in x is decided once, by the file that a pair is trained on, and held against every file after it:

* bool, and float in [0, 1], are what they are (float may leave the interval by its rounding, and is cut there);
* integers that are all 0 or 1 are bits;
* integers up to a k below 128 are levels of their own, and are divided by k;
* integers of a table (N, D) that are not 8-bit are counts if they go beyond 255, or if they end below it and of all
  above 0 fewer than one in 50 is the largest: levels end there, counts thin out. They stay as they are, at scale 0;
* integers up to anything from 128 to 255 are those of 8-bit images, and are divided by 255;
* float that leaves [0, 1] is real numbers, and is what it is: a likelihood of bits or grey levels then refuses it;
* all other integers are refused;
* NaN is a number that is missing, and so is what an array ``mask`` says was not seen. In its place stands the column's
  median, which counts for nothing.

A later file's integers are divided by the same number, the *scale* (1 after float and bool). Those above it are
refused, and so are those that are all 0 or 1 under a larger scale: they could be bits or nearly black.

x of shape (N, C, H, W) with 1, 3 or 4 channels is brought to (N, H, W, C). Whatever is decided here is also said.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.dataset import ROUNDING
from ppl_vae.data.files.archive import read_array, read_headers
from ppl_vae.data.missing import without_holes
from ppl_vae.programs.layout import CHANNELS, channels_first
from ppl_vae.runtime.errors import UserError

# Labels become one-hot vectors; a larger one is an identifier, not a class.
_MOST_CLASSES = 10_000
# Integers that do not reach this are levels of their own; those that do are 8-bit, whether or not they reach 255.
_HALF_OF_8_BITS = 128
_8_BITS = 255
_RARE = 50  # among so many counts above 0 the largest is at most one
_LONGEST_NAME = 60


class Observations(NamedTuple):
    """What a file holds.

    Args:
        x: ``(N, *event)``, float32, in [0, 1] unless the file has real numbers; bool; or integers of the smallest type
            that holds them.
        y: labels, ``(N,)``, int64, or None.
        scale: what integers were, or from now on will be, divided by.
        notes: what was decided, a line each.
        class_names: what the labels 0, 1, 2, ... are called; none where they have no names.
        columns: what the columns of a table are called, likewise.
        mask: which numbers of x were seen, ``(N, *event)``; None where all were.
    """

    x: Tensor
    y: Tensor | None
    scale: int
    notes: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    mask: Tensor | None = None


def read_npz(
    path: Path,
    scale: int | None = None,
    event_shape: tuple[int, ...] | None = None,
    known: Mapping[str, int] | None = None,
) -> Observations:
    """Read and check a file.

    Args:
        path: holds ``x``, ``(N, D)``, ``(N, H, W)`` or with more event dimensions, bool, integers from 0, or float;
            and optionally ``y``, ``(N,)``, integers from 0 or names of classes; ``class_names``, what the
            integers 0, 1, 2, ... are called; ``columns``, what the D columns are called; ``mask``, which numbers of x
            were seen, bool, of its shape.
        scale: what integers stand for 1 by, if that has been decided.
        event_shape: of an observation, if that has been decided.
        known: labels by their names, if those have been decided; else names are numbered in the alphabet's order.

    Raises:
        UserError: what is wrong with the file, and what it should hold.
    """
    headers, names = read_headers(path, ("x", "y", "class_names", "columns", "mask"))
    if "x" not in headers:
        found = ", ".join(names) or "nothing"
        raise UserError(f"{path}: no array 'x' (found: {found}); save it with numpy.savez(path, x=images, y=labels).")
    (shape, dtype), rows = headers["x"], headers["x"].shape[:1]
    if len(shape) < 2:
        raise UserError(f"{path}: x has shape {shape}; it must be (N, D) or (N, H, W), a row for each observation.")
    if 0 in shape:
        raise UserError(f"{path}: x is empty, shape {shape}; it needs at least one observation.")
    if dtype.kind not in "buif":
        raise UserError(f"{path}: x is {dtype}; store uint8 (0 to 255), bool, or float in [0, 1].")
    if "y" in headers:
        if headers["y"].shape != rows:
            raise UserError(f"{path}: y has shape {headers['y'].shape} where x has {rows[0]} rows; it must be {rows}.")
        if headers["y"].dtype.kind not in "uiU":
            raise UserError(
                f"{path}: y is {headers['y'].dtype}; it must hold integer classes 0, 1, 2, ..., or their names."
            )
    class_names, columns = (_words(path, name) if name in headers else () for name in ("class_names", "columns"))
    if columns and shape[1:] != (len(columns),):
        raise UserError(
            f"{path}: {len(columns)} columns are named, and x has shape {shape}; name each column of (N, D)."
        )
    x, moved = _channels_last(path, read_array(path, "x"), event_shape)
    given = _channels_last(path, read_array(path, "mask"), event_shape)[0] if "mask" in headers else None
    x, mask, missing = without_holes(str(path), x, given)
    x, scale, scaled = _scaled(path, x, scale)
    # In C's order, whatever the file's: noise is drawn in the order of memory.
    found_x = torch.from_numpy(np.ascontiguousarray(x, dtype=_kept_as(x)))
    y = read_array(path, "y") if "y" in headers else None
    if y is not None and y.dtype.kind == "U":
        class_names, y = _numbered(path, y, known)
    found_y = None if y is None else _labels(path, y)
    if class_names and (found_y is None or int(found_y.max()) >= len(class_names)):
        raise UserError(f"{path}: {len(class_names)} classes are named, and y has others; name each label from 0 up.")
    return Observations(found_x, found_y, scale, (*moved, *missing, *scaled), class_names, columns, mask)


def _words(path: Path, name: str) -> tuple[str, ...]:
    """An array of names, each of them once."""
    words = read_array(path, name)
    if words.dtype.kind != "U" or words.ndim != 1:
        raise UserError(f"{path}: {name} is {words.dtype}, shape {words.shape}; it must be a list of strings.")
    return _checked(path, name, [str(word) for word in words])


def _checked(path: Path, what: str, words: list[str]) -> tuple[str, ...]:
    for word in words:
        if not (word.strip() and word.isprintable() and len(word) <= _LONGEST_NAME):
            raise UserError(
                f"{path}: {what} holds {word[:20]!r}; a name has 1 to {_LONGEST_NAME} characters on one line."
            )
    if len(set(words)) < len(words):
        raise UserError(f"{path}: {what} holds a name twice; give each its own.")
    return tuple(words)


def _numbered(path: Path, y: np.ndarray, known: Mapping[str, int] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of classes as labels: what these are called, and for each datapoint which it is."""
    words, index = np.unique(y, return_inverse=True)
    names = _checked(path, "y", [str(word) for word in words])
    if known is None:
        return names, index
    if foreign := [name for name in names if name not in known]:
        raise UserError(f"{path}: y holds '{foreign[0]}', the run's labels are {', '.join(known) or 'numbers'}.")
    return (), np.array([known[name] for name in names])[index]


def _channels_last(
    path: Path, x: np.ndarray, event_shape: tuple[int, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    shape = x.shape[1:]
    if event_shape is not None and shape == event_shape:
        return x, ()
    last = (*shape[1:], shape[0])
    if channels_first(shape) and event_shape in (None, last):
        return np.moveaxis(x, 1, -1), (f"{path.name}: x {x.shape} has its channels first; taken as (N, H, W, C).",)
    if event_shape is not None:
        raise UserError(f"{path}: observations of shape {shape}, not the run's {event_shape}; reshape x.")
    if len(shape) == 3 and shape[0] in CHANNELS:
        height, width, depth = shape
        return x, (
            f"{path.name}: x {x.shape} is taken as {height} × {width} pixels of {depth} channels; were they first, "
            "store numpy.moveaxis(x, 1, -1).",
        )
    return x, ()


def _scaled(path: Path, x: np.ndarray, scale: int | None) -> tuple[np.ndarray, int, tuple[str, ...]]:
    if x.dtype == np.bool_:
        return x, scale or 1, ()
    low, high = x.min(), x.max()
    if x.dtype.kind != "f":
        return _scaled_integers(path, x, int(low), int(high), scale)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(x)).reshape(len(x), -1).any(1).argmax())
        raise UserError(
            f"{path}: x holds infinity, first in row {bad}; remove those values, or put NaN where a number is missing."
        )
    if low < -ROUNDING or high > 1 + ROUNDING:
        said = f"x runs from {low:.8g} to {high:.8g}"
        if scale and scale > 1:
            raise UserError(f"{path}: {said}; scale it into [0, 1], as this run's data was, or store uint8.")
        if max(-low, high) > np.finfo(np.float32).max:
            raise UserError(f"{path}: {said}, more than float32 holds; scale it down.")
        return x, 1, (f"{path.name}: {said}, real numbers, taken as they are.",)
    return x.clip(0, 1) if low < 0 or high > 1 else x, scale or 1, ()


def _scaled_integers(
    path: Path, x: np.ndarray, low: int, high: int, scale: int | None
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    if scale == 0 or (scale is None and _is_counts(x, low, high)):
        if low < 0:
            raise UserError(
                f"{path}: x holds integers from {low} to {high}, where this run's data is counts, from 0 up."
            )
        return x, 0, (f"{path.name}: x holds integers ({x.dtype}) from {low} to {high}, taken as counts.",)
    if low < 0 or high > _8_BITS:
        raise UserError(
            f"{path}: x holds integers from {low} to {high}; divide it by its largest possible value and store float "
            "in [0, 1], or store uint8 (0 to 255)."
        )
    notes: tuple[str, ...] = ()
    if scale is None:
        scale = max(1, high) if high < _HALF_OF_8_BITS else _8_BITS
        how = "taken as bits" if scale == 1 else f"divided by {scale}"
        notes = (f"{path.name}: x holds integers ({x.dtype}) from {low} to {high}, {how}.",)
    elif high > scale:
        raise UserError(
            f"{path}: x holds integers from {low} to {high}, where this run's data goes from 0 to {scale}; scale x as "
            "that was, and store float in [0, 1]."
        )
    elif scale > 1 and high == 1:
        raise UserError(
            f"{path}: x holds the integers 0 and 1 alone, where this run's go to {scale}: they could be bits or nearly "
            f"black; store bits as bool, and levels as float, x / {scale}."
        )
    return x, scale, notes


def _kept_as(x: np.ndarray) -> np.dtype:
    """The smallest of the types in which observations are kept."""
    if x.dtype.kind == "f":
        return np.dtype(np.float32)
    if x.dtype.kind == "b":
        return x.dtype
    return next(np.dtype(kind) for kind in (np.uint8, np.int16, np.int32, np.int64) if x.max() <= np.iinfo(kind).max)


def _is_counts(x: np.ndarray, low: int, high: int) -> bool:
    if x.ndim != 2 or x.dtype == np.uint8 or low < 0 or high < 2:
        return False
    return high > _8_BITS or (high < _8_BITS and bool((x == high).sum() * _RARE < (x > 0).sum()))


def _labels(path: Path, y: np.ndarray) -> Tensor:
    if y.min() < 0 or y.max() >= _MOST_CLASSES:
        raise UserError(f"{path}: y runs from {y.min()} to {y.max()}; it must hold classes 0 to {_MOST_CLASSES - 1}.")
    return torch.from_numpy(y.astype(np.int64))
