"""Characters that our own font lacks: drawn in a font that has them, or said in words."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.text import Text

from ppl_vae import figures
from ppl_vae.figures.look import fonts
from ppl_vae.figures.sequences import written
from ppl_vae.runtime.errors import PictureWarning

NAME = "名前"


def font_with(path: Path, characters: str) -> str:
    """A font in which each of these characters is a full black square."""
    names = [f"square{number}" for number in range(len(characters))]
    pen = TTGlyphPen(None)
    for step, corner in enumerate([(0, 0), (0, 1000), (1000, 1000), (1000, 0)]):
        (pen.lineTo if step else pen.moveTo)(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({ord(character): name for character, name in zip(characters, names, strict=True)})
    builder.setupGlyf({name: square for name in [".notdef", *names]})
    builder.setupHorizontalMetrics({name: (1000, 0) for name in [".notdef", *names]})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular", "psName": path.stem})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine with one font, which has two characters."""
    path = font_with(tmp_path / "Squares.ttf", NAME)
    monkeypatch.setattr(fonts, "_system_fonts", lambda: (path,))
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without fonts."""
    monkeypatch.setattr(fonts, "_system_fonts", tuple)


def test_a_font_is_found(installed: str) -> None:
    assert fonts.fonts_for(f"a{NAME}", fonts.own_mono()) == [fonts.own_mono(), installed]
    assert fonts.fonts_for("abc", fonts.own_mono()) == [fonts.own_mono()]
    assert fonts.font_of("前", [fonts.own_mono(), installed]) == installed
    assert fonts.font_of("字", [fonts.own_mono(), installed]) == fonts.own_mono()


@pytest.mark.usefixtures("installed")
def test_lines_are_written_in_it() -> None:
    usual, other = written(["ab"]), written([NAME, "ab"])
    assert (other[0] == 1).sum() > 2 * 38 * 38  # two squares of 40 pixels
    assert other.shape[2] == 2 * 40 + 12
    wide = other[1, :, : usual.shape[2]]
    ink = [np.flatnonzero(image.any(1)) for image in (usual[0], wide)]
    assert len(ink[0]) == len(ink[1])  # the letters are as they were


@pytest.mark.usefixtures("installed")
def test_names_are_written_in_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figures.blocks({f"{NAME}.txt": np.zeros((1, 1, 4, 4))})
        figures.save(figure, tmp_path / "sheet.png")
    text = next(text for text in figure.findobj(Text) if NAME in text.get_text())
    assert text.get_fontfamily() == ["DejaVu Sans", "Squares"]
    assert "Squares" in (tmp_path / "sheet.svg").read_text()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "draw", [lambda: written([NAME]), lambda: figures.blocks({f"{NAME}.txt": np.zeros((1, 1, 4, 4))})]
)
def test_without_one_it_is_said(draw) -> None:
    with pytest.warns(PictureWarning) as caught:
        draw()
    (warning,) = caught
    assert str(warning.message) == (
        "the pictures have empty boxes for 前, 名: no font here has these characters; install one, such as Noto "
        "(fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto for others), and draw again."
    )


@pytest.mark.usefixtures("bare")
def test_what_our_own_font_has_needs_no_other() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written(["Ελληνικά, Привет, ±"])
        figures.blocks({"p(x | z) ≥ π\nnext": np.zeros((1, 1, 4, 4))})


def test_bytes_that_are_no_characters(tmp_path: Path) -> None:
    figure = figures.sheet(np.zeros((1, 4, 4)), caption="caf\udce9.npz: vae")
    figures.save(figure, tmp_path / "sheet.png")
    assert "caf?.npz" in (tmp_path / "sheet.svg").read_text()
