"""The bounds of a study's trials against each setting that was searched."""

import math
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.style import WIDTH, new_figure, styled
from ppl_vae.figures.tuning.points import Points

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HIGH = 2.5  # inches, of a row of panels
_BESIDE = 1.2  # inches, left of the panels
_APART = 0.25  # inches, between panels
_LETTER = 0.105  # inches
_LINES = 3  # of a word below a panel
_SHORTEST = 7  # letters of a word; where there is no room for so many, only some words are named
_SPARE = 2  # letters that a name leaves between itself and the next
_STRIP = 0.5  # of the way to the next value, over which the points of one are spread
_GOLDEN = 0.618  # steps of it spread any number of points evenly
_BREAKS = re.compile(r"([:_-])(?=.)")  # behind which a word may be broken


class Searched(NamedTuple):
    """One setting that was searched.

    Args:
        name: of the setting.
        values: that each trial had, N: all numbers, or all words; None where it is not known.
        choices: the words that there are, in their order; none of a range of numbers.
        logarithmic: whether the range was searched evenly in its logarithm.
    """

    name: str
    values: Sequence[float | str | None]
    choices: Sequence[str] = ()
    logarithmic: bool = False

    @property
    def words(self) -> list[str]:
        """The choices, and what a trial had besides; none of a range."""
        if not self.choices:
            return []
        return list(dict.fromkeys([*self.choices, *(str(value) for value in self.values if value is not None)]))


@styled
def trial_settings(settings: Sequence[Searched], bounds: ArrayLike, whole: ArrayLike, caption: str = "") -> "Figure":
    """The validation bound of each trial against each setting, a panel a setting, all on one scale.

    A range is drawn on the scale on which it was searched, words as strips; in a strip, the place from left to right
    means nothing. How far down the panels reach, see :func:`ppl_vae.figures.trial_history`.

    Args:
        settings: one or more, with a value for each trial.
        bounds: ``(N,)``, as there.
        whole: ``(N,)``, whether a trial ran to its end.
        caption: what was done.

    Returns:
        the figure; its axes are labelled by the settings' names.

    Raises:
        ValueError: no setting, not one of each for every trial, or no trial with a bound that ran to its end.
    """
    points = Points(bounds, whole)
    if not settings or any(len(each.values) != len(points.bounds) for each in settings):
        raise ValueError(f"settings need a value for each of the {len(points.bounds)} trials, and one is needed.")
    columns = _columns(settings)
    wide = [not _fits(each, columns) for each in settings]
    usual = len(wide) - sum(wide)
    rows = -(-usual // columns)
    figure = new_figure(WIDTH, _HIGH * (rows + sum(wide)) + 0.9, caption)
    grid = figure.add_gridspec(rows + sum(wide), columns)
    first: Axes | None = None
    for place, number in enumerate(np.argsort(wide, kind="stable")):  # those with a row of their own are the last
        each = settings[number]
        at = grid[rows + place - usual, :] if wide[number] else grid[place // columns, place % columns]
        axes = figure.add_subplot(at, sharey=first, label=each.name)
        first, letters = first or axes, _letters(1 if wide[number] else columns)
        points.draw_first(axes)
        points.draw(axes, _strips(axes, each, letters) if each.choices else _range(axes, each))
        axes.set_xlabel(_wrapped(each.name.replace("_", " "), letters - _SPARE, 2))
        if place % columns and not wide[number]:
            axes.tick_params(axis="y", labelleft=False)
        else:
            axes.set_ylabel("validation bound")
    assert first is not None  # there is a setting
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(list(found.values()), list(found), loc="outside upper left", ncols=3)
    return figure


def _letters(columns: int) -> int:
    """How many there is room for below a panel."""
    return int(((WIDTH - _BESIDE) / columns - _APART) / _LETTER)


def _columns(settings: Sequence[Searched]) -> int:
    """How many panels are beside each other: three where the words below each have room, two for four of them."""
    most = 3 if len(settings) != 4 and all(_fits(each, 3) for each in settings) else 2
    return min(len(settings), most)


def _fits(searched: Searched, columns: int) -> bool:
    """Whether the words of a setting have room below one panel of so many, if they are broken where they may be."""
    longest = max((len(part) for each in searched.words for part in _BREAKS.sub(r"\1 ", each).split()), default=0)
    return columns == 1 or longest * len(searched.words) <= _letters(columns)


def _wrapped(words: str, letters: int, lines: int) -> str:
    """Words in at most so many lines of so many letters; of what is too long, both ends."""
    spaced = _BREAKS.sub(r"\1 ", words) if len(words) > letters else words
    parts = [re.sub(r"([:_-]) ", r"\1", part) for part in textwrap.wrap(spaced, letters)]
    if len(parts) > lines:
        front, back = parts[lines - 1][: letters // 2], words[len(words) - (letters - 1) // 2 :]
        parts = [*parts[: lines - 1], f"{front}…{back}"]
    return "\n".join(parts)


def _range(axes: "Axes", searched: Searched) -> list[float]:
    """The places of numbers, on an axis of theirs."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    values = [math.nan if value is None else float(value) for value in searched.values]
    if searched.logarithmic:
        values = [value if value > 0 else math.nan for value in values]  # such as a 0 that was given
    known = [value for value in values if math.isfinite(value)]
    if searched.logarithmic and known:
        axes.set_xscale("log")
        ticks = _round_numbers(min(known), max(known))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    else:
        whole = all(value.is_integer() for value in known)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=whole, min_n_ticks=1, steps=[1, 2, 5, 10]))
    return values


def _round_numbers(low: float, high: float) -> list[float]:
    """Two of them between the lower and the higher one, powers of ten if they can be; else the lower one."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5), range(1, 10)):
        found = [digit * 10.0**power for power in powers for digit in digits]
        inside = [each for each in found if low <= 1.001 * each <= 1.002 * high]
        if len(inside) > 1:
            return [inside[0], inside[-1]]
    return [low]


def _strips(axes: "Axes", searched: Searched, letters: int) -> NDArray[np.float64]:
    """The places of words, spread within the strip of each."""
    values = ["" if value is None else str(value) for value in searched.values]
    names = searched.words
    least = min(_SHORTEST, max(map(len, names)))
    step = -(-least * len(names) // letters)
    shown = range(0, len(names), step)
    each = max(1, letters // len(shown))
    axes.set_xticks(shown, [_wrapped(names[place], each, _LINES) for place in shown])
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(visible=False, axis="x")
    places = np.array([names.index(value) if value else math.nan for value in values], dtype=float)
    within = np.zeros(len(places))
    for place in range(len(names)):
        mine = np.flatnonzero(places == place)
        within[mine] = (0.5 + _GOLDEN * np.arange(len(mine))) % 1 - 0.5
    return places + _STRIP * within
