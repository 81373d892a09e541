"""Statistics of a table's columns beside those of data sets that a model makes: where the two differ."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.fitting import shorten
from ppl_vae.figures.look.style import CATEGORICAL, INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALIKE, _BEYOND = CATEGORICAL[0], CATEGORICAL[2]
_LINE = 0.24  # inches, of a column
_LINES = 1.6, 5.6  # inches, of all columns
_SQUARE = 3.0  # inches, of the correlations
_ABOVE = 1.3  # inches, of titles, ticks and legend
_NARROWEST, _WIDEST = 0.1, 3.0  # to either side of the data, in standard deviations or multiples
_SMALL = 11.1  # points
_NAMES = 0.5, 2.2  # inches, of all names at least and at most
_LETTER, _CAPITAL = 0.12, 0.145  # inches
_ROOM = 0.85  # of these, what names take: the layout makes all a little narrower
_APART = 0.19  # inches, between names
_FEW = 300  # correlations whose intervals can be told apart


class Checked(NamedTuple):
    """A statistic of each of n columns, or pairs of columns, ``(n,)`` each; NaN where there is none.

    Args:
        data: of the data.
        draws: mean over the data sets that were drawn.
        lower: end of the interval that has 95 % of these.
        upper: its other end.
        beyond: whether the data differs beyond chance, bool.
    """

    data: ArrayLike
    draws: ArrayLike
    lower: ArrayLike
    upper: ArrayLike
    beyond: ArrayLike

    @property
    def arrays(self) -> "Checked":
        """All as arrays of floats, but the last of bools."""
        data, draws, lower, upper = (np.asarray(each, dtype=float) for each in self[:4])
        return Checked(data, draws, lower, upper, np.asarray(self.beyond, dtype=bool))

    def moved(self, by: NDArray[np.float64] | float, scale: NDArray[np.float64]) -> "Checked":
        """Less something, and over something."""
        data, draws, lower, upper = ((np.asarray(each) - by) / scale for each in self[:4])
        return Checked(data, draws, lower, upper, self.beyond)


@styled
def column_checks(
    columns: Sequence[str],
    centres: Checked,
    spreads: Checked,
    zeros: Checked,
    correlations: Checked,
    caption: str = "",
) -> "Figure":
    """Means, spreads, shares of zeros and correlations of the columns of a table, of data and of draws.

    Each column has a line, in the panels beside each other. Means are drawn as differences from the data's, in
    standard deviations of the data, spreads as multiples of the data's; what lies farther out is drawn at the edge.
    A panel without any number is left out.

    Args:
        columns: their names, n.
        centres: means, or shares of ones, whose standard deviation is √(p (1 − p)).
        spreads: standard deviations.
        zeros: shares of numbers that are 0.
        correlations: of pairs of columns, in any order.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "centres", "spreads", "zeros" and "correlations".

    Raises:
        ValueError: there is no column, or not one statistic for each.
    """
    centres, spreads, zeros, correlations = (each.arrays for each in (centres, spreads, zeros, correlations))
    shapes = {np.shape(each) for part in (centres, spreads, zeros) for each in part}
    if not columns or shapes != {(len(columns),)}:
        raise ValueError(f"statistics of shapes {shapes} for {len(columns)} columns: one is needed for each of them.")
    share = np.clip(np.asarray(centres.data), 0, 1)
    spread = np.where(np.isnan(spreads.data), np.sqrt(share * (1 - share)), spreads.data)
    usable = np.where(spread > 0, spread, np.where(np.nan_to_num(spreads.draws) > 0, spreads.draws, 1.0))
    of_ones = np.isnan(spreads.data)
    centre = "share of ones" if of_ones.all() else "mean or share" if of_ones.any() else "mean"
    parts = {
        "centres": (centre, "draws − data, in sd", 0.0, centres.moved(np.asarray(centres.data), usable)),
        "spreads": ("standard deviation", "draws ÷ data", 1.0, spreads.moved(0.0, usable)),
        "zeros": ("share of zeros", "share", None, zeros),
    }
    parts = {name: part for name, part in parts.items() if np.isfinite(part[3].draws).any()}
    pairs = np.isfinite(correlations.data) & np.isfinite(correlations.draws)
    high = float(np.clip(_LINE * len(columns), *_LINES))
    figure = new_figure(WIDTH, high + _ABOVE + (_SQUARE + 0.7) * pairs.any(), caption)
    heights = [high + _ABOVE, _SQUARE + 0.7][: 1 + bool(pairs.any())]
    names = float(np.clip(max(map(_length, columns)), *_NAMES))
    widths = [names, *[(WIDTH - names) / max(1, len(parts))] * len(parts)]
    grid = figure.add_gridspec(len(heights), len(widths), height_ratios=heights, width_ratios=widths)
    first = figure.add_subplot(grid[0, 0], ylim=(len(columns) - 0.4, -0.6))
    _write_names(first, columns, names, high)
    for place, (label, (title, unit, line, part)) in enumerate(parts.items(), start=1):
        axes = figure.add_subplot(grid[0, place], sharey=first, label=label)
        _draw_lines(axes, part, line)
        axes.set_title(title, size=_SMALL + 1)
        axes.set_xlabel(unit, size=_SMALL)
        axes.tick_params(axis="y", length=0, labelleft=False)
        axes.grid(visible=False, axis="y")
    if pairs.any():
        axes = figure.add_subplot(grid[1, :], label="correlations")
        _draw_pairs(axes, Checked(*(np.asarray(each)[pairs] for each in correlations)))
    _draw_legend(figure, any(np.any(part.beyond) for part in (centres, spreads, zeros, correlations)))
    return figure


def _length(name: str) -> float:
    """Of a name, in inches; those of genes are in capitals."""
    return sum(_CAPITAL if letter.isupper() else _LETTER for letter in name)


def _write_names(axes: "Axes", columns: Sequence[str], width: float, high: float) -> None:
    """The columns' names on a part of the figure of so many inches; of very many columns every second, third, … ."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes in use are in one
    for place in range(0, len(columns), math.ceil(_APART * len(columns) / high)):
        name = axes.text(1, place, columns[place], ha="right", va="center", size=_SMALL, parse_math=False)
        shorten(name, _ROOM * width * figure.dpi, 1)


