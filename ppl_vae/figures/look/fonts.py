"""Which fonts of this machine have the characters that matplotlib's own lacks."""

import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ppl_vae.runtime.errors import PictureWarning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN = "DejaVu Sans"
"""Ships with matplotlib: the same picture on every machine."""
_MOST_FONTS = 4  # beside our own, for one text
_NAMED = 3


@cache
def own_mono() -> str:
    """The file of its sister of one width."""
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono.ttf"))


def fonts_for(characters: Iterable[str], own: str) -> list[str]:
    """Files of fonts that together have these characters as far as any font here has: the first one our own, then, one
    after the other, whichever has most of the rest."""
    rest, fonts = frozenset(map(ord, characters)) - _has(own), [own]
    while rest and len(fonts) <= _MOST_FONTS:
        best = max(_system_fonts(), key=lambda path: len(rest & _has(path)), default=own)
        if not rest & _has(best):
            break
        fonts.append(best)
        rest -= _has(best)
    return fonts


def font_of(character: str, fonts: list[str]) -> str:
    """The first of the fonts that has a character; the first of all if none has."""
    return next((font for font in fonts if ord(character) in _has(font)), fonts[0])


def write_with_fallbacks(figure: "Figure") -> None:
    """Let the texts of a figure that hold other characters than our own font has be drawn in other fonts too."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    own = font_manager.findfont(OWN)
    for text in figure.findobj(Text):  # bytes of a path that are no characters
        text.set_text(text.get_text().encode("utf-8", "replace").decode())
    texts = [text for text in figure.findobj(Text) if not frozenset(map(ord, text.get_text())) <= _has(own) | {10}]
    characters = {character for text in texts for character in text.get_text() if character.isprintable()}
    fonts = fonts_for(characters, own)
    for font in fonts[1:]:
        font_manager.fontManager.addfont(font)
    families = [OWN, *(font_manager.get_font(font).family_name for font in fonts[1:])]
    for text in texts:
        text.set_fontfamily(families)
    warn_of_missing(characters, fonts)


def warn_of_missing(characters: Iterable[str], fonts: list[str]) -> None:
    """Warn if none of the fonts has one of these characters."""
    missing = sorted({each for each in characters if not any(ord(each) in _has(font) for font in fonts)})
    if missing:
        named = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
        warnings.warn(
            f"the pictures have empty boxes for {named}: no font here has these characters; install one, such as Noto "
            "(fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto for others), and draw again.",
            PictureWarning,
            stacklevel=2,
        )


@cache
def _system_fonts() -> tuple[str, ...]:
    # Looked for anew in every process: matplotlib's own list does not see what has been installed since it was made.
    from matplotlib import font_manager

    return tuple(sorted(font_manager.findSystemFonts()))


@cache
def _has(font: str) -> frozenset[int]:
    """The characters that a font has; none of a file that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(font).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
