"""Sequences as images, for the figures that show observations: written words, and music as a piano roll; and music as a
figure of its own."""

from collections.abc import Sequence
from functools import cache, partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont  # matplotlib brings it

from ppl_vae.figures.look.fitting import shorten
from ppl_vae.figures.look.fonts import font_of, fonts_for, own_mono, warn_of_missing
from ppl_vae.figures.look.style import INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FONT_SIZE = 40  # pixels
_MARGIN = 6  # pixels around a line
_MOST_CHARACTERS = 60  # of a line, before it is cut
_AFTER = 0.12  # the grey of what comes after a piece's end

MOST_ROWS, MOST_COLUMNS = 6, 3
"""So many panels below and beside each other are large enough to be read."""
MOST_STEPS = 64
"""Of time, in each of several columns; one column holds twice as many."""

_HIGH = 1.05  # inches, of a panel
_AROUND = 0.7  # inches, of the columns' names and the axis of time
_OCTAVE = 12  # keys
_MOST_CS = 4  # that there is room to name
_A0 = 21  # MIDI's number of a piano's lowest key
_LEVELS = 8  # of grey, where it is shown how likely a key sounds
_BEYOND = "#f0f0f0"  # what comes after a piece's end
_SMALL = 11.0  # points, of the names of octaves, rows and columns


