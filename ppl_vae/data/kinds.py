"""What kind of numbers observations are, by which is chosen what nobody has set (:mod:`ppl_vae.registry.suited`), and
the numbers themselves where they are kept as integers."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ppl_vae.programs.layout import CHANNELS, Layout
from ppl_vae.runtime.errors import UserError

Kind = Literal["bits", "grey levels", "photographs", "colour", "reals", "counts", "text", "music"]

Column = Literal["reals", "counts", "bits", "category"]
"""What a column of a table holds; of a category it is one of a block of columns, of which exactly one is 1."""
COLUMNS: tuple[str, ...] = get_args(Column)

LARGEST = 1e15
"""Real numbers may be so large: float32, in which spreads are worked out, holds the sum of 3e8 squares of them."""
SMALLEST = 1e-12
"""The largest of real numbers may not be smaller: squares of less are soon none."""

# Of a column's spread by its size: what is below is rounding of a constant, and above float32 has digits enough.
_FEW_DIGITS = (1e-14, 1e3 * 2.0**-24)

LOOKED_AT = 2000
"""Rows, spread over all, by which levels and tones are told."""

_MOST_LEVELS = 256
_MIDDLE = (0.1, 0.9)  # what is neither dark nor bright

IN_WORDS: dict[Kind, str] = {
    "bits": "bits",
    "grey levels": "grey levels, most of them near black or white",
    "photographs": "grey levels, most of them between black and white",
    "colour": "colour images",
    "reals": "real numbers",
    "counts": "whole numbers from 0 up",
    "text": "text",
    "music": "music",
}
"""What x holds, as the end of a sentence: "x holds ...". Text and music are what x is."""


def kind_of(x: Tensor, layout: Layout = "plain") -> Kind:
    """What kind of numbers these are.

    * text and music are told by their layout, bits by having no other number than 0 and 1;
    * whole numbers from 0 up, some above 1, are counts; all else that leaves [0, 1] is reals;
    * in [0, 1], ``(N, H, W, 3)`` and ``(N, H, W, 4)`` are images in colour. Other images, and vectors of at most 256
      levels, are photographs if over half of their pixels are between 0.1 and 0.9, where bits drawn from them would
      be noise, and grey levels (MNIST) if not. Vectors of other numbers are reals, a table scaled into [0, 1].

    Args:
        x: observations before they are binarized, ``(N, *event)``, float, at least one.
        layout: of an observation.
    """
    if layout != "plain":
        return "text" if layout == "text" else "music"
    some = x[:: max(1, len(x) // LOOKED_AT)]
    if bool(_is_bit(some).all() and _is_bit(x).all()):
        return "bits"
    if not bool(((x >= 0) & (x <= 1)).all()):
        return "counts" if bool(((x >= 0) & (x == x.round())).all()) else "reals"
    if x.dim() == 4 and x.shape[-1] in CHANNELS[1:]:
        return "colour"
    if x.dim() == 2 and len(some.unique()) > min(_MOST_LEVELS, some.numel() // 4):
        return "reals"
    between = ((some > _MIDDLE[0]) & (some < _MIDDLE[1])).float().mean()
    return "photographs" if float(between) > 0.5 else "grey levels"


def as_float(x: Tensor, scale: int) -> Tensor:
    """Observations as they are kept, as float: integers divided by the scale, by nothing if it is 0 or 1."""
    if x.is_floating_point():
        return x
    floats = x.to(torch.get_default_dtype())
    return floats if scale <= 1 or x.dtype == torch.bool else floats / scale


def is_grey(x: Tensor) -> Tensor:
    """Which numbers are no bits, bool of the same shape."""
    return (x != 0) & (x != 1)


def is_outside(x: Tensor) -> Tensor:
    """Which numbers are no probabilities, bool of the same shape; NaN is none."""
    return ~((x >= 0) & (x <= 1))


def _is_bit(x: Tensor) -> Tensor:
    return (x == 0) | (x == 1)


def refuse_lost(where: str, x: np.ndarray) -> None:
    """See that float32, in which numbers are learned, tells real numbers apart as they are.

    Args:
        where: they come from, for messages.
        x: ``(N, *event)``, none of them missing.

    Raises:
        UserError: all are too small to square, or a column differs in digits alone that float32 does not have.
    """
    if x.dtype.kind != "f" or not np.isfinite(largest := max(-x.min(), x.max())):
        return
    if 0 < largest < SMALLEST:
        raise UserError(
            f"{where}: x runs from {x.min():.8g} to {x.max():.8g}, too small to add up their squares in float32; write "
            "it in smaller units, in which it is about 1."
        )
    if x.dtype.itemsize <= np.dtype(np.float32).itemsize:
        return
    flat = x.reshape(len(x), -1)
    low, high = flat.min(0), flat.max(0)
    spread, size = high - low, np.maximum(-low, high)
    for column in np.flatnonzero((spread > _FEW_DIGITS[0] * size) & (spread < _FEW_DIGITS[1] * size)):
        if (flat[:, column].astype(np.float32) != flat[:, column]).any():
            raise UserError(
                f"{where}: column {column} of x runs from {low[column]:.12g} to {high[column]:.12g}, and float32 has "
                "seven digits; subtract its mean, or leave it out."
            )
