"""The networks of a pair as boxes with sizes, in the order in which a batch goes through them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, NamedTuple

from ppl_vae.figures.look.style import FAINT, INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ppl_vae.programs.anatomy.layers import Box, Fold, Networks

# Inches.
_PANEL = WIDTH / 2 - 0.1
_INSIDE = 2.6  # that boxes of a row share; what is left is for "× 8"
_HEIGHT, _LINE = 0.36, 0.19  # of a box, and of another line in it
_GAP = 0.22  # from a row to the next
_BETWEEN = 0.14  # of boxes side by side
_INSET = 0.15  # of an arrow's end from the corner of a box
_LETTER = 0.09  # of 11.5 points
_SIZE = 11.5
_MOST = 24  # rows of a panel; of a longer network the middle is left out
_SHADE = "#d5d5d5"
_FILL = {"layer": "#e8f1fa", "parameter": "white", "latent": "white", "observed": _SHADE}


class _Line(NamedTuple):
    """A row as it is drawn; without boxes, words that stand for what is left out."""

    boxes: "tuple[Box, ...]"
    words: str = ""


@styled
def networks(found: "Networks", caption: str = "") -> "Figure":
    """The guide's networks on the left and the model's on the right, from the top down.

    Layers are blue boxes with the size of what they make of one datapoint in brackets; before an arrow, what they are
    given, where that is not the box above. White boxes are parameters of a distribution; round ones latents, and
    shaded ones what is observed. A bar with "× 8" means that what is beside it comes eight times.

    Args:
        found: from :func:`ppl_vae.programs.anatomy.layers.networks`.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "guide" and "model". One unit of them is one inch. Of a network of more than
        24 rows the middle is left out, and the number of its rows is written in its place.
    """
    panels = {"guide": found.guide, "model": found.model}
    lines = {name: _shortened(folds) for name, folds in panels.items()}
    places = {name: _places(rows) for name, (rows, _) in lines.items()}
    low = min(bottom for each in places.values() for _, bottom in each) - 0.05
    figure = new_figure(WIDTH, _HEIGHT / 2 + 0.6 - low, caption)
    for axes, (name, (rows, bars)) in zip(figure.subplots(1, 2), lines.items(), strict=True):
        axes.set_label(name)
        axes.set(xlim=(-_PANEL / 2, _PANEL / 2), ylim=(low, _HEIGHT / 2 + 0.05), aspect="equal")
        axes.set(xticks=[], yticks=[])  # which would be measured, though they are not seen
        axes.set_axis_off()
        axes.set_title(name)
        drawn = [
            (_draw_row(axes, row, (top + bottom) / 2), top, bottom)
            for row, (top, bottom) in zip(rows, places[name], strict=True)
        ]
        for (above, _, start), (below, end, _) in pairwise(drawn):
            for x, towards in _arrows(above, below):
                _draw_arrow(axes, (x, start), (towards, end))
        for first, last, times in bars:
            _draw_bar(axes, places[name][first][0], places[name][last][1], times)
    return figure


def _places(rows: Sequence[_Line]) -> list[tuple[float, float]]:
    """The top and the bottom of each row."""
    found, top = [], _HEIGHT / 2
    for row in rows:
        found.append((top, top - _height(row)))
        top -= _height(row) + _GAP
    return found


def _shortened(folds: "Sequence[Fold]") -> tuple[list[_Line], list[tuple[int, int, int]]]:
    """The rows of a panel, and the first, the last and the times of what is repeated."""
    rows: list[_Line] = []
    bars = []
    for fold in folds:
        if fold.times > 1:
            bars.append((len(rows), len(rows) + len(fold.rows) - 1, fold.times))
        rows += [_Line(row.boxes) for row in fold.rows]
    if len(rows) <= _MOST:
        return rows, bars
    head = _MOST // 2
    tail = _MOST - head - 1
    left_out = len(rows) - head - tail
    kept = [(first, last, times) for first, last, times in bars if last < head]
    kept += [(first - left_out + 1, last - left_out + 1, times)
             for first, last, times in bars if first >= len(rows) - tail]  # fmt: skip
    return [*rows[:head], _Line((), f"… {left_out:,} more rows …"), *rows[len(rows) - tail :]], kept


class _Text(NamedTuple):
    """What is written into a box, and what kind it is."""

    kind: str
    lines: tuple[str, ...]

    @property
    def letters(self) -> int:
        return max(map(len, self.lines))


def _texts(row: _Line) -> list[_Text]:
    """In one line each where there is room for it, else with sizes in lines of their own; of very many boxes as many as
    can be read."""
    most = max(1, int((_INSIDE + _BETWEEN) / (5 * _LETTER + _BETWEEN)))
    shown = row.boxes if len(row.boxes) <= most else row.boxes[: most - 1]
    more = (
        [_Text(row.boxes[most - 1].kind, (f"+ {len(row.boxes) - len(shown)}",))] if len(shown) < len(row.boxes) else []
    )
    texts = [*(_Text(box.kind, (_words(box),)) for box in shown), *more]
    if _all_wide(texts) <= _INSIDE:
        return texts
    letters = int(((_INSIDE + _BETWEEN) / len(texts) - _BETWEEN - 0.2) / _LETTER)
    return [*(_Text(box.kind, _in_lines(box, letters)) for box in shown), *more]


def _in_lines(box: "Box", letters: int) -> tuple[str, ...]:
    """What is written into a box that has no room for it in one line: what it is given, its words, its size."""
    size = (f"({_shape(box.size)})",) if box.size else ()
    if box.takes is None or len(_words(replace(box, size=()))) <= letters:
        return (_words(replace(box, size=())), *size)
    return (f"({_shape(box.takes)}) →", box.words, *size)


def _width(text: _Text) -> float:
    return _LETTER * text.letters + 0.2


def _all_wide(texts: Sequence[_Text]) -> float:
    return sum(map(_width, texts)) + _BETWEEN * (len(texts) - 1)


def _height(row: _Line) -> float:
    lines = max((len(text.lines) for text in _texts(row)), default=1) if row.boxes else 1
    return _HEIGHT + _LINE * (lines - 1)


def _draw_row(axes: "Axes", row: _Line, y: float) -> list[tuple[float, float]]:
    """Draw it; the left and the right end of each of its boxes."""
    if not row.boxes:
        axes.text(0, y, row.words, ha="center", va="center", size=_SIZE, color=FAINT)
        return [(-_INSIDE / 2, _INSIDE / 2)]
    texts = _texts(row)
    widths = [_width(text) for text in texts]
    if _all_wide(texts) > _INSIDE:
        widths = [(_INSIDE + _BETWEEN) / len(widths) - _BETWEEN] * len(widths)
    left = -(sum(widths) + _BETWEEN * (len(widths) - 1)) / 2
    ends = []
    for text, width in zip(texts, widths, strict=True):
        _draw_box(axes, text, left, y, width, _height(row))
        ends.append((left, left + width))
        left += width + _BETWEEN
    return ends


def _arrows(above: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where arrows leave the boxes of a row and where they reach those of the next: from each to each, of as many
    boxes in both from each to the one below it, upright where the two lie above each other."""
    pairs = list(zip(above, below, strict=True)) if len(above) == len(below) else list(product(above, below))
    return [_arrow(*pair) for pair in pairs]


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    narrow, wide = sorted((start, end), key=lambda each: each[1] - each[0])
    at = sum(narrow) / 2
    other = min(max(at, wide[0] + _INSET), wide[1] - _INSET)
    return (at, other) if narrow is start else (other, at)


