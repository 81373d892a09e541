"""Words for observations: what they, their parts and their units are called in captions and messages."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ppl_vae.data.info import DataInfo
from ppl_vae.figures.table import MOST_COLUMNS


def is_table(info: DataInfo) -> bool:
    """Whether an observation is a row of a table that is drawn as such: of few columns."""
    return info.layout == "plain" and len(info.event_shape) == 1 and info.event_shape[0] <= MOST_COLUMNS


def observation(info: DataInfo) -> str:
    """What one observation is: an image, a row of a table, a line of text, a piece of music."""
    return {"plain": "row" if len(info.event_shape) == 1 else "image", "text": "line", "notes": "piece"}[info.layout]


def element(info: DataInfo) -> str:
    """What one number of an observation is."""
    return {"plain": "column" if len(info.event_shape) == 1 else "pixel", "text": "letter", "notes": "key"}[info.layout]


def amount(info: DataInfo, value: float) -> str:
    """A difference between numbers on the scale of :func:`between_ends`."""
    return f"{value:.1%}" if info.least else f"{value:.3f}"


def of_range(info: DataInfo) -> str:
    """What an :func:`amount` is a share of, if it is one."""
    return " of its range in training" if info.least else ""


def not_seen(info: DataInfo, *parts: Tensor) -> str:
    """How a picture of observations ``(..., *event)`` shows what was not seen, a sentence; nothing where there is none:
    an observation of NaN alone is an empty place."""
    blank = [x.isnan().flatten(x.dim() - len(info.event_shape)) for x in parts]
    if not any(bool((each.any(-1) & ~each.all(-1)).any()) for each in blank):
        return ""
    return " What was not seen has no mark." if is_table(info) else " Light blue: not seen."


def between_ends(info: DataInfo, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers from 0 at the smallest in training to 1 at the largest, of each column of a table; as they are where all
    of training lies in [0, 1]."""
    if not info.least:
        return x
    least, largest = np.array(info.least), np.array(info.largest)
    scaled: NDArray[np.float64] = (x - least) / np.where(largest > least, largest - least, 1.0)
    return scaled


def tones_of(info: DataInfo) -> str:
    """What white and black stand for where that is not 0 and 1, or a table's lines, as the end of a caption; else
    nothing."""
    if not info.least:
        return ""
    if is_table(info):
        return "; a line goes from the smallest number of its column in training to the largest"
    of = "of its column in training" if len(info.least) > 1 else "in training"
    return f"; from the smallest number {of} (white) to the largest (black)"
