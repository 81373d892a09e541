"""Rows of a table with few columns: each column a line with its name and range, each row its places on these lines."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.fitting import shorten
from ppl_vae.figures.look.style import CATEGORICAL, FAINT, INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 60
"""So many columns, each a line of text, are what a page holds."""
MOST_PANELS = 20
"""So many panels are wide enough to be read."""

_LINE = 0.23  # inches, of a column
_HIGHEST = 8.6  # inches, of all lines of panels
_PANELS = 5  # beside each other, where there is room for more below
_ABOVE = 0.75  # inches, of the panels' names and legend
_OUTSIDE = 0.3  # of a column's range, as far as what lies outside of it is followed
_APART = 0.36  # of a line, between the marks of two series
_NAMES, _RANGE = 3.0, 1.35  # inches, of the columns' names with their ranges, and of these alone
_ROOM = 0.8  # of these, what the texts take: the layout makes all a little narrower
_SMALL, _MARK = 11.0, 4.5  # points, of texts and marks
_WRITTEN_OUT = 1e6  # from which on numbers are given by powers of ten
_FEW = 4  # series that are all named


@styled
def table_profiles(
    series: Mapping[str, ArrayLike],
    panel_names: Sequence[str],
    columns: Sequence[str],
    ends: tuple[ArrayLike, ArrayLike],
    errors: Mapping[str, ArrayLike] | None = None,
    caption: str = "",
    *,
    in_order: bool = False,
) -> "Figure":
    """Rows of a table, such as data and their reconstructions, in a panel each or several to a panel.

    A column has a line of its own in each panel, from the smallest number in training to the largest; what lies
    farther out is drawn at the edge.

    Args:
        series: by name, each ``(panels, rows, columns)``; NaN is not drawn.
        panel_names: one for each panel; they stand above.
        columns: what the columns are called.
        ends: smallest and largest number of each column, ``(columns,)`` or one for all.
        errors: of some of the series, standard deviations of their shape.
        caption: what was done.
        in_order: the series are steps of a way, from dark to bright, of which a few are named.

    Returns:
        the figure, an axes for each panel.

    Raises:
        ValueError: no series or panel, too many panels, or shapes and names that do not agree.
    """
    arrays = {name: np.asarray(values, dtype=float) for name, values in series.items()}
    shapes = {(each.shape[0], each.shape[-1]) if each.ndim == 3 else None for each in arrays.values()}
    if shapes != {(len(panel_names), len(columns))} or not 0 < len(panel_names) <= MOST_PANELS:
        raise ValueError(
            f"series of shapes {[each.shape for each in arrays.values()]} for {len(panel_names)} panels, at least 1 "
            f"and at most {MOST_PANELS}, of {len(columns)} columns: (panels, rows, columns) is needed."
        )
    scaled = {name: _between(values, ends) for name, values in arrays.items()}
    spread = {name: _between(values, ends, whole=False) for name, values in (errors or {}).items()}
    high = _LINE * len(columns) + _ABOVE
    lines = max(1, min(math.ceil(len(panel_names) / _PANELS), int(_HIGHEST // high)))
    beside = math.ceil(len(panel_names) / lines)
    figure = new_figure(WIDTH, min(lines * high, _HIGHEST) + 0.4, caption)
    figure.set_layout_engine("constrained", wspace=0.0, w_pad=0.03)
    room = (WIDTH - _NAMES) / beside
    grid = figure.subplots(lines, 1 + beside, sharey=True, squeeze=False, width_ratios=[_NAMES, *[room] * beside])
    bars = [scaled[name] + sign * error for name, error in spread.items() for sign in (-1, 1)]
    limits = _limits([*scaled.values(), *bars])
    looks = _looks(list(scaled), in_order=in_order)
    for place, axes in enumerate(grid[:, 1:].flat):
        if place >= len(panel_names):
            axes.set_visible(False)
            continue
        _draw_lines(axes, len(columns), limits)
        shorten(axes.set_title(panel_names[place], size=_SMALL), _ROOM * room * figure.dpi)
        for name, look in looks.items():
            error = spread[name][place] if name in spread else None
            _draw_marks(axes, scaled[name][place], error, look, limits)
    for axes in grid[:, 0]:
        _write_names(axes, columns, ends)
    if len(looks) > 1:
        _draw_legend(figure, looks)
    return figure


class _Look(NamedTuple):
    """Of a series: a colour, a marker, and how far from its line it stands, in lines."""

    color: str
    marker: str
    offset: float


def _looks(names: list[str], *, in_order: bool) -> dict[str, _Look]:
    """Steps of a way lie on the line, in steps of colour; of other series each has a place of its own beside it."""
    import matplotlib

    if in_order:
        steps = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(names)))
        return {name: _Look(matplotlib.colors.to_hex(step), "o", 0.0) for name, step in zip(names, steps, strict=True)}
    colors = (INK, *CATEGORICAL) if len(names) > 1 else CATEGORICAL
    middle = (len(names) - 1) / 2
    return {
        name: _Look(colors[place % len(colors)], "oDs^v"[place % 5], _APART * (place - middle))
        for place, name in enumerate(names)
    }


def _draw_marks(
    axes: "Axes",
    rows: NDArray[np.float64],
    error: NDArray[np.float64] | None,
    look: _Look,
    limits: tuple[float, float],
) -> None:
    """One series in one panel, ``(rows, columns)``; of many rows each is faint, so that where they crowd is dark."""
    heights = np.tile(np.arange(rows.shape[1]) + look.offset, (len(rows), 1))
    if error is not None:
        left, right = (np.clip(rows + sign * error, *limits) for sign in (-1, 1))
        axes.hlines(heights.ravel(), left.ravel(), right.ravel(), color=look.color, linewidth=1.5)
    axes.plot(
        np.clip(rows, *limits).ravel(),
        heights.ravel(),
        look.marker,
        color=look.color,
        markersize=_MARK,
        alpha=max(0.15, min(1.0, 12 / len(rows))),
        markeredgewidth=0,
        clip_on=False,
    )


def _draw_lines(axes: "Axes", count: int, limits: tuple[float, float]) -> None:
    """The columns' lines, from the smallest to the largest number, and none of what axes usually have."""
    axes.set(xlim=limits, ylim=(count - 0.4, -0.6))
    axes.grid(visible=False)
    axes.hlines(np.arange(count), 0, 1, color="#e0e0e0", linewidth=1.0, zorder=0)
    axes.vlines([0, 1], -0.6, count - 0.4, color=FAINT, linewidth=0.6, zorder=0)
    axes.set_xticks([])
    axes.tick_params(length=0, labelleft=False)
    axes.spines[:].set_visible(False)