def _draw_box(axes: "Axes", text: _Text, left: float, y: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    rounding = 0.17 if text.kind in ("latent", "observed") else 0.03
    box = FancyBboxPatch(
        (left, y - height / 2), width, height, boxstyle=f"round,pad=0,rounding_size={rounding}",
        facecolor=_FILL[text.kind], edgecolor=INK, linewidth=1.2, zorder=3,
    )  # fmt: skip
    box.set_label(" ".join(text.lines))
    axes.add_patch(box)
    most = max(3, int((width - 0.1) / (0.7 * _LETTER)))
    short = [_cut(line, most) for line in text.lines]
    size = min(_SIZE, _SIZE * (width - 0.1) / (_LETTER * max(map(len, short))))
    axes.text(left + width / 2, y, "\n".join(short), ha="center", va="center", size=size, zorder=4, linespacing=1.1)


def _cut(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most // 2]}…{line[len(line) - (most - most // 2 - 1) :]}"


def _words(box: "Box") -> str:
    taken = f"({_shape(box.takes)}) → " if box.takes is not None else ""
    return f"{taken}{box.words}{f' ({_shape(box.size)})' if box.size else ''}"


def _shape(size: Sequence[int]) -> str:
    return " × ".join(f"{number:,}" for number in size) or "1"


def _draw_arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=11, linewidth=1.2, color=INK, shrinkA=0, shrinkB=0,
        zorder=2,
    )  # fmt: skip
    axes.add_patch(arrow)


def _draw_bar(axes: "Axes", top: float, bottom: float, times: int) -> None:
    """Right of all boxes, beside what is repeated."""
    x = _INSIDE / 2 + 0.08
    axes.plot([x, x], [top, bottom], color=INK, linewidth=2)
    words = f"× {times:,}"
    axes.text(x + 0.05, (top + bottom) / 2, words, ha="left", va="center", size=min(_SIZE, 50 / len(words)))