def _draw_lines(axes: "Axes", part: Checked, line: float | None) -> None:
    """A statistic of each column: interval and mean of the draws, and where the data is."""
    low, high = _limits(part, line)
    heights = np.arange(len(np.asarray(part.data)))
    size = 5.0 if len(heights) <= 40 else 2.5
    if line is None:
        axes.plot(part.data, heights, "|", color=INK, markersize=2.4 * size, markeredgewidth=1.5, zorder=3)
    else:
        axes.axvline(line, color=INK, linewidth=1.2, zorder=1)
    for chosen, color in ((~np.asarray(part.beyond), _ALIKE), (np.asarray(part.beyond), _BEYOND)):
        left, right, mean = (np.asarray(each)[chosen] for each in (part.lower, part.upper, part.draws))
        axes.hlines(heights[chosen], np.clip(left, low, high), np.clip(right, low, high), color=color, linewidth=1.5)
        for marker, which in (("o", (mean >= low) & (mean <= high)), ("<", mean < low), (">", mean > high)):
            if not which.any():
                continue
            places = np.clip(mean[which], low, high)
            axes.plot(places, heights[chosen][which], marker, color=color, markersize=size, clip_on=False, zorder=4)
    room = 0.04 * (high - low)
    axes.set(xlim=(low - room, high + room), xticks=_ticks(low, high, line))


def _limits(part: Checked, line: float | None) -> tuple[float, float]:
    """What is seen: all, unless it is far from the data; shares from 0 to 1."""
    if line is None:
        return 0.0, 1.0
    ends = np.abs(np.stack([np.asarray(part.lower), np.asarray(part.upper)]) - line)
    far = ends[np.isfinite(ends)].max(initial=0.0)
    half = float(np.clip(1.05 * far, _NARROWEST, _WIDEST))
    return line - min(half, 1.0) if line else -half, line + half


def _ticks(low: float, high: float, line: float | None) -> list[float]:
    """The data, and a round number to either side of it; of shares both ends and the middle."""
    if line is None:
        return [0.0, 0.5, 1.0]
    half = 0.9 * (high - line)
    power = 10.0 ** math.floor(math.log10(half))
    step = power * max((each for each in (1, 2, 5) if each * power <= half), default=1)
    return [line + sign * step for sign in (-1, 0, 1) if line + sign * step >= low]


def _draw_pairs(axes: "Axes", part: Checked) -> None:
    """Correlations in the draws over those in the data: where they agree they are on the diagonal."""
    data, draws, lower, upper, beyond = map(np.asarray, part)
    alike = ~beyond.astype(bool)
    many = len(data) > _FEW
    for chosen, color in ((alike, _ALIKE), (~alike, _BEYOND)):
        if not many:
            axes.vlines(data[chosen], lower[chosen], upper[chosen], color=color, linewidth=1.0)
        size = 2.0 if many else 4.0
        axes.plot(data[chosen], draws[chosen], "o", color=color, markersize=size, markeredgewidth=0, rasterized=many)
    far = np.abs(np.concatenate([data, draws, lower, upper]))
    end = min(1.0, math.ceil(11 * np.nanmax(far)) / 10) * 1.02
    axes.plot([-end, end], [-end, end], color=INK, linewidth=1.2, zorder=1)
    axes.set(xlim=(-end, end), ylim=(-end, end), box_aspect=1)
    axes.set_title(f"correlation of two columns, {len(data):,} pairs", size=_SMALL + 1)
    axes.set_xlabel("in the data", size=_SMALL)
    axes.set_ylabel("in the draws", size=_SMALL)


def _draw_legend(figure: "Figure", some_beyond: bool) -> None:
    from matplotlib.lines import Line2D

    looks = {"data": (INK, ""), "draws": (_ALIKE, "o"), "draws, beyond chance": (_BEYOND, "o")}
    names = list(looks)[: 2 + some_beyond]
    marks = [
        Line2D([], [], color=color, marker=marker, markersize=4, linewidth=1.5)
        for color, marker in map(looks.__getitem__, names)
    ]
    figure.legend(marks, names, loc="outside upper left", ncols=len(names))
