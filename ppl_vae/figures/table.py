"""Rows of a table with few columns: each column a line with its name and range, each row its places on these lines."""

import math
from collections.abc import Collection, Mapping, Sequence
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
_BESIDE = 3.9  # inches, the most that the columns' names take with their ranges
_BETWEEN = 0.15  # inches, at least, between a name and a range
_PAD = 0.03  # inches, that the layout keeps free on either side of a panel
_EDGE = 0.07  # of the width, that it keeps free at the edges and for marks that stand out
_SMALL, _MARK = 11.0, 4.5  # points, of texts and marks
_WRITTEN_OUT = 1e-4, 1e6  # numbers that are given without a power of ten
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
    observed: Collection[str] = (),
    logarithmic: ArrayLike = False,
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
        observed: those of the series that are no steps of it but data, at its ends say; they stand above the line.
        logarithmic: columns of counts n from 0 up that lie at log(1 + n), bool, ``(columns,)`` or one for all.

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
    lines_of = _Lines(*(np.broadcast_to(np.asarray(each), (len(columns),)) for each in (*ends, logarithmic)))
    scaled = {name: lines_of.places(values) for name, values in arrays.items()}
    bars = {
        name: [lines_of.places(arrays[name] + sign * np.asarray(error, dtype=float)) for sign in (-1, 1)]
        for name, error in (errors or {}).items()
    }
    high = _LINE * len(columns) + _ABOVE
    lines = max(1, min(math.ceil(len(panel_names) / _PANELS), int(_HIGHEST // high)))
    beside = math.ceil(len(panel_names) / lines)
    figure = new_figure(WIDTH, min(lines * high, _HIGHEST) + 0.4, caption)
    figure.set_layout_engine("constrained", wspace=0.0, w_pad=_PAD)
    left = 1 - _EDGE - 2 * _PAD * (1 + beside) / WIDTH  # of all that is set apart, once the layout has taken its own
    names = _Names.of(figure, columns, lines_of, left)
    room = (WIDTH - names.width) / beside
    grid = figure.subplots(lines, 1 + beside, sharey=True, squeeze=False, width_ratios=[names.width, *[room] * beside])
    limits = _limits([*scaled.values(), *(end for pair in bars.values() for end in pair)])
    looks = _looks(list(scaled), observed, in_order=in_order)
    for place, axes in enumerate(grid[:, 1:].flat):
        if place >= len(panel_names):
            axes.set_visible(False)
            continue
        _draw_lines(axes, len(columns), limits)
        shorten(axes.set_title(panel_names[place], size=_SMALL), left * room * figure.dpi)
        for name, look in looks.items():
            ends_of_bars = [end[place] for end in bars[name]] if name in bars else []
            _draw_marks(axes, scaled[name][place], ends_of_bars, look, limits)
    for axes in grid[:, 0]:
        _write_names(axes, names)
    if len(looks) > 1:
        _draw_legend(figure, looks, observed)
    return figure


class _Lines(NamedTuple):
    """What the ends of the columns' lines stand for, and which have counts at the logarithm, ``(columns,)`` each."""

    least: NDArray[np.float64]
    largest: NDArray[np.float64]
    logarithmic: NDArray[np.bool_]

    def places(self, values: ArrayLike) -> NDArray[np.float64]:
        """Numbers ``(..., columns)`` on their columns' lines, from 0 to 1."""
        least, largest, moved = map(self._moved, (self.least, self.largest, values))
        scaled: NDArray[np.float64] = (moved - least) / np.where(largest > least, largest - least, 1.0)
        return scaled

    def _moved(self, values: ArrayLike) -> NDArray[np.float64]:
        array = np.asarray(values, dtype=float)
        return np.where(self.logarithmic, np.log1p(np.maximum(array, 0.0)), array)


class _Names(NamedTuple):
    """The columns' names and ranges, and how many inches they take beside each other, and the names alone."""

    names: list[str]
    ranges: list[str]
    width: float
    of_names: float

    @classmethod
    def of(cls, figure: "Figure", columns: Sequence[str], lines: _Lines, left: float) -> "_Names":
        """The ranges whole, and as much of the names as there is room for; ``left`` is the share of the width that the
        layout leaves."""
        ends = zip(lines.least, lines.largest, strict=True)
        ranges = [f"{_in_digits(least)} to {_in_digits(largest)}" for least, largest in ends]
        names, taken = (
            max(_inches(figure, words, size) for words in texts)
            for texts, size in ((columns, _SMALL), (ranges, _SMALL - 2))
        )
        names = min(names, left * _BESIDE - taken - _BETWEEN)
        return cls(list(columns), ranges, (names + taken + _BETWEEN) / left, names)


class _Look(NamedTuple):
    """Of a series: a colour, a marker, and how far from its line it stands, in lines."""

    color: str
    marker: str
    offset: float


def _looks(names: list[str], observed: Collection[str], *, in_order: bool) -> dict[str, _Look]:
    """Steps of a way lie on the line, in steps of colour; of other series each has a place of its own beside it."""
    import matplotlib

    if in_order:
        steps = [name for name in names if name not in observed]
        tones = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.9, len(steps)))
        looks = {name: _Look(matplotlib.colors.to_hex(t), "o", 0.0) for name, t in zip(steps, tones, strict=True)}
        data = {name: _Look(INK, "Dsv^"[place % 4], -_APART) for place, name in enumerate(observed)}
        return {name: (data | looks)[name] for name in names}
    colors = (INK, *CATEGORICAL) if len(names) > 1 else CATEGORICAL
    middle = (len(names) - 1) / 2
    return {
        name: _Look(colors[place % len(colors)], "oDs^v"[place % 5], _APART * (place - middle))
        for place, name in enumerate(names)
    }


def _draw_marks(
    axes: "Axes",
    rows: NDArray[np.float64],
    bars: Sequence[NDArray[np.float64]],
    look: _Look,
    limits: tuple[float, float],
) -> None:
    """One series in one panel, ``(rows, columns)``; of many rows each is faint, so that where they crowd is dark."""
    heights = np.tile(np.arange(rows.shape[1]) + look.offset, (len(rows), 1))
    if bars:
        left, right = (np.clip(end, *limits) for end in bars)
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


def _write_names(axes: "Axes", names: _Names) -> None:
    """The columns' names and, in grey, the ends of their lines; of very many columns every second, third, … ."""
    count = len(names.names)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(count - 0.4, -0.6))
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes in use are in one
    for place in range(0, count, math.ceil(count * _LINE / _HIGHEST)):
        name = axes.text(0, place, names.names[place], va="center", size=_SMALL, parse_math=False)
        axes.text(1, place, names.ranges[place], ha="right", va="center", size=_SMALL - 2, color=FAINT)
        shorten(name, names.of_names * figure.dpi + 1, 1)


