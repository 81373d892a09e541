"""What arrays are taken for, whoever brings them: a file or Python.

What 1 means in x is decided once, by the data that a pair is trained on, and held against all data after it:

* bool, and float in [0, 1], are what they are (float may leave the interval by its rounding, and is cut there);
* integers that are all 0 or 1 are bits;
* integers of a table (N, D) are counts or codes, and stay as they are, at scale 0; but those that end at 255, and those
  of 8 bits that reach 128, are levels, and so are those that reach 128 or have k × k columns, an image of at least
  8 × 8 in a row, unless they thin out: of all above 0 fewer than one in 50 is the largest, where levels end;
* integers up to a k below 128 are levels of their own, and are divided by k;
* integers up to anything from 128 to 255 are those of 8-bit images, and are divided by 255;
* float that leaves [0, 1] is real numbers, and is what it is: a likelihood of bits or grey levels then refuses it;
* all other integers are refused;
* NaN is a number that is missing, and so is what an array ``mask`` says was not seen. In its place stands the column's
  median, which counts for nothing.

Whoever knows better says the scale. Later integers are divided by the same number, the *scale* (1 after float and
bool). Those above it are refused, and so are those that are all 0 or 1 under a larger scale: they could be bits or
nearly black.

x of shape (N, C, H, W) with 1, 3 or 4 channels is brought to (N, H, W, C). Whatever is decided here is also said.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.classes import labels_of, names_checked
from ppl_vae.data.dataset import ROUNDING
from ppl_vae.data.kinds import LARGEST, as_float, refuse_lost
from ppl_vae.data.missing import without_holes
from ppl_vae.programs.layout import CHANNELS, Layout, channels_first
from ppl_vae.runtime.errors import UserError

# Integers that do not reach this are levels of their own; those that do are 8-bit, whether or not they reach 255.
_HALF_OF_8_BITS = 128
_8_BITS = 255
_SIDE = 8  # pixels of the smallest image that is looked for in a row of a table
_RARE = 50  # among so many counts above 0 the largest is at most one


class Observations(NamedTuple):
    """Data as it comes: what a file holds, or what Python was given.

    Args:
        x: ``(N, *event)``, float32, in [0, 1] unless there are real numbers; bool; or integers of the smallest type
            that holds them.
        y: labels, ``(N,)``, int64, or None.
        scale: what integers are divided by, 0 where they are counts.
        notes: what was decided in reading it, a line each.
        class_names: what the labels 0, 1, 2, ... are called; none where they have no names.
        columns: what the columns of a table are called, likewise.
        mask: which numbers of x were seen, ``(N, *event)``; None where all were.
        kinds: what each column of a table holds; none where the numbers say it.
        c: conditions, ``(N, C)``, float32, or None.
        condition_names: what they are called.
        test_x: the set's own test observations, ``(tests, *event)``, or None where it has none.
        test_y: their labels, ``(tests,)``, or None.
        validation_x: the set's own observations for early stopping, or None where it has none.
        layout: how an observation is laid out.
        alphabet: the characters of text.
    """

    x: Tensor
    y: Tensor | None = None
    scale: int = 1
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    mask: Tensor | None = None
    kinds: tuple[str, ...] = ()
    c: Tensor | None = None
    condition_names: tuple[str, ...] = ()
    test_x: Tensor | None = None
    test_y: Tensor | None = None
    validation_x: Tensor | None = None
    layout: Layout = "plain"
    alphabet: str = ""

    def values(self) -> Tensor:
        """The observations as float."""
        return as_float(self.x, self.scale)


def short(where: str) -> str:
    """Where data comes from, in a note: the name of its file."""
    return Path(where).name


def check_form(where: str, shape: tuple[int, ...], dtype: np.dtype, y: tuple[int, ...] | None = None) -> None:
    """See that x is an array of observations and y a label for each, before anything of them is read.

    Args:
        where: the data comes from, for messages.
        shape: of x.
        dtype: of x.
        y: the shape of the labels, if there are any.

    Raises:
        UserError: they are not.
    """
    if len(shape) < 2:
        raise UserError(f"{where}: x has shape {shape}; it must be (N, D) or (N, H, W), a row for each observation.")
    if 0 in shape:
        raise UserError(f"{where}: x is empty, shape {shape}; it needs at least one observation.")
    if dtype.kind not in "buif":
        raise UserError(f"{where}: x is {dtype}; store uint8 (0 to 255), bool, or float in [0, 1].")
    if y is not None and y != shape[:1]:
        raise UserError(f"{where}: y has shape {y} where x has {shape[0]} rows; it must be {shape[:1]}.")


def observed(
    where: str,
    x: np.ndarray,
    y: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    class_names: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    scale: int | None = None,
    event_shape: tuple[int, ...] | None = None,
    known: Mapping[str, int] | None = None,
) -> Observations:
    """Take arrays for what they are.

    Args:
        where: they come from, for messages.
        x: ``(N, D)``, ``(N, H, W)`` or with more event dimensions, bool, integers, or float.
        y: labels, ``(N,)``: numbers, or names of classes.
        mask: which numbers of x were seen, bool, of its shape.
        class_names: what the labels 0, 1, 2, ... are called.
        columns: what the D columns are called.
        scale: what integers stand for 1 by, if that has been decided.
        event_shape: of an observation, if that has been decided.
        known: labels by their names, if those have been decided; else names are numbered in the alphabet's order.

    Raises:
        UserError: what is wrong with them, and what they should hold.
    """
    check_form(where, x.shape, x.dtype, None if y is None else y.shape)
    if columns and x.shape[1:] != (len(columns),):
        raise UserError(
            f"{where}: {len(columns)} columns are named, and x has shape {x.shape}; name each column of (N, D)."
        )
    columns = names_checked(where, "columns", columns)
    given = mask  # of another shape than x it is refused below
    if mask is not None and mask.shape == x.shape:
        given = _channels_last(where, mask, event_shape)[0]
    x, moved = _channels_last(where, x, event_shape)
    x, seen, missing = without_holes(where, x, given)
    if scale is None and event_shape is None:  # numbers of their own, which no run's are held against
        refuse_lost(where, x)
    x, scale, scaled = _scaled(where, x, scale)
    # In C's order, whatever the data's: noise is drawn in the order of memory. A copy of what only a file holds.
    kept = np.array(x, dtype=_kept_as(x), order="C", copy=None if x.flags.writeable else True)
    labels, class_names = labelled(where, y, class_names, known)
    notes = (*moved, *missing, *scaled)
    return Observations(torch.from_numpy(kept), labels, scale, notes, class_names, columns, seen)


def labelled(
    where: str, y: np.ndarray | None, class_names: tuple[str, ...] = (), known: Mapping[str, int] | None = None
) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels as integers, and what they are called; see :func:`ppl_vae.data.classes.labels_of`.

    Raises:
        UserError: they are no labels, or names are missing.
    """
    labels, found = (None, ()) if y is None else labels_of(where, y, known)
    class_names = found or names_checked(where, "class_names", class_names)
    if class_names and (labels is None or int(labels.min()) < 0 or int(labels.max()) >= len(class_names)):
        raise UserError(f"{where}: {len(class_names)} classes are named, and y has others; name each label from 0 up.")
    return labels, class_names


