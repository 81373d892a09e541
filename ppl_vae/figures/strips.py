"""Rows of pictures with names: walks through latent space, neighbours, labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ppl_vae.figures.images import as_pixels, fitting, mosaic, show
from ppl_vae.figures.look.style import WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE = 0.75  # inches, the most a tile is wide
_LETTER = 0.105  # inches, of a row's name
_LINE = 0.22  # inches, of the columns' names
_PADDING = 0.2  # inches, that the layout keeps free above and below
_MIN_WIDTH = 2.0  # inches, of a picture of few tiles
_BESIDE = 2.4  # inches, the most that the rows' names take
_NARROWEST = 2.5  # inches, of a figure whose rows have names: the layout gives them a third of it


@styled
def strips(
    images: ArrayLike, row_names: Sequence[str] = (), column_names: Sequence[str] = (), caption: str = ""
) -> "Figure":
    """Images in rows and columns, both with names.

    Args:
        images: ``(rows, columns, *event)`` in [0, 1]; an image of NaN leaves its place empty.
        row_names: one for each row, or none.
        column_names: one for each column, or none; they stand above.
        caption: what was done.

    Returns:
        the figure, one mosaic; its ticks are the names, at the images' centres.

    Raises:
        ValueError: no images, an event that is no image, values that are infinite, or too few or many names.
    """
    pixels = as_pixels(images, leading=2, blanks=True)
    rows, columns, height, width = pixels.shape[:4]
    for names, count, what in ((row_names, rows, "rows"), (column_names, columns, "columns")):
        if names and len(names) != count:
            raise ValueError(f"{count} {what} need as many names, got {len(names)}.")
    picture = mosaic(pixels)
    beside = min(_LETTER * max(map(len, row_names), default=0), _BESIDE)
    above = _LINE * max((name.count("\n") + 1 for name in column_names), default=0)
    ratio = picture.shape[0] / picture.shape[1]
    wide = fitting(ratio, min(WIDTH - beside, max(_MIN_WIDTH, columns * _TILE * max(1.0, width / height))))
    figure = new_figure(max(wide + beside, _NARROWEST if row_names else 0.0), wide * ratio + above + _PADDING, caption)
    axes = figure.subplots()
    show(axes, picture)
    step_down, step_across = picture.shape[0] / rows, picture.shape[1] / columns
    axes.set_yticks((np.arange(rows) + 0.5) * step_down - 0.5, row_names or [""] * rows)
    axes.set_xticks((np.arange(columns) + 0.5) * step_across - 0.5, column_names or [""] * columns)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    # Beside tiles that are narrower than a line the names of rows and columns could meet at the corner.
    axes.tick_params(axis="y", pad=4 + 36 * max(0.0, _LINE - wide / columns))
    axes.spines[:].set_visible(False)
    return figure
