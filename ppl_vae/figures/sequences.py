"""Sequences as images, for the figures that show observations: written words, and music as a piano roll."""

from collections.abc import Sequence
from functools import cache, partial
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont  # matplotlib brings it

from ppl_vae.figures.look.fonts import font_of, fonts_for, own_mono, warn_of_missing

_FONT_SIZE = 40  # pixels
_MARGIN = 6  # pixels around a line
_MOST_CHARACTERS = 60  # of a line, before it is cut
_AFTER = 0.12  # the grey of what comes after a piece's end


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