def _inches(figure: "Figure", words: str, size: float) -> float:
    """How wide a text is."""
    text = figure.text(0, 0, words, size=size, parse_math=False)
    wide = text.get_window_extent().width / figure.dpi
    text.remove()
    return float(wide)


def _in_digits(value: float) -> str:
    """A number in three digits, or all of those before the point where these are few: 0.0513, 1234, 1.23e8."""
    if 1e3 <= abs(value) < _WRITTEN_OUT[1]:
        words = f"{value:.0f}"
    elif value == 0 or _WRITTEN_OUT[0] <= abs(value) < _WRITTEN_OUT[1]:
        words = f"{value:.3g}"
    else:
        digits, power = f"{value:.2e}".split("e")
        words = f"{float(digits):g}e{int(power)}"
    return words.replace("-", "−")


def _draw_legend(figure: "Figure", looks: Mapping[str, _Look], observed: Collection[str]) -> None:
    """What the marks are; of many steps the first, the middle and the last."""
    from matplotlib.lines import Line2D

    names = list(looks)
    steps = [name for name in names if name not in observed]
    if len(steps) > _FEW:
        named = {*observed, *(steps[place] for place in (0, len(steps) // 2, -1))}
        names = [name for name in names if name in named]
    marks = [
        Line2D([], [], linestyle="", marker=looks[name].marker, color=looks[name].color, markeredgewidth=0)
        for name in names
    ]
    figure.legend(marks, names, loc="outside upper left", ncols=len(names), handletextpad=0.2)


def _limits(scaled: list[NDArray[np.float64]]) -> tuple[float, float]:
    """What of the lines is seen: all of them, and a little of what lies outside."""
    everything = np.concatenate([each[np.isfinite(each)] for each in scaled])
    low, high = (everything.min(), everything.max()) if len(everything) else (0.0, 1.0)
    return max(-_OUTSIDE, min(-0.06, low - 0.06)), min(1 + _OUTSIDE, max(1.06, high + 0.06))
