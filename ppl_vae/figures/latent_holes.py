"""The empty places of latent planes, and what is decoded there: an autoencoder beside a VAE."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.images import as_pixels, mosaic
from ppl_vae.figures.look.apart import apart
from ppl_vae.figures.look.labels import dots
from ppl_vae.figures.look.style import CATEGORICAL, FAINT, INK, WIDTH, class_colors, image_colormap, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4  # of decoded images under a plane
_PLANE = 3.6  # inches, of a plane with its axis and title
_SCALE = 2.9  # inches, of a plane on the axes of all, where it has others of its own below
_NAME = 28  # letters in a line of a plane's title
_ALIKE = 2.0  # times as wide as another a plane may be for its numbers to stand on the axes of all
_RADIUS = 3  # of the circle on every plane: one yardstick, within which N(0, I) has 99 % of its mass
_NUMBER, _WIDE = 0.34, 1.9  # inches, of a number's frame and of a plane
_TILE = 1.0  # inches, of an image with its number


_View = tuple[NDArray[np.float64], float]


class LatentPlane(NamedTuple):
    """What one model makes of its latent plane.

    Args:
        name: of the model, such as "autoencoder".
        codes: ``(N, 2)``, of datapoints.
        places: ``(K, 2)``, where images were decoded.
        images: ``(K, *event)`` in [0, 1].
    """

    name: str
    codes: ArrayLike
    places: ArrayLike
    images: ArrayLike


@styled
def latent_holes(planes: Sequence[LatentPlane], labels: ArrayLike | None = None, caption: str = "") -> "Figure":
    """Models side by side: the codes of the same datapoints, numbered empty places among them, and what decodes there.

    A decoder has learned nothing of places that are far from all codes. Nothing keeps a plain autoencoder from leaving
    such places between its clusters; a VAE's codes are noisy and drawn to one prior. All planes are drawn on the same
    axes; where one is more than twice as wide as another, each is drawn again below on axes of its own, with the
    numbers. The dashed circle of radius 3 is the same on all.

    Args:
        planes: one for each model, from the left; names that differ.
        labels: ``(N,)`` integers or strings of the datapoints, or None.
        caption: what was done.

    Returns:
        the figure; a model's numbered plane is labelled with the model's name, one on the axes of all "name, to scale",
        its k-th image "name, k", from 1.

    Raises:
        ValueError: no model, codes or places that are not ``(·, 2)``, or not as many images as places and labels as
            codes.
    """
    from matplotlib.lines import Line2D

    if not planes:
        raise ValueError("there is no latent plane to draw.")
    names, index = (["all"], None) if labels is None else np.unique(np.asarray(labels), return_inverse=True)
    checked = [_checked(plane, None if index is None else len(index)) for plane in planes]
    rows = max(-(-len(places) // _COLUMNS) for _, places, _ in checked)
    common, views = _views(checked)
    columns = range(len(planes))
    layout: list[Any] = [[f"{column}" for column in columns for _ in range(_COLUMNS)]]
    heights = [_PLANE] + [_TILE] * rows
    if views[0] is not common:
        layout.insert(0, [f"{column} to scale" for column in columns for _ in range(_COLUMNS)])
        heights.insert(0, _SCALE)
    figure = new_figure(WIDTH / 2 * max(2, len(planes)), sum(heights), caption)
    for first in range(1, rows * _COLUMNS + 1, _COLUMNS):
        layout.append([f"{column} {first + place}" for column in columns for place in range(_COLUMNS)])
    panels = figure.subplot_mosaic(layout, height_ratios=heights)
    colors = np.array(class_colors(len(names)))
    for column, (plane, view, (codes, places, pixels)) in enumerate(zip(planes, views, checked, strict=True)):
        axes, color = panels[f"{column}"], colors[0] if index is None else colors[index]
        axes.set_label(plane.name)
        _draw_codes(axes, codes, color, view)
        _number(axes, places, view)
        if whole := panels.get(f"{column} to scale"):
            whole.set_label(f"{plane.name}, to scale")
            _draw_codes(whole, codes, color, common)
            whole.set_title(fill(plane.name, _NAME))
            axes.set_title(
                "the same, closer" if view[1] < common[1] / _ALIKE else "the same", size="small", color=FAINT
            )
        else:
            axes.set_title(fill(plane.name, _NAME))
        for number in range(1, rows * _COLUMNS + 1):
            panel = panels[f"{column} {number}"]
            panel.set_axis_off()
            panel.set_label(f"{plane.name}, {number}")
            if number <= len(places):
                panel.imshow(mosaic(pixels[number - 1][None, None]), cmap=image_colormap(), vmin=0.0, vmax=1.0)
                panel.set_title(str(number), pad=2.0)
    handles = [Line2D([], [], color=FAINT, linestyle="--", linewidth=1.5, label=f"|z| = {_RADIUS}")]
    if index is not None and len(names) <= len(CATEGORICAL):
        handles += dots([str(name) for name in names])
    figure.legend(handles=handles, loc="outside upper center", ncols=11, columnspacing=0.6, handletextpad=0.2)
    return figure


def _checked(
    plane: LatentPlane, count: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    codes, places = np.asarray(plane.codes, dtype=np.float64), np.asarray(plane.places, dtype=np.float64)
    for what, array in (("codes", codes), ("places", places)):
        if array.ndim != 2 or array.shape[1] != 2 or not len(array) or not np.isfinite(array).all():
            raise ValueError(f"{plane.name}: {what} must be finite, of shape (N, 2) and not empty; got {array.shape}.")
    pixels = as_pixels(plane.images, leading=1)
    if len(pixels) != len(places):
        raise ValueError(f"{plane.name}: {len(pixels)} images for {len(places)} places.")
    if count not in (None, len(codes)):
        raise ValueError(f"{plane.name}: {len(codes)} codes for {count} labels.")
    return codes, places, pixels


def _views(checked: Sequence[tuple[NDArray[np.float64], ...]]) -> tuple[_View, list[_View]]:
    """Middle and half the side of what shows all planes, and of each: the same where its numbers can be read there."""
    everything = [np.concatenate([codes, places]) for codes, places, _ in checked]
    common, own = _view(np.concatenate(everything)), [_view(points) for points in everything]
    alike = common[1] <= _ALIKE * min(half for _, half in own)
    return common, [common] * len(own) if alike else own


def _view(points: NDArray[np.float64]) -> _View:
    low, high = points.min(axis=0), points.max(axis=0)
    return (low + high) / 2, max(0.6 * float((high - low).max()), 1e-6)


def _draw_codes(axes: "Axes", codes: NDArray[np.float64], colors: ArrayLike, view: _View) -> None:
    from matplotlib.patches import Circle

    middle, half = view
    axes.add_patch(Circle((0, 0), _RADIUS, fill=False, edgecolor=FAINT, linestyle="--", linewidth=1.5, zorder=1))
    size = float(np.clip(10_000 / len(codes), 4.0, 30.0))
    axes.scatter(codes[:, 0], codes[:, 1], s=size, c=colors, alpha=0.8, linewidths=0.0, zorder=2, rasterized=True)
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.set(xlabel="z1", ylabel="z2")
    axes.grid(False)


def _number(axes: "Axes", places: NDArray[np.float64], view: _View) -> None:
    """The places' numbers, or leaders to them where they would lie on each other."""
    middle, half = view
    sizes = np.full((len(places), 2), 2 * half * _NUMBER / _WIDE)
    stand = apart(places, sizes, middle - half, middle + half)
    frame = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": INK, "alpha": 0.9}
    for number, (place, at) in enumerate(zip(places, stand, strict=True), start=1):
        if (place != at).any():
            axes.plot(*np.stack([at, place], axis=1), color=INK, linewidth=1.0, marker="o", markersize=3, zorder=3)
        axes.text(at[0], at[1], str(number), ha="center", va="center", size="small", bbox=frame, zorder=3)
