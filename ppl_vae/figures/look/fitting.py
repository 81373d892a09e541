"""Texts around axes as long as there is room for them: broken into lines, cut short, turned, or fewer."""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_BESIDE = 0.34  # of the figure's width, the most that the names of rows take
_TURNED = 1.6  # inches, the most that a turned name is long
_LINES = 2  # of a title, a name or an axis's label
APART = 4.0  # pixels, between neighbours
_SMALLEST = 9.5  # points, of names; where they would have to be smaller they are turned
_MANY = 12  # numbers along an axis, before every other one goes


def fit(axes: "Axes") -> bool:
    """Mend the texts around axes; whether there was anything to mend."""
    spec = axes.get_subplotspec()
    figure = _figure(axes)
    share = 1.0 if spec is None else len(spec.colspan) / spec.get_gridspec().ncols
    # Centred on its axes, a text may reach to the nearer edge of the figure and as far on the other side.
    middle = (axes.bbox.x0 + axes.bbox.x1) / 2
    across = min(share * figure.bbox.width, 2 * middle, 2 * (figure.bbox.width - middle)) - 2 * APART
    changed = [shorten(axes.title, across)]
    beside = min(share * figure.bbox.width, figure.bbox.width - axes.bbox.x0) - 2 * APART
    changed.append(shorten(axes._left_title, beside))  # type: ignore[attr-defined]
    changed.append(shorten(axes.xaxis.label, across))
    changed.append(shorten(axes.yaxis.label, max(1.1 * axes.bbox.height, 40.0), 2 * _LINES, upright=True))
    changed += [_shorten_lines(text, max(axes.bbox.width, 60.0)) for text in axes.texts if not axes.axison]
    changed += [_without_offset(axis) for axis in (axes.xaxis, axes.yaxis)]
    changed.append(_fit_rows(axes, _BESIDE * share * figure.bbox.width))
    changed.append(_fit_columns(axes))
    return any(changed)


def shorten(text: "Text", room: float, lines: int = _LINES, *, upright: bool = False) -> bool:
    """Break a text into lines that fit, and cut off what is left; whether it had to be."""
    words = text.get_text()
    if not words.strip() or length(text, words, upright) <= room:
        return False
    short = _broken(text, words, room, max(lines, words.count("\n") + 1), upright=upright)
    text.set_text(short)
    return short != words


def _shorten_lines(text: "Text", room: float) -> bool:
    """Cut each line of a text off where there is no more room; whether it had to be."""
    words = text.get_text()
    if not words.strip() or length(text, words) <= room:
        return False
    text.set_text("\n".join(_broken(text, line, room, 1) for line in words.splitlines()))
    return True


def _without_offset(axis: "Axis") -> bool:
    """Write numbers out where matplotlib would put what they have in common, such as 1e7, beside the axis."""
    from matplotlib.ticker import FuncFormatter

    if not axis.get_offset_text().get_text():
        return False
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}".replace("-", "−")))
    return True


