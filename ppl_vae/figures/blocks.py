"""Images of several sources, a block of rows under each source's name; and images with words below each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ppl_vae.figures.images import as_pixels, fitting, mosaic, show
from ppl_vae.figures.look.style import WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME = 0.4  # inches, of a block's name
_LINE = 0.24  # inches, of another line of it, and of the columns' names
_LETTER = 0.12  # inches, of a row's name
_WORDS = 0.26  # inches, of the words below an image
_WORD, _WIDE = 11.5, 0.72  # points of these words at most, and widths of a letter in them
_TILE = 1.1  # inches, the most a tile is wide
_MIN_WIDTH = 2.0  # inches, of a picture of few tiles
_BESIDE = 2.4  # inches, the most that the rows' names take
_NARROWEST = 3.5  # inches, of a figure, for the blocks' names
_PADDING = 0.2  # inches, that the layout keeps free above and below


@styled
def blocks(
    images: Mapping[str, ArrayLike],
    row_names: Sequence[str] = (),
    caption: str = "",
    column_names: Sequence[str] = (),
) -> "Figure":
    """Blocks of images under each other, such as draws of several generators.

    Args:
        images: ``(rows, columns, *event)`` in [0, 1] by the block's name, from the top; all of one
            shape; an image of NaN leaves its place empty.
        row_names: of the rows of every block, or none.
        caption: what was done.
        column_names: of the columns of every block, or none; they stand above each.

    Returns:
        the figure; a block is an axes that has its name for title and label.

    Raises:
        ValueError: no block, shapes that differ, or what :func:`ppl_vae.figures.strips` raises.
    """
    pixels = {name: as_pixels(block, leading=2, blanks=True) for name, block in images.items()}
    shapes = {block.shape for block in pixels.values()}
    if len(shapes) != 1:
        raise ValueError(f"blocks of one shape are needed, got {sorted(shapes) or 'none'}.")
    rows, columns, height, width = shapes.pop()[:4]
    for names, count, what in ((row_names, rows, "rows"), (column_names, columns, "columns")):
        if names and len(names) != count:
            raise ValueError(f"{count} {what} need as many names, got {len(names)}.")
    pictures = {name: mosaic(block) for name, block in pixels.items()}
    beside = min(_LETTER * max(map(len, row_names), default=0), _BESIDE)
    ratio = max(picture.shape[0] / picture.shape[1] for picture in pictures.values())
    most = min(WIDTH - beside, max(_MIN_WIDTH, columns * _TILE * max(1.0, width / height)))
    wide = fitting(ratio * len(pictures), most)
    lines = sum(name.count("\n") for name in pictures) + len(pictures) * bool(column_names)
    high = (wide * ratio + _NAME) * len(pictures) + lines * _LINE + _PADDING
    figure = new_figure(max(wide + beside, _NARROWEST), high, caption)
    panels = figure.subplots(len(pictures), 1, squeeze=False).flat
    for axes, (name, picture) in zip(panels, pictures.items(), strict=True):
        show(axes, picture)
        axes.set_label(name)
        axes.set_title(name, loc="left", pad=8.0 if column_names else None)
        down = _step(picture.shape[0], rows, height)
        axes.set_yticks(np.arange(rows) * down + height / 2 - 0.5, row_names or [""] * rows)
        across = _step(picture.shape[1], columns, width)
        axes.set_xticks(np.arange(columns) * across + width / 2 - 0.5 if column_names else [], column_names)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


@styled
def labelled(
    images: ArrayLike, words: Sequence[Sequence[str]], row_names: Sequence[str] = (), caption: str = ""
) -> "Figure":
    """Images in rows, with words below each, such as the means of a mixture's components and their weights.

    Args:
        images: ``(rows, columns, *event)`` in [0, 1]; an image of NaN leaves its place empty.
        words: for every image, a row for each row.
        row_names: one for each row, or none.
        caption: what was done.

    Returns:
        the figure, one mosaic; its texts are the words, row by row.

    Raises:
        ValueError: no images, an event that is no image, values that are infinite, or too few or many words or names.
    """
    pixels = as_pixels(images, leading=2, blanks=True)
    rows, columns, height, width = pixels.shape[:4]
    if [len(row) for row in words] != [columns] * rows or (row_names and len(row_names) != rows):
        raise ValueError(f"{rows} × {columns} images need as many words, and {rows} names or none.")
    beside = min(_LETTER * max(map(len, row_names), default=0), _BESIDE)
    tile = min((WIDTH - beside) / columns, max(_MIN_WIDTH / columns, _TILE * max(1.0, width / height)))
    band = round(width * _WORDS / tile)  # pixels below each image, for its words
    picture = mosaic(pixels, below=band)
    tall = tile * columns * picture.shape[0] / picture.shape[1]
    figure = new_figure(tile * columns + beside, tall + _PADDING, caption)
    axes = figure.subplots()
    show(axes, picture)
    down, across = (_step(picture.shape[0], rows, height + band), _step(picture.shape[1], columns, width))
    for row, texts in enumerate(words):
        for column, text in enumerate(texts):
            place = (column * across + width / 2 - 0.5, row * down + height + band / 2)
            size = min(_WORD, 72 * tile / (_WIDE * max(1, len(text))))  # so small that it stays below its image
            axes.text(*place, text, ha="center", va="center", size=size)
    axes.set_yticks(np.arange(rows) * down + height / 2 - 0.5, row_names or [""] * rows)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _step(length: int, count: int, tile: int) -> float:
    """From the start of a tile to the start of the next, where ``count`` tiles with gaps between are so long."""
    return tile + (length - count * tile) / max(count - 1, 1)
