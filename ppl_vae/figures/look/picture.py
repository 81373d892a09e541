"""The figure that all figures are: one that a notebook shows."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that pyplot does not know of, and that shows itself where it is the value of a notebook's cell.

    This module imports matplotlib: import it where a figure is made.
    """

    def _repr_png_(self) -> bytes:
        """The figure as PNG, as many pixels as its own resolution says; its caption is in the file."""
        from ppl_vae.figures.look.style import look

        png, before, caption = BytesIO(), self.canvas, str(self.get_label())
        with look():
            try:
                FigureCanvasAgg(self).print_png(png, metadata={"Description": caption} if caption else {})  # type: ignore[no-untyped-call]
            finally:
                self.set_canvas(before)
        return png.getvalue()