def _channels_last(
    where: str, x: np.ndarray, event_shape: tuple[int, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    shape = x.shape[1:]
    if event_shape is not None and shape == event_shape:
        return x, ()
    last = (*shape[1:], shape[0])
    if channels_first(shape) and event_shape in (None, last):
        return np.moveaxis(x, 1, -1), (f"{short(where)}: x {x.shape} has its channels first; taken as (N, H, W, C).",)
    if event_shape is not None:
        raise UserError(f"{where}: observations of shape {shape}, not the run's {event_shape}; reshape x.")
    if len(shape) == 3 and shape[0] in CHANNELS:
        height, width, depth = shape
        return x, (
            f"{short(where)}: x {x.shape} is taken as {height} × {width} pixels of {depth} channels; were they first, "
            "store numpy.moveaxis(x, 1, -1).",
        )
    return x, ()


def _scaled(where: str, x: np.ndarray, scale: int | None) -> tuple[np.ndarray, int, tuple[str, ...]]:
    if x.dtype == np.bool_:
        return x, scale or 1, ()
    low, high = x.min(), x.max()
    if x.dtype.kind != "f":
        return _scaled_integers(where, x, int(low), int(high), scale)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(x)).reshape(len(x), -1).any(1).argmax())
        raise UserError(
            f"{where}: x holds infinity, first in row {bad}; remove those values, or put NaN where a number is missing."
        )
    # Of numbers whose meaning is yet to be told, rounding is small beside the largest: -1e-8 beside 2e-8 is a number.
    rounding = ROUNDING if scale is not None else ROUNDING * min(1.0, max(0.0, float(high)))
    if low < -rounding or high > 1 + ROUNDING:
        said = f"x runs from {low:.8g} to {high:.8g}"
        if scale and scale > 1:
            raise UserError(f"{where}: {said}; scale it into [0, 1], as this run's data was, or store uint8.")
        if max(-low, high) > LARGEST:
            flat = np.abs(x.reshape(len(x), -1)).max(0)
            columns = ", ".join(map(str, np.flatnonzero(flat > LARGEST)[:3]))
            raise UserError(
                f"{where}: {said}, too large to add up their squares in float32, first in column {columns}; write "
                "it in larger units, x / 1e20 for instance, or take its logarithm."
            )
        return x, 1, (f"{short(where)}: {said}, real numbers, taken as they are.",)
    return x.clip(0, 1) if low < 0 or high > 1 else x, scale or 1, ()


