"""Whether a picture is whole: what is drawn lies on the canvas, and no text lies on another."""

from itertools import combinations
from unittest import mock

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ppl_vae.figures.look.style import look

RESOLUTIONS = (72, 100, 150)
"""Of an SVG, of the layout and of a PNG: letters are a little wider or narrower at each."""
_SLACK = 1.0  # pixels, of rounding


def faults(figure: Figure) -> list[str]:
    """What is cut off, and which texts lie on each other, in words; none of a whole picture."""
    own = figure.dpi
    found: dict[str, None] = {}
    with look():
        for resolution in RESOLUTIONS:
            figure.set_dpi(resolution)
            found |= dict.fromkeys(_faults(figure))
    figure.set_dpi(own)
    return list(found)


def drawn_texts(figure: Figure) -> list[tuple[Text, Bbox]]:
    """The texts that are drawn, ticks' among them, each with its place in pixels, frame included."""
    texts: list[Text] = []
    draw = Text.draw

    def record(text: Text, renderer, *args, **kwargs) -> None:
        texts.append(text)
        draw(text, renderer, *args, **kwargs)

    canvas = FigureCanvasAgg(figure)
    with mock.patch.object(Text, "draw", record):
        canvas.draw()
    renderer = canvas.get_renderer()
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text, _extent(text, renderer)) for text in shown]


def _extent(text: Text, renderer) -> Bbox:
    extent = text.get_window_extent(renderer)
    frame = text.get_bbox_patch()
    return Bbox.union([extent, frame.get_window_extent(renderer)]) if frame else extent


def _faults(figure: Figure) -> list[str]:
    texts = drawn_texts(figure)
    renderer = figure.canvas.get_renderer()
    canvas = figure.bbox
    found = [f"cut off: {text.get_text()!r}" for text, extent in texts if not _within(extent, canvas)]
    everything = figure.get_tightbbox(renderer)
    if not _within(Bbox(everything.get_points() * figure.dpi), canvas):
        found.append("cut off: something of the picture")
    for (one, here), (other, there) in combinations(texts, 2):
        if _overlap(here, there):
            found.append(f"on each other: {one.get_text()!r} and {other.get_text()!r}")
    for legend in figure.findobj(Legend):
        inside = set(legend.findobj(Text))
        frame = legend.get_window_extent(renderer)
        found += [
            f"on the legend: {text.get_text()!r}"
            for text, extent in texts
            if text not in inside and _overlap(frame, extent)
        ]
    return found


def _within(extent: Bbox, canvas: Bbox) -> bool:
    return (
        extent.x0 > canvas.x0 - _SLACK
        and extent.y0 > canvas.y0 - _SLACK
        and extent.x1 < canvas.x1 + _SLACK
        and extent.y1 < canvas.y1 + _SLACK
    )


def _overlap(one: Bbox, other: Bbox) -> bool:
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > _SLACK
        and min(one.y1, other.y1) - max(one.y0, other.y0) > _SLACK
    )
