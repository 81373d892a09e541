"""What a classifier takes for what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ppl_vae.figures.look.style import CATEGORICAL, INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NUMBERS = 12  # classes, before numbers no longer fit into their cells
_LETTER = 0.105  # inches, of a name
_NAMES = 2.2  # inches, the most that the names beside it take
_POINTS = 11.5  # of the numbers
_MARGIN = 1.0  # inches, of the labels
_BAR = 1.0  # inches, of the scale beside it


@styled
def confusion(counts: ArrayLike, names: Sequence[str], caption: str = "") -> "Figure":
    """How often each class was taken for each; only mistakes are coloured, by their share of the class.

    Args:
        counts: ``(C, C)``, whole numbers; row: the class, column: what it was taken for.
        names: of the classes.
        caption: what was done.

    Returns:
        the figure: a matrix with the counts in it (up to twelve classes; zeros are left blank), and its scale.

    Raises:
        ValueError: not a square of counts with as many names.
    """
    from matplotlib.colors import LinearSegmentedColormap

    matrix = np.asarray(counts)
    size = len(names)
    if matrix.shape != (size, size) or not size or (matrix < 0).any():
        raise ValueError(f"{size} classes need as many rows and columns of counts, got {matrix.shape}.")
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    mistakes = np.where(np.eye(size, dtype=bool), np.nan, shares)
    figure = new_figure(WIDTH, WIDTH - _BAR - _MARGIN + 0.8, caption)
    axes = figure.subplots()
    most = max(float(np.nan_to_num(mistakes).max()), 1.0)
    ink_is_legible = LinearSegmentedColormap.from_list("mistakes", ["white", CATEGORICAL[1]])
    image = axes.imshow(mistakes, cmap=ink_is_legible, vmin=0.0, vmax=most)
    axes.grid(False)
    if size <= _MOST_NUMBERS:
        digits = len(str(matrix.max()))
        beside = min(_NAMES, _LETTER * max(map(len, names)))
        points = min(_POINTS, 72 * (WIDTH - _BAR - _MARGIN - beside) / size / (0.75 * digits))  # as its cell is wide
        for row, column in np.argwhere(matrix > 0):
            weight = "bold" if row == column else "normal"
            text = axes.text(column, row, f"{matrix[row, column]}", ha="center", va="center", size=points)
            text.set(color=INK, weight=weight)
    places = range(0, size, -(-size // _MOST_NUMBERS))
    chosen = [names[place] for place in places]
    axes.set_xticks(places, chosen)
    axes.set_yticks(places, chosen)
    axes.tick_params(length=0)
    axes.set(xlabel="classified as", ylabel="label")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="% of the label's data")
    return figure