def _broken(text: "Text", words: str, room: float, lines: int, *, upright: bool = False) -> str:
    """The words in at most so many lines, each no longer than there is room."""
    longest = max(words.splitlines(), key=len)
    if length(text, words, upright) <= room and len(words.splitlines()) <= lines:
        return words
    most = max(2, math.ceil(1.3 * len(longest) * room / length(text, words, upright)))
    for characters in range(most, 1, -1):
        wrapped = [part for line in words.splitlines() for part in textwrap.wrap(line, characters)]
        if len(wrapped) > lines:  # both ends stay: names often differ in their last letters
            front = wrapped[lines - 1][: characters // 2]
            wrapped = [*wrapped[: lines - 1], f"{front}…{words[len(words) - (characters - len(front) - 1) :]}"]
        short = "\n".join(wrapped)
        if length(text, short, upright) <= room:
            return short
    return "…"


def length(text: "Text", words: str, upright: bool = False) -> float:
    """Of the longest line, in pixels, as this text would be written."""
    before, angle = text.get_text(), text.get_rotation()
    text.set(text=words, rotation=90.0 if upright else 0.0)
    extent = text.get_window_extent()
    text.set(text=before, rotation=angle)
    return float(extent.height if upright else extent.width)


def _fit_rows(axes: "Axes", room: float) -> bool:
    """Names of rows: broken into lines, as many as the rows are high; of crowded ones only some stay."""
    shown = _shown(axes.yaxis)
    if not shown:
        return False
    ticks, texts = zip(*shown, strict=True)
    high = max(text.get_window_extent().height / (text.get_text().count("\n") + 1) for text in texts)
    spacing = _spacing(axes, ticks, upright=True)
    if 1.0 < spacing < 0.9 * high:
        return _thin(axes.yaxis, ticks, texts, math.ceil(high / spacing))
    lines = int(np.clip(spacing // (1.2 * high), 1, 3))
    names = [_named(text, room, lines) for text in texts]
    if names == [text.get_text() for text in texts]:
        return False
    axes.yaxis.set_ticks(ticks, names)
    return True


def _named(text: "Text", room: float, lines: int) -> str:
    """A row's name; if it has lines of its own, the first is broken before the others are."""
    first, *others = text.get_text().splitlines()
    rest = [_broken(text, other, room, 1) for other in others]
    return "\n".join([_broken(text, first, room, max(1, lines - len(rest))), *rest])


def _fit_columns(axes: "Axes") -> bool:
    """Names of columns: broken into lines, or smaller, or turned, or only some of them; numbers: fewer."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    axis = axes.xaxis
    shown = _shown(axis)
    if not shown:
        return False
    ticks, texts = zip(*shown, strict=True)
    words, spacing = [text.get_text() for text in texts], _spacing(axes, ticks)
    if texts[0].get_rotation():
        high = max(text.get_window_extent().width for text in texts)
        if 1.0 < spacing < 0.9 * high:
            return _thin(axis, ticks, texts, math.ceil(high / spacing))
        names = [_broken(text, each, _TURNED * _figure(axes).dpi, 1) for text, each in zip(texts, words, strict=True)]
        if names != words:
            axis.set_ticks(ticks, names)
        return names != words
    if not _crowded(texts):
        return False
    if not isinstance(axis.get_major_locator(), FixedLocator):
        axis.set_major_locator(MaxNLocator(nbins=max(1, len(ticks) - 2), steps=[1, 2, 5, 10]))
        return len(ticks) > 2
    if len(ticks) > _MANY and all(map(_is_number, words)):
        return _thin(axis, ticks, texts, 2)
    names = [_broken(text, each, spacing - APART, 3) for text, each in zip(texts, words, strict=True)]
    longest = max(length(text, each) for text, each in zip(texts, words, strict=True))
    size = texts[0].get_fontsize() * (spacing - APART) / longest
    if all(set(name.split()) <= set(each.split()) for name, each in zip(names, words, strict=True)):
        axis.set_ticks(ticks, names)  # no word is cut
    elif size >= _SMALLEST:
        axes.tick_params(axis="x", labelsize=0.99 * size)
    else:
        axes.tick_params(axis="x", labelrotation=90)
        axis.set_ticks(ticks, [" ".join(each.split()) for each in words])
    return True


def _figure(axes: "Axes") -> "Figure":
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes in use are in one
    return figure


def _shown(axis: "Axis") -> "list[tuple[float, Text]]":
    """Places and texts of the labelled ticks within the view."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-6 * (high - low)
    side = [
        (tick.get_loc(), tick.label1 if tick.label1.get_visible() else tick.label2) for tick in axis.get_major_ticks()
    ]
    return [
        (place, text)
        for place, text in side
        if low - slack <= place <= high + slack and text.get_visible() and text.get_text().strip()
    ]


def _spacing(axes: "Axes", ticks: Sequence[float], *, upright: bool = False) -> float:
    """Pixels between the nearest ticks; the axes' own size where there is one."""
    if len(ticks) < 2:
        return float(axes.bbox.height if upright else axes.bbox.width)
    places = [(0.0, tick) if upright else (tick, 0.0) for tick in ticks]
    pixels = axes.transData.transform(places)[:, 1 if upright else 0]
    return float(np.abs(np.diff(np.sort(pixels))).min())


def _crowded(texts: "Sequence[Text]") -> bool:
    extents = sorted((text.get_window_extent() for text in texts), key=lambda extent: extent.x0)
    return any(after.x0 < before.x1 + APART for before, after in pairwise(extents))


def _thin(axis: "Axis", ticks: Sequence[float], texts: "Sequence[Text]", step: int) -> bool:
    """Name one tick in so many; the first and, where it comes out, the last are among them."""
    if step < 2 or len(ticks) < 2:
        return False
    axis.set_ticks(ticks[::step], [text.get_text() for text in texts[::step]])
    return True


def _is_number(words: str) -> bool:
    try:
        float(words.replace("−", "-").replace(",", ""))
    except ValueError:
        return False
    return True
