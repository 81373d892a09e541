"""The one look of all figures: sizes, colours, captions, and how a figure is saved."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import numpy as np

from ppl_vae.figures.look.fonts import OWN, write_with_fallbacks
from ppl_vae.figures.look.layout import lay_out
from ppl_vae.runtime.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_P = ParamSpec("_P")

INK = "#333333"
"""Text and axes."""
FAINT = "#8a8a8a"
"""What is there for scale only."""

CATEGORICAL = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#086b5f",
    "#6a0365",
    "#f1688f",
    "#20eaa5",
    "#949010",
    "#0e3fae",
    "#ccb8fd",
)
"""Ten colours that colour-blind readers can tell apart: blue, orange, red, teal, plum, pink, mint, olive, navy, lilac.

The first three are Petroff's (2021); the others were searched for, so that under full protanopia and deuteranopia
(Machado et al. 2009) the nearest two are as far apart as can be, about twice as far as in his ten; none is grey.
"""

HOLE = "#a9cdf0"
"""What was not seen of an image: light blue, which no ink has and few photographs are."""

WIDTH = 7.0
"""Of a page's text, in inches: no figure is wider, so that in one of two columns it is still half as large."""

_DPI = 150
_SVG_DPI = 100  # of what an SVG holds as pixels, such as thousands of points
_FONT_SIZE = 14.0  # on a figure of full width: 7 points, a footnote's size, when it is printed at half of it
_CAPTION_SIZE = 13.0

_LOOK: dict[str, object] = {
    "font.family": OWN,
    "font.size": _FONT_SIZE,
    "axes.titlesize": _FONT_SIZE,
    "axes.labelsize": _FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "legend.fontsize": _CAPTION_SIZE,
    "xtick.labelsize": _CAPTION_SIZE,
    "ytick.labelsize": _CAPTION_SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 2.0,
    "image.interpolation": "auto",
    "figure.dpi": 100.0,
    "text.hinting": "none",  # letters as wide at every resolution: what fits into the layout fits into each file
    "svg.hashsalt": "ppl_vae",  # names inside an SVG are hashes: with a salt of their own they are always the same
}


@cache
def image_colormap() -> "Colormap":
    """Black ink on white paper: 0 is white, 1 is black, and what lies below 0 a hole. No eye tells 128 greys apart, and
    SVGs are smaller for it."""
    import matplotlib

    return matplotlib.colormaps["gray_r"].resampled(128).with_extremes(under=HOLE)


@contextmanager
def look() -> Iterator[None]:
    """Matplotlib's defaults with our changes, whatever the user's settings; those are back on leaving."""
    import matplotlib.style

    with matplotlib.style.context(_LOOK, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # said once, in our words
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # names too long as yet: they are cut next
        yield


def styled(draw: "Callable[_P, Figure]") -> "Callable[_P, Figure]":
    """Let a function that returns a figure draw it in our look."""

    @wraps(draw)
    def draw_styled(*args: _P.args, **kwargs: _P.kwargs) -> "Figure":
        from matplotlib.axes import Axes
        from matplotlib.text import Text

        with look():
            figure = draw(*args, **kwargs)
            # Ticks read the settings when they are first drawn, and the size of their labels whenever they are
            # counted: neither may happen after the settings are gone.
            for axes in figure.findobj(Axes):  # with those inset in others
                axes.tick_params(labelsize=_CAPTION_SIZE)
            for text in figure.findobj(Text):
                text.set_parse_math(False)  # a $ in a name is a $
            write_with_fallbacks(figure)
            lay_out(figure)
        return figure

    return draw_styled


def new_figure(width: float, height: float, caption: str) -> "Figure":
    """A figure that pyplot does not know of.

    Args:
        width: in inches.
        height: in inches.
        caption: what was done. It is not drawn: the files hold it (:func:`rendered`), and a page writes it below.

    Returns:
        the figure, with constrained layout and without axes; its label is the caption. A notebook shows it.
    """
    from ppl_vae.figures.look.picture import Picture

    figure = Picture(figsize=(width, height), layout="constrained")
    figure.set_label(caption.encode("utf-8", "replace").decode())  # bytes of a path that are no characters
    return figure


def class_colors(count: int) -> list[str]:
    """Colours of ``count`` classes, as "#rrggbb": categorical ones up to ten, else equal steps along viridis."""
    import matplotlib

    if count <= len(CATEGORICAL):
        return list(CATEGORICAL[:count])
    steps = matplotlib.colormaps["viridis"](np.linspace(0, 1, count))
    return [matplotlib.colors.to_hex(color) for color in steps]


def save(figure: "Figure", path: str | Path) -> None:
    """Write a figure as PNG, 150 pixels per inch of its size, and beside it as SVG.

    The same figure gives the same bytes: an SVG holds no date, and its names no random part.

    Args:
        figure: from any function of this package.
        path: of the PNG, in a directory that exists; the SVG has the suffix ``.svg`` in its place.

    Raises:
        ValueError: another suffix than ``.png``.
        CannotWriteError: they cannot be written there.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"name a file that ends in .png, the .svg comes beside it; got {path}.")
    for suffix, data in rendered(figure).items():
        write_bytes(path.with_suffix(suffix), data)


def rendered(figure: "Figure") -> dict[str, bytes]:
    """What :func:`save` writes, by suffix: ``.png`` and ``.svg``; each holds the caption as its description."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    png, svg = BytesIO(), BytesIO()
    words = {"Description": caption} if (caption := str(figure.get_label())) else {}
    with look():
        # By the canvases themselves: Figure.savefig draws each twice, the first time for a layout that is made already.
        with _canvas_of(figure, _DPI):
            FigureCanvasAgg(figure).print_png(png, metadata=words)  # type: ignore[no-untyped-call]
        images = [image for axes in figure.axes for image in axes.images]
        drawn = [image.get_interpolation() for image in images]
        for image in images:
            image.set_interpolation("none")  # SVG scales images itself: each pixel is held once, however large it is
        with _canvas_of(figure, _SVG_DPI):
            FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, **words})  # type: ignore[no-untyped-call]
        for image, interpolation in zip(images, drawn, strict=True):
            image.set_interpolation(interpolation)
    return {".png": png.getvalue(), ".svg": svg.getvalue()}


@contextmanager
def _canvas_of(figure: "Figure", dpi: int) -> Iterator[None]:
    """So many pixels per inch, and any canvas; both are as before on leaving."""
    before, canvas = figure.dpi, figure.canvas
    figure.dpi = dpi
    try:
        yield
    finally:
        figure.dpi = before
        figure.set_canvas(canvas)
