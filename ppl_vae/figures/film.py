"""One frame of a film of learning."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.images import as_pixels, mosaic, show
from ppl_vae.figures.latent import circles
from ppl_vae.figures.look.labels import dots
from ppl_vae.figures.look.style import FAINT, class_colors, look, styled
from ppl_vae.figures.posteriors import checked, draw_ellipses
from ppl_vae.runtime.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = (9.0, 4.9)  # inches
# Fixed places: a layout that fits itself to each frame's ticks would make the film jump.
_PLANE = (0.08, 0.12, 0.40, 0.76)
_GRID = (0.58, 0.12, 0.415, 0.76)
_LETTERS = 6  # of a class's name, between plane and grid
_DPI = 72


@styled
def film_frame(
    means: ArrayLike,
    covariances: ArrayLike,
    labels: ArrayLike | None,
    grid: ArrayLike,
    reach: float,
    span: float = 3.0,
    title: str = "",
    given: str = "z",
    point: bool = False,
) -> "Figure":
    """Where q puts some observations, and beside it what the model makes of the plane.

    Two frames of the same reach have the same axes, whatever they show.

    Args:
        means: of q(z | x), ``(N, 2)``.
        covariances: of q(z | x), ``(N, 2, 2)``; drawn as ellipses of one standard deviation.
        labels: ``(N,)``, or None.
        grid: E[x | z], ``(S, S, *event)`` in [0, 1], z from −span to span; row 0 is the lowest z₂.
        reach: the plane is shown from −reach to reach.
        span: of the grid.
        title: where in the training this is.
        given: what x is decoded from, for the grid's heading.
        point: whether q puts each z at a point, its code, and has no spread to speak of.

    Returns:
        the figure; its axes are the plane and the grid.

    Raises:
        ValueError: shapes that do not fit each other, or values that are not finite.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    points, spread = checked(means, covariances)
    names, index = np.unique(np.zeros(len(points)) if labels is None else np.asarray(labels), return_inverse=True)
    colors = np.array(class_colors(len(names)))
    figure = Figure(figsize=_SIZE)
    figure.text(0.01, 0.965, title, ha="left", va="center", parse_math=False)
    plane, tiles = figure.add_axes(_PLANE), figure.add_axes(_GRID)

    circles(plane)
    draw_ellipses(plane, points, spread, colors[index])
    for axis in (plane.xaxis, plane.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], prune="both"))  # two would meet at the corner
    plane.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="z1", ylabel="z2", aspect="equal")
    if labels is not None:
        handles = dots([_short(str(name)) for name in names])
        figure.legend(handles=handles, loc="center left", bbox_to_anchor=(0.485, 0.5), handletextpad=0.0, borderpad=0.0)

    pixels = as_pixels(grid, leading=2)
    image = show(tiles, mosaic(pixels[::-1]))
    half = span / max(1, pixels.shape[0] - 1)  # of a tile
    image.set_extent((-span - half, span + half, -span - half, span + half))
    tiles.set(aspect="auto", xlabel="z1", yticklabels=[])  # z2 is that of the plane beside it
    tiles.set_title(f"E[x | {given}]", color=FAINT, fontsize=12)
    heading = "codes: z of each observation" if point else "q(z | x): means, one standard deviation"
    plane.set_title(heading, color=FAINT, fontsize=12)
    tiles.spines[:].set_visible(False)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def save_frame(figure: "Figure", path: Path) -> None:
    """Write a frame as PNG, of the same size in pixels as every other, whatever the user's settings.

    Args:
        figure: the frame.
        path: where to.
    """
    png = BytesIO()
    with look():
        figure.savefig(png, dpi=_DPI, format="png")
    write_bytes(path, png.getvalue())


def film_palette(num_classes: int) -> NDArray[np.uint8]:
    """The colours of a frame: greys, and each class's colour in steps towards white.

    Args:
        num_classes: of the labels, from 0 for none.

    Returns:
        RGB from 0 to 255, ``(at most 256, 3)``.
    """
    from matplotlib.colors import to_rgb

    greys = np.linspace(0.0, 1.0, 128)[:, None].repeat(3, axis=1)
    colors = np.array([to_rgb(color) for color in class_colors(num_classes)])[:128]
    ink = np.linspace(1.0, 0.0, 128 // len(colors), endpoint=False)[:, None, None]  # 1 is the colour, 0 is white
    tints = ink * colors + (1 - ink)
    return np.round(255 * np.concatenate([greys, tints.reshape(-1, 3)])).astype(np.uint8)