def written(lines: Sequence[str]) -> NDArray[np.float64]:
    """Lines of text as images of one size, ``(n, H, W)`` in [0, 1], ink at 1; a long line is cut."""
    cut = [line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…" for line in lines]
    characters = set("".join(cut))
    fonts = fonts_for(characters, own_mono())
    warn_of_missing(characters, fonts)
    lines_in_runs = [
        [(_font(font), "".join(run)) for font, run in groupby(line, partial(font_of, fonts=fonts))] for line in cut
    ]
    ascent, descent = (max(metric) for metric in zip(*(_font(font).getmetrics() for font in fonts), strict=True))
    widths = [sum(font.getlength(run) for font, run in runs) for runs in lines_in_runs]
    size = (round(max(2 * _font(own_mono()).getlength("m"), *widths, 0)) + 2 * _MARGIN, ascent + descent + 2 * _MARGIN)
    images = np.zeros((len(cut), size[1], size[0]))
    for image, runs in zip(images, lines_in_runs, strict=True):
        canvas, across = Image.new("L", size), float(_MARGIN)
        for font, run in runs:
            ImageDraw.Draw(canvas).text((across, _MARGIN + ascent), run, fill=255, font=font, anchor="ls")
            across += font.getlength(run)
        image[:] = np.asarray(canvas) / 255
    return images


def piano_rolls(going: ArrayLike, keys: ArrayLike) -> NDArray[np.float64]:
    """Music as images of one size: time to the right, pitch upwards, only keys and steps that any piece uses.

    Args:
        going: 1 up to a piece's last step, ``(n, T)``.
        keys: what sounds, or how likely it does, ``(n, T, V)`` in [0, 1], the lowest key first.

    Returns:
        ``(n, H, W)``, two pixels a key and four a step.
    """
    on, sounds = np.asarray(going, dtype=np.float64) >= 0.5, np.asarray(keys, dtype=np.float64)
    rolls = np.where(on[..., None], sounds, _AFTER)
    audible = np.flatnonzero(((sounds >= 0.5) & on[..., None]).any((0, 1)))
    low, high = (audible[0], audible[-1] + 1) if len(audible) else (0, sounds.shape[-1])
    length = max(1, int(on.sum(-1).max(initial=0)))
    images: NDArray[np.float64] = rolls[:, :length, low:high].swapaxes(1, 2)[:, ::-1]
    return images.repeat(2, axis=1).repeat(4, axis=2)


@cache
def _font(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, _FONT_SIZE)


@styled
def music(
    going: ArrayLike,
    keys: ArrayLike,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    caption: str = "",
    lowest: int = _A0,
) -> "Figure":
    """Pieces of music in rows and columns: time to the right, pitch upwards, a line for each C.

    Args:
        going: 1 up to a piece's last step, ``(rows, columns, T)``; what comes after is grey.
        keys: what sounds, or how likely it does, ``(rows, columns, T, V)`` in [0, 1], the lowest key first.
        row_names: one for each row, or none; they stand at the left.
        column_names: one for each column, or none; they stand above.
        caption: what was done.
        lowest: MIDI's number of the lowest key.

    Returns:
        the figure, an axes for each piece, all of the same keys and of the first :data:`MOST_STEPS` steps or twice as
        many.

    Raises:
        ValueError: no piece or too many to be read, or shapes and names that do not agree.
    """
    on, sounds = np.asarray(going, dtype=float) >= 0.5, np.asarray(keys, dtype=float)
    if on.ndim != 3 or sounds.shape[:-1] != on.shape or not 0 < len(on) <= MOST_ROWS or on.shape[1] > MOST_COLUMNS:
        raise ValueError(
            f"{sounds.shape} keys of {on.shape} steps: (rows, columns, T) steps are needed, at most {MOST_ROWS} rows "
            f"of {MOST_COLUMNS} columns."
        )
    rows, columns, _ = on.shape
    for names, count, what in ((row_names, rows, "rows"), (column_names, columns, "columns")):
        if names and len(names) != count:
            raise ValueError(f"{count} {what} need as many names, got {len(names)}.")
    most = MOST_STEPS * (2 if columns == 1 else 1)
    on, sounds = on[:, :, :most], sounds[:, :, :most]
    levels = np.rint(_LEVELS * np.where(on[..., None], np.clip(sounds, 0.0, 1.0), 0.0)) / _LEVELS
    low, high = _used(levels)
    long = max(1, int(on.sum(-1).max()))
    figure = new_figure(WIDTH, _HIGH * rows + _AROUND, caption)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    cs = [key for key in range(low, high) if (key + lowest) % _OCTAVE == 0]
    cs = cs[:: -(-len(cs) // _MOST_CS)]
    for place, axes in enumerate(panels.flat):
        row, column = divmod(place, columns)
        axes.set(xlim=(0, long), ylim=(low - 2, high + 1))
        axes.set_yticks(cs, [f"C{(key + lowest) // _OCTAVE - 1}" for key in cs], size=_SMALL)
        axes.tick_params(length=0, pad=6)  # the first C and the first step would meet at the corner
        axes.axvspan(int(on[row, column].sum()), long, color=_BEYOND, linewidth=0)
        _draw_notes(axes, levels[row, column, :long])
        if row == 0 and column_names:
            shorten(axes.set_title(column_names[column], size=_SMALL), 0.8 * WIDTH / columns * figure.dpi)
        if column == 0 and row_names:
            shorten(axes.set_ylabel(row_names[row], size=_SMALL), 0.8 * _HIGH * figure.dpi, 1, upright=True)
        if row == rows - 1:
            axes.set_xlabel("step")
    return figure


def _used(levels: NDArray[np.float64]) -> tuple[int, int]:
    """The first key that is shown and the one after the last: those that sound, an octave at least."""
    audible = np.flatnonzero((levels > 0).any(tuple(range(levels.ndim - 1))))
    low, high = (audible[0], audible[-1] + 1) if len(audible) else (0, levels.shape[-1])
    more = max(0, _OCTAVE + 1 - (high - low))
    return int(low - more // 2), int(high + more - more // 2)


def _draw_notes(axes: "Axes", levels: NDArray[np.float64]) -> None:
    """A bar for each key as long as it sounds alike, ``(T, V)``."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    before = np.zeros_like(levels[:1])
    changes = np.diff(np.concatenate([before, levels, before]), axis=0).T != 0  # (V, T + 1)
    bars, colors = [], []
    for key, row in enumerate(changes):
        for start, end in pairwise(np.flatnonzero(row).tolist()):
            if level := float(levels[start, key]):
                low, high = key - 0.5, key + 0.5
                bars.append([(start, low), (start, high), (end, high), (end, low)])
                colors.append(to_rgba(INK, level))
    axes.add_collection(PolyCollection(bars, facecolors=colors, linewidths=0))
