"""Where q(z | x) of each datapoint lies in a latent plane, and how wide it is."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.latent import circles
from ppl_vae.figures.look.labels import classes, colour_bar, dots
from ppl_vae.figures.look.style import CATEGORICAL, WIDTH, class_colors, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_REACH = 3.3  # the largest circle and a little more is always seen
_MARGIN = 1.04


@styled
def posteriors(
    means: ArrayLike,
    covariances: ArrayLike,
    labels: ArrayLike | None = None,
    caption: str = "",
    *,
    standard_normal: bool = True,
) -> "Figure":
    """q(z | x) of each datapoint as an ellipse of one standard deviation in the plane of a latent of size 2.

    Args:
        means: of q(z | x), ``(N, 2)``.
        covariances: of q(z | x), ``(N, 2, 2)``.
        labels: ``(N,)`` integers or strings, or None.
        caption: what was done.
        standard_normal: whether the prior is N(0, I), of which circles of radius 1, 2 and 3 give the scale.

    Returns:
        the figure; up to ten classes are named above it, more in a colour bar.

    Raises:
        ValueError: shapes that do not fit each other, or values that are not finite.
    """
    points, spread = checked(means, covariances)
    names, index = classes(labels, len(points))
    colors = np.array(class_colors(len(names)))
    figure = new_figure(WIDTH, WIDTH, caption)
    axes = figure.subplots()
    draw_ellipses(axes, points, spread, colors[index])
    # As far as all ellipses reach, the prior's circles in the middle.
    ends = np.abs(points) + np.sqrt(np.diagonal(spread, axis1=1, axis2=2).clip(min=0.0))
    reach = max(_LEAST_REACH, _MARGIN * float(ends.max()))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="z1", ylabel="z2", aspect="equal")
    handles = circles(axes) if standard_normal else []
    if labels is not None and len(names) > len(CATEGORICAL):
        colour_bar(figure, names)
    elif labels is not None:
        handles += dots(names)
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=6, handletextpad=0.2, columnspacing=1.2)
    return figure


def checked(means: ArrayLike, covariances: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two as arrays.

    Raises:
        ValueError: shapes that do not fit each other, or values that are not finite.
    """
    points, spread = np.asarray(means, dtype=np.float64), np.asarray(covariances, dtype=np.float64)
    if points.ndim != 2 or not len(points) or points.shape[1] != 2 or spread.shape != (len(points), 2, 2):
        raise ValueError(f"ellipses need means (N, 2) and covariances (N, 2, 2), got {points.shape}, {spread.shape}.")
    if not (np.isfinite(points).all() and np.isfinite(spread).all()):
        raise ValueError("means or covariances hold values that are not finite.")
    return points, spread


def draw_ellipses(
    axes: "Axes", points: NDArray[np.float64], spread: NDArray[np.float64], colors: NDArray[np.str_]
) -> None:
    """A dot at each mean, and around it the ellipse of one standard deviation.

    Args:
        axes: with no grid afterwards, the circles of the prior being the scale.
        points: means, ``(N, 2)``.
        spread: covariances, ``(N, 2, 2)``.
        colors: ``(N,)``.
    """
    from matplotlib.collections import EllipseCollection

    variances, directions = np.linalg.eigh(spread)
    lengths = 2 * np.sqrt(variances.clip(min=0.0))
    angles = np.degrees(np.arctan2(directions[:, 1, 1], directions[:, 0, 1]))
    axes.add_collection(
        EllipseCollection(
            lengths[:, 1], lengths[:, 0], angles, units="xy", offsets=points, offset_transform=axes.transData,
            facecolors="none", edgecolors=colors, alpha=0.6, linewidths=0.8, zorder=2,
        )
    )  # fmt: skip
    axes.scatter(points[:, 0], points[:, 1], s=16, c=colors, linewidths=0.0, zorder=2)
    axes.grid(False)
