"""That every picture is whole: its texts fit, and nothing lies outside of the canvas."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ppl_vae.figures.look.fitting import APART, fit, length, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.legend import Legend
    from matplotlib.transforms import Bbox

_ROUNDS = 12  # of laying out and mending; most figures need one or two
_PAD = 0.05  # inches, kept free at the edges
_HIGHEST = 9.5  # inches: a picture that is to be higher is narrower instead
_SLACK = 0.5  # pixels, of rounding
_LOOSE = 0.15  # inches, of empty paper above and below that may stay


def lay_out(figure: "Figure") -> None:
    """Lay a figure out, and mend what does not fit: long texts are broken or cut short, crowded ticks turned or fewer.

    Args:
        figure: with a layout engine, which it has no longer afterwards: each format would lay it out again.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = figure.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine):  # a frame of a film has fixed places
        figure.draw_without_rendering()
        return
    with _without_images(figure):
        _lay_out(figure, engine)
    figure.set_layout_engine("none")
    _trim(figure)


@contextmanager
def _without_images(figure: "Figure") -> Iterator[None]:
    """Images have no part in the layout, which is that of their axes, and would be scaled each time it is tried."""
    images = [image for axes in figure.axes for image in axes.images if image.get_visible()]
    for image in images:
        image.set_visible(False)
    try:
        yield
    finally:
        for image in images:
            image.set_visible(True)


def _lay_out(figure: "Figure", engine: "ConstrainedLayoutEngine") -> None:
    left, bottom, right, top = 0.0, 0.0, 1.0, 1.0  # of the figure, what the layout may use
    for _ in range(_ROUNDS):
        figure.draw_without_rendering()
        # A list: each of them is to be asked.
        if any([_fit_legends(figure), *(fit(axes) for axes in figure.axes)]):
            continue
        over = _overshoot(figure, _content(figure))
        if max(over) <= _SLACK:
            if _widen(figure):
                continue
            break
        width, height = figure.bbox.width, figure.bbox.height
        left, right = left + over[0] / width, right - over[2] / width
        bottom, top = bottom + over[1] / height, top - over[3] / height
        if right - left < 0.3 or top - bottom < 0.3:  # the canvas grows instead
            break
        engine.set(rect=(left, bottom, right - left, top - bottom))


def _fit_legends(figure: "Figure") -> bool:
    """Legends as wide as the figure: fewer columns, then shorter names; the figure grows with their rows."""
    changed = False
    room = figure.bbox.width - 4 * APART
    for legend in figure.legends:
        while (wide := legend.get_window_extent().width) > room:
            before = legend.get_window_extent().height
            columns = legend._ncols  # type: ignore[attr-defined]
            changed = True
            if columns > 1:
                most = max(1, min(columns - 1, int(columns * room / wide)))
                num = len(legend.get_texts())
                rows = -(-num // most)
                _rearrange(legend, -(-num // rows))  # so many that no row is nearly empty
                figure.draw_without_rendering()
                width, height = figure.get_size_inches()
                more = legend.get_window_extent().height - before
                figure.set_size_inches(width, height + max(0.0, more) / figure.dpi)
                continue
            texts = legend.get_texts()
            around = wide - max(length(text, text.get_text()) for text in texts)
            if not any([shorten(text, room - around, 1) for text in texts]):
                break
            figure.draw_without_rendering()
    return changed


def _rearrange(legend: "Legend", columns: int) -> None:
    """Put the entries of a legend that stands already into so many columns."""
    labels = [text.get_text() for text in legend.get_texts()]
    legend.set_ncols(columns)
    legend._init_legend_box(legend.legend_handles, labels)  # type: ignore[attr-defined]
    legend.set_title(None)  # type: ignore[arg-type]  # the new box has an empty one, which would take a line
    legend._set_loc(legend._loc_real)  # type: ignore[attr-defined]
    for text in legend.get_texts():
        text.set_parse_math(False)


def _overshoot(figure: "Figure", box: "Bbox") -> tuple[float, float, float, float]:
    """By how many pixels axes and their texts, which fill the box, stand out at the left, below, at the right and
    above, or lie under a legend there."""
    pad = _PAD * figure.dpi
    ceiling = figure.bbox.height - pad
    for legend in figure.legends:
        if (extent := legend.get_window_extent()).y0 > 0.5 * figure.bbox.height:
            ceiling = min(ceiling, extent.y0)
    right = figure.bbox.width - pad
    over = (pad - box.x0, pad - box.y0, box.x1 - right, box.y1 - ceiling)
    left, below, beside, above = (max(0.0, pixels) for pixels in over)
    return left, below, beside, above


def _content(figure: "Figure") -> "Bbox":
    """The box of all axes with their texts, in pixels."""
    from matplotlib.transforms import Bbox

    return Bbox.union([box for axes in figure.axes if (box := axes.get_tightbbox()) is not None])


def _widen(figure: "Figure") -> bool:
    """Give a figure of pictures, whose sides have a fixed ratio, the height at which they are as wide as there is
    room; whether it was too low."""
    missing = []
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        if not axes.images or axes.get_aspect() == "auto" or spec is None or spec.get_gridspec().ncols > 1:
            return False
        cell, drawn = axes.get_position(original=True), axes.get_position()
        missing.append((cell.width / max(drawn.width, 1e-6) - 1) * drawn.height)
    width, height = figure.get_size_inches()
    more = min(sum(missing) * height, _HIGHEST - height)
    if more <= _LOOSE:
        return False
    figure.set_size_inches(width, height + more)
    return True


def _trim(figure: "Figure") -> None:
    """Let the canvas end where the picture does: larger where something stands out, lower where it is empty."""
    box, dpi = _content(figure), figure.dpi
    over = _overshoot(figure, box)
    legends = [legend.get_window_extent() for legend in figure.legends]
    low = min([box.y0, *(extent.y0 for extent in legends)]) / dpi - _PAD
    width, height = figure.get_size_inches()
    # A legend above stays as far below the upper edge as it is.
    above = [height - extent.y0 / dpi for extent in legends if extent.y0 > 0.5 * figure.bbox.height]
    high = box.y1 / dpi + max([_PAD, *above])
    bottom = -low if low < 0 or low > _LOOSE else 0.0  # added below, in inches
    top = high - height if high > height or height - high > _LOOSE else 0.0  # added above
    left, right = (over[0] / dpi, over[2] / dpi)
    if not any((left, right, top, bottom)):
        return
    places = [axes.get_position(original=True).bounds for axes in figure.axes]
    new = (width + left + right, height + top + bottom)
    figure.set_size_inches(*new)
    for axes, (x, y, w, h) in zip(figure.axes, places, strict=True):
        axes.set_position((
            (x * width + left) / new[0], (y * height + bottom) / new[1], w * width / new[0], h * height / new[1]
        ))  # fmt: skip
    figure.draw_without_rendering()
