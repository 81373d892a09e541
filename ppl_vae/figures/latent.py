"""Where the data lie in latent space."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from ppl_vae.figures.style import CATEGORICAL, FAINT, class_colors, new_figure, styled

_PRIOR_RADII = (1, 2, 3)
_CIRCLE = "#cccccc"
_MAX_TICKS = 12  # of a colour bar


@styled
def latent_scatter(codes: ArrayLike, labels: ArrayLike | None = None, caption: str = "") -> Figure:
    """Codes of datapoints, coloured by label.

    Two dimensions are drawn as they are, with circles of radius 1, 2 and 3 for scale: the prior N(0, I) has 39, 86 and
    99 % of its mass in them. More dimensions are projected on the first two principal components; one dimension is
    drawn as a histogram beside the density of the prior.

    Args:
        codes: ``(N, D)``, for example the means of q(z | x).
        labels: ``(N,)`` integers or strings, or None.
        caption: what was done.

    Returns:
        the figure; up to ten classes have a legend beside the axes, more a colour bar.

    Raises:
        ValueError: codes that are not finite or of another shape, labels of another length, or a single code of more
            than two dimensions, which has no principal components.
    """
    points = np.asarray(codes, dtype=np.float64)
    if points.ndim != 2 or points.size == 0:
        raise ValueError(f"codes must have shape (N, D) with N and D at least 1, got {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError("codes hold values that are not finite.")
    names, index = _classes(labels, len(points))
    if points.shape[1] == 1:
        figure = new_figure(8.5, 4.8, caption)
        handles = _draw_histogram(figure.subplots(), points[:, 0], index, len(names))
    else:
        figure = new_figure(8.5, 6.8, caption)
        handles = _draw_scatter(figure.subplots(), points, index, len(names))
    if labels is not None:
        handles = [*_explain_classes(figure, names), *handles]
    if handles:
        beside = len(handles) > 1
        figure.legend(handles=handles, loc="outside right upper" if beside else "outside upper right")
    return figure


def _classes(labels: ArrayLike | None, count: int) -> tuple[list[str], NDArray[np.intp]]:
    """The classes' names in order, and each datapoint's place among them."""
    if labels is None:
        return ["all"], np.zeros(count, dtype=np.intp)
    array = np.asarray(labels)
    if array.shape != (count,):
        raise ValueError(f"{count} codes need labels of shape ({count},), got {array.shape}.")
    values, index = np.unique(array, return_inverse=True)
    return [str(value) for value in values], index


def _draw_scatter(axes: Axes, points: NDArray[np.float64], index: NDArray[np.intp], count: int) -> list[Line2D]:
    handles: list[Line2D] = []
    if points.shape[1] == 2:
        axes.set(xlabel="z1", ylabel="z2")
        axes.grid(False)  # the circles are the scale
        for radius in _PRIOR_RADII:
            axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=_CIRCLE, linewidth=1.5, zorder=1.5))
        handles.append(Line2D([], [], color=_CIRCLE, linewidth=1.5, label="|z| = 1, 2, 3"))
    else:
        points, shares = _principal_components(points)
        axes.set(
            xlabel=f"1st principal component ({shares[0]:.0f} % of variance)",
            ylabel=f"2nd principal component ({shares[1]:.0f} % of variance)",
        )
    # In the data's order, not class by class: the last class would hide the others where they overlap.
    colors = np.array(class_colors(count))[index]
    size = float(np.clip(30_000 / len(points), 6.0, 60.0))
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colors, alpha=0.8, linewidths=0.0, zorder=2, rasterized=True)
    axes.set_aspect("equal", adjustable="datalim")
    return handles


def _principal_components(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first two coordinates (N, 2), and the per cent of the variance that each has (2,)."""
    if len(points) < 2:
        raise ValueError(f"principal components need at least 2 codes, got {len(points)}.")
    pca = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # codes that are all the same: 0 of 0 variance
        projected = pca.fit_transform(points)
    return projected, np.nan_to_num(100 * pca.explained_variance_ratio_)


def _draw_histogram(axes: Axes, values: NDArray[np.float64], index: NDArray[np.intp], count: int) -> list[Line2D]:
    """Stacked by class and scaled to area 1 in all, so that its outline compares with the prior's density."""
    reach = max(3.5, float(np.abs(values).max()))
    bins = np.linspace(-reach, reach, int(np.clip(np.sqrt(len(values)), 10, 100)) + 1)
    axes.hist(
        [values[index == place] for place in range(count)],
        bins=bins.tolist(),
        color=class_colors(count),
        density=True,
        stacked=True,
        histtype="stepfilled",  # one polygon a class rather than one rectangle a bin
        linewidth=0.0,
    )
    z = np.linspace(-reach, reach, 401)
    (prior,) = axes.plot(
        z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), color=FAINT, linestyle="--", label="prior N(0, 1)"
    )
    axes.set(xlabel="z1", ylabel="density")
    return [prior]


def _explain_classes(figure: Figure, names: list[str]) -> list[Line2D]:
    """Legend entries for few classes; for many a colour bar, and no entries."""
    colors = class_colors(len(names))
    if len(names) <= len(CATEGORICAL):
        return [
            Line2D([], [], linestyle="", marker="o", markersize=9, color=color, label=name)
            for name, color in zip(names, colors, strict=True)
        ]
    edges = np.arange(len(names) + 1) - 0.5
    scale = ScalarMappable(BoundaryNorm(edges.tolist(), len(names)), ListedColormap(colors))
    bar = figure.colorbar(scale, ax=figure.axes[0], label="label", spacing="uniform")
    places = np.arange(0, len(names), -(-len(names) // _MAX_TICKS))
    bar.set_ticks(places.tolist(), labels=[names[place] for place in places])
    bar.ax.minorticks_off()
    return []
