"""How classes are told apart: by colours that a legend names or, where they are many, a bar."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.style import class_colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_MAX_TICKS = 12  # of a colour bar


def classes(labels: ArrayLike | None, count: int) -> tuple[list[str], NDArray[np.intp]]:
    """The classes' names in order, and each datapoint's place among them."""
    if labels is None:
        return ["all"], np.zeros(count, dtype=np.intp)
    array = np.asarray(labels)
    if array.shape != (count,):
        raise ValueError(f"{count} codes need labels of shape ({count},), got {array.shape}.")
    values, index = np.unique(array, return_inverse=True)
    return [str(value) for value in values], index


def dots(names: Sequence[str]) -> "list[Line2D]":
    """What a legend has of classes: a dot in each one's colour, with its name."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="", marker="o", markersize=7, color=color, label=name)
        for name, color in zip(names, class_colors(len(names)), strict=True)
    ]


def colour_bar(figure: "Figure", names: list[str]) -> None:
    """The colours of more classes than can be told apart by a legend, under the figure's axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    edges = np.arange(len(names) + 1) - 0.5
    scale = ScalarMappable(BoundaryNorm(edges.tolist(), len(names)), ListedColormap(class_colors(len(names))))
    bar = figure.colorbar(scale, ax=figure.axes[0], label="label", spacing="uniform", location="bottom")
    places = np.arange(0, len(names), -(-len(names) // _MAX_TICKS))
    bar.set_ticks(places.tolist(), labels=[names[place] for place in places])
    bar.ax.minorticks_off()
