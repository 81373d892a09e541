"""Pictures of observations: sheets, reconstructions, and the plane of a two-dimensional latent.

An image is an array of shape ``event``: ``(H, W)`` or ``(H, W, 1)`` grey, ``(H, W, 3)`` red, green and blue, ``(D,)``
a strip of D cells. Its values are in [0, 1]; what lies outside (a Gaussian's mean may) is drawn as the nearer end. NaN
in a part of an image is a hole, which has a colour of its own; an image of NaN alone leaves its place empty.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.style import HOLE, WIDTH, image_colormap, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_TILE = 1.1  # inches, the most a square tile gets
_MIN_WIDTH = 2.0  # inches, of a picture of few tiles
_FEW = 8  # rows of cells, drawn so high, or columns so wide, that a long thin strip is seen
_COLUMNS = 10  # of reconstructions, before they wrap
_NAMES = 1.6  # inches, of the rows' names beside reconstructions
_BETWEEN = 0.3  # inches, between blocks of reconstructions
_HIGHEST = 9.0  # inches, of a picture
_AXIS = 0.8  # inches, of ticks and labels
_PADDING = 0.2  # inches, that the layout keeps free above and below
_MAX_TICKS = 9  # along a grid, one for each image; beyond it, at round numbers


@styled
def sheet(images: ArrayLike, caption: str = "", columns: int | None = None) -> "Figure":
    """Images in rows, as one reads.

    Args:
        images: ``(n, *event)`` in [0, 1].
        caption: what was done.
        columns: images in a row; None chooses between a square sheet and a wide one.

    Returns:
        the figure, one mosaic.

    Raises:
        ValueError: no images, values that are not finite, an event that is no image, or columns below 1.
    """
    pixels = as_pixels(images, leading=1)
    count, height, width = pixels.shape[:3]
    if columns is None:
        square = math.ceil(math.sqrt(count * height / width))
        columns = min(range(square, 2 * square + 1), key=lambda candidate: -count % candidate)  # fewest empty places
    if columns < 1:
        raise ValueError(f"a sheet needs at least 1 column, got {columns}.")
    picture = mosaic(_in_rows(pixels, columns))
    figure = _figure_for(picture, (height, width), columns, caption)
    axes = figure.subplots()
    show(axes, picture)
    axes.set_axis_off()
    return figure


@styled
def reconstructions(originals: ArrayLike, means: ArrayLike, caption: str = "") -> "Figure":
    """Originals, and below each what the model makes of its code; more than ten wrap.

    Args:
        originals: ``(n, *event)`` in [0, 1]; NaN where nothing was seen.
        means: ``(n, *event)`` in [0, 1], means of p(x | z) at codes of the originals.
        caption: what was done.

    Returns:
        the figure, one axes for each ten pairs.

    Raises:
        ValueError: shapes that differ, no images, values that are not finite, or an event that is no image.
    """
    above, below = as_pixels(originals, leading=1, blanks=True), as_pixels(means, leading=1)
    if above.shape != below.shape:
        raise ValueError(f"originals {np.shape(originals)} and means {np.shape(means)} differ in shape.")
    count, height, width = above.shape[:3]
    # Blocks of equal length (12 are 6 + 6, not 10 + 2), and one column for strips, which are long.
    most = max(1, min(_COLUMNS, _COLUMNS * height // width))
    blocks = math.ceil(count / most)
    columns = math.ceil(count / blocks)
    pairs = np.stack([_in_rows(above, columns), _in_rows(below, columns)], axis=1)  # (blocks, 2, columns, H, W…)
    pictures = [mosaic(pair) for pair in pairs]

    whole = np.vstack(pictures)
    figure = _figure_for(whole, (height, width), columns, caption, beside=_NAMES, below=_BETWEEN * (blocks - 1))
    for axes, picture in zip(figure.subplots(blocks, 1, squeeze=False).flat, pictures, strict=True):
        show(axes, picture)
        tall = picture.shape[0]
        axes.set_yticks([height / 2 - 0.5, tall - height / 2 - 0.5], ["original", "reconstruction"])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


@styled
def grid(
    images: ArrayLike, low: float, high: float, caption: str = "", names: tuple[str, str] = ("z1", "z2")
) -> "Figure":
    """What a model with a two-dimensional z makes of the plane: z1 grows to the right, z2 upwards.

    Args:
        images: ``(rows, columns, *event)`` in [0, 1], decoded where z1 (columns) and z2 (rows) take equally spaced
            values from ``low`` to ``high``, both ends included; row 0 is the lowest z2 and is drawn at the bottom.
        low: smallest z1 and z2.
        high: largest z1 and z2.
        caption: what was done.
        names: of the axes, where they are something else than z1 and z2 themselves.

    Returns:
        the figure, one mosaic; the centre of an image lies at its z.

    Raises:
        ValueError: ``low`` not below ``high``, fewer than 2 rows or columns, values that are not finite, or an event
            that is no image.
    """
    from matplotlib.ticker import StrMethodFormatter

    pixels = as_pixels(images, leading=2)
    rows, columns, height, width = pixels.shape[:4]
    if not low < high:
        raise ValueError(f"low must be below high, got {low:g} and {high:g}.")
    if min(rows, columns) < 2:
        raise ValueError(f"a grid from low to high needs 2 rows and 2 columns or more, got {rows} x {columns}.")
    picture = mosaic(pixels[::-1])
    tall, wide = picture.shape[:2]

    # Neighbours' centres are `high - low` / (count - 1) apart, so half a tile sticks out at either end.
    unit1 = (high - low) / (wide - width)  # z1 of one pixel
    unit2 = (high - low) / (tall - height)  # z2 of one pixel
    out1, out2 = unit1 * width / 2, unit2 * height / 2

    figure = _figure_for(picture, (height, width), columns, caption, beside=_AXIS, below=_AXIS)
    axes = figure.subplots()
    image = show(axes, picture)
    image.set_extent((low - out1, high + out1, low - out2, high + out2))
    axes.set_aspect(unit1 / unit2)  # pixels stay square
    axes.set(xlabel=names[0], ylabel=names[1])
    for axis, count in ((axes.xaxis, columns), (axes.yaxis, rows)):
        if count <= _MAX_TICKS:
            axis.set_ticks(np.linspace(low, high, count))
            axis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
    axes.spines[:].set_visible(False)
    return figure


def mosaic(tiles: ArrayLike, below: int = 0) -> NDArray[np.float64]:
    """Tile images into one picture, a thin transparent gap between them.

    Args:
        tiles: ``(rows, columns, *event)`` in [0, 1]; NaN is a hole, and a tile of NaN alone is transparent.
        below: transparent pixels under each tile, for words.

    Returns:
        for grey tiles and strips ``(height, width)``, -1 in holes, which is drawn in their colour, NaN where
        transparent; for colour ``(height, width, 4)``, RGBA.

    Raises:
        ValueError: an event that is no image.
    """
    pixels = _shaped(np.asarray(tiles, dtype=np.float64), leading=2)
    rows, columns, height, width, *channels = pixels.shape
    gap = max(1, min(height, width) // 28)  # one pixel up to the size of MNIST, and in proportion above it
    blank = np.isnan(pixels)
    empty = blank.all(axis=tuple(range(2, blank.ndim)), keepdims=True)
    holes = blank.any(axis=-1, keepdims=True) if channels else blank
    down, across = height + below + gap, width + gap
    cells = np.full((rows, columns, down, across, *channels), np.nan)
    filled = np.where(holes & ~empty, _hole_color() if channels else -1.0, np.clip(pixels, 0.0, 1.0))
    cells[:, :, :height, :width] = filled
    picture = cells.swapaxes(1, 2).reshape(rows * down, columns * across, *channels)
    picture = picture[:-gap, :-gap]
    if not channels:
        return picture
    opaque = ~np.isnan(picture).any(axis=-1, keepdims=True)
    return np.concatenate([np.where(opaque, picture, 0.0), opaque], axis=-1)


def _hole_color() -> NDArray[np.float64]:
    """Red, green and blue, ``(3,)``."""
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(HOLE))


def as_pixels(images: ArrayLike, leading: int, *, blanks: bool = False) -> NDArray[np.float64]:
    """Check images ``(*leading, *event)`` and bring them to ``(*leading, H, W)`` or ``(*leading, H, W, 3)``.

    Args:
        images: at least one.
        leading: how many dimensions stand before the event's.
        blanks: let NaN pass, holes and empty places.

    Raises:
        ValueError: no images, values that are not finite, or an event that is no image.
    """
    array = np.asarray(images, dtype=np.float64)
    pixels = _shaped(array, leading)
    if pixels.size == 0:
        raise ValueError(f"there is nothing to draw in images of shape {array.shape}.")
    if not (np.isfinite(pixels) | (np.isnan(pixels) & blanks)).all():
        raise ValueError("images hold values that are not finite.")
    return pixels


def _shaped(array: NDArray[np.float64], leading: int) -> NDArray[np.float64]:
    match array.shape[leading:]:
        case (height, width) if height < _FEW and 8 * height < width:
            return np.repeat(array, width // (8 * height), axis=-2)
        case (height, width) if width < _FEW and 8 * width < height:
            return np.repeat(array, height // (8 * width), axis=-1)
        case (_, _) | (_, _, 3):
            return array
        case (height, width, 1):
            return _shaped(array[..., 0], leading)
        case (size,):
            return np.repeat(array[..., None, :], max(1, size // 8), axis=-2)  # eight times as long as high
        case event:
            raise ValueError(f"cannot draw an event of shape {event}; it must be (D,), (H, W), (H, W, 1) or (H, W, 3).")


def _in_rows(pixels: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Reshape (n, …) to (rows, columns, …), the last row filled up with NaN."""
    rows = math.ceil(len(pixels) / columns)
    padding = np.full((rows * columns - len(pixels), *pixels.shape[1:]), np.nan)
    return np.concatenate([pixels, padding]).reshape(rows, columns, *pixels.shape[1:])


def _figure_for(
    picture: NDArray[np.float64],
    tile: tuple[int, int],
    columns: int,
    caption: str,
    beside: float = 0.0,
    below: float = 0.0,
) -> "Figure":
    """A figure that a picture of so many columns of tiles fills, with so many inches beside and below it."""
    tile_width = _TILE * math.sqrt(tile[1] / tile[0])  # the same area whatever the tile's shape
    ratio = picture.shape[0] / picture.shape[1]
    width = fitting(ratio, min(WIDTH - beside, max(_MIN_WIDTH, columns * tile_width)))
    return new_figure(width + beside, width * ratio + below + _PADDING, caption)


def fitting(ratio: float, width: float) -> float:
    """The width of a picture, in inches, at which it is no higher than a page; ``ratio`` is its height by its width."""
    return min(width, _HIGHEST / ratio)


def show(axes: "Axes", picture: NDArray[np.float64]) -> "AxesImage":
    """Put a mosaic into axes, in the colours that all images here have."""
    axes.grid(False)
    axes.set_anchor("W")  # above the start of the caption
    return axes.imshow(picture, cmap=image_colormap(), vmin=0.0, vmax=1.0)