def _scaled_integers(
    where: str, x: np.ndarray, low: int, high: int, scale: int | None
) -> tuple[np.ndarray, int, tuple[str, ...]]:
    if scale == 0 or (scale is None and _is_counts(x, low, high)):
        if low < 0:
            raise UserError(
                f"{where}: x holds integers from {low} to {high}, where they are to be counts or codes, from 0 up; "
                "see that it is the right file."
            )
        if high > LARGEST:
            raise UserError(
                f"{where}: x holds integers from {low} to {high}, too large for float32 to count; store float, in "
                "larger units or as logarithms."
            )
        said = f"x holds integers ({x.dtype}) from {low} to {high}, kept as they are: counts or codes"
        return x, 0, (f"{short(where)}: {said}.",)
    if low < 0:
        raise UserError(
            f"{where}: x holds integers from {low} to {high}, and those of counts, codes and grey levels begin at 0; "
            "store x.astype('float32') for real numbers, x - x.min() for codes, and as float with NaN what is missing."
        )
    if high > _8_BITS:
        raise UserError(
            f"{where}: x holds integers from {low} to {high}; divide it by its largest possible value and store float "
            "in [0, 1], or store uint8 (0 to 255)."
        )
    notes: tuple[str, ...] = ()
    if scale is None:
        scale = max(1, high) if high < _HALF_OF_8_BITS else _8_BITS
        how = "taken as bits" if scale == 1 else f"divided by {scale}"
        notes = (f"{short(where)}: x holds integers ({x.dtype}) from {low} to {high}, {how}.",)
    elif high > scale:
        raise UserError(
            f"{where}: x holds integers from {low} to {high}, where they are to go from 0 to {scale}; scale x as "
            "that of training was, and store float in [0, 1]."
        )
    elif scale > 1 and high == 1:
        raise UserError(
            f"{where}: x holds the integers 0 and 1 alone, where this run's go to {scale}: they could be bits or "
            f"nearly black; store bits as bool, and levels as float, x / {scale}."
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
    if x.ndim != 2 or low < 0 or high < 2 or high == _8_BITS:
        return False
    square = x.shape[1] >= _SIDE**2 and math.isqrt(x.shape[1]) ** 2 == x.shape[1]
    if high > _8_BITS or (high < _HALF_OF_8_BITS and not square):
        return True
    thins_out = bool((x == high).sum() * _RARE < (x > 0).sum())
    return thins_out and not (high >= _HALF_OF_8_BITS and x.dtype == np.uint8)