def _write_names(axes: "Axes", columns: Sequence[str], ends: tuple[ArrayLike, ArrayLike]) -> None:
    """The columns' names and, in grey, the ends of their lines; of very many columns every second, third, … ."""
    axes.set_axis_off()
    axes.set(xlim=(0, _NAMES), ylim=(len(columns) - 0.4, -0.6))
    least, largest = (np.broadcast_to(np.asarray(end, dtype=float), (len(columns),)) for end in ends)
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes in use are in one
    step = math.ceil(len(columns) * _LINE / _HIGHEST)
    for place in range(0, len(columns), step):
        words = f"{_in_digits(least[place])} to {_in_digits(largest[place])}".replace("-", "−")
        name = axes.text(0, place, columns[place], va="center", size=_SMALL, parse_math=False)
        ends_of = axes.text(_NAMES, place, words, ha="right", va="center", size=_SMALL - 2, color=FAINT)
        shorten(ends_of, _ROOM * _RANGE * figure.dpi, 1)
        shorten(name, _ROOM * (_NAMES - _RANGE) * figure.dpi, 1)


def _in_digits(value: float) -> str:
    """A number in three digits, or all of those before the point where these are few."""
    return f"{value:.0f}" if 1e3 <= abs(value) < _WRITTEN_OUT else f"{value:.3g}"


def _draw_legend(figure: "Figure", looks: Mapping[str, _Look]) -> None:
    """What the marks are; of many steps the first, the middle and the last."""
    from matplotlib.lines import Line2D

    names = list(looks)
    if len(names) > _FEW:
        names = [names[place] for place in (0, len(names) // 2, -1)]
    marks = [
        Line2D([], [], linestyle="", marker=looks[name].marker, color=looks[name].color, markeredgewidth=0)
        for name in names
    ]
    figure.legend(marks, names, loc="outside upper left", ncols=len(names))


def _between(values: ArrayLike, ends: tuple[ArrayLike, ArrayLike], *, whole: bool = True) -> NDArray[np.float64]:
    """Numbers on their column's line, from 0 to 1; of what is no place but a length only the scale is changed."""
    least, largest = (np.asarray(end, dtype=float) for end in ends)
    moved = np.asarray(values, dtype=float) - least * whole
    scaled: NDArray[np.float64] = moved / np.where(largest > least, largest - least, 1.0)
    return scaled


def _limits(scaled: list[NDArray[np.float64]]) -> tuple[float, float]:
    """What of the lines is seen: all of them, and a little of what lies outside."""
    everything = np.concatenate([each[np.isfinite(each)] for each in scaled])
    low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
    return max(-_OUTSIDE, min(-0.06, low - 0.06)), min(1 + _OUTSIDE, max(1.06, high + 0.06))
