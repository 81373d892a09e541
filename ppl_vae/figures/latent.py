"""Where the data lie in latent space."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.apart import apart
from ppl_vae.figures.look.labels import classes, colour_bar, dots
from ppl_vae.figures.look.style import CATEGORICAL, INK, WIDTH, class_colors, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

_PRIOR_RADII = (1, 2, 3)
_REACH = 3.3  # the largest circle and a little more is always seen
_CIRCLE = "#cccccc"
_DRAWS = "#b5b5b5"
_BINS = 50
_PLANE = 4.4  # inches that the axes are wide at least; names on them are measured in inches:
_LETTER, _LINE, _FRAME = 0.125, 0.2, 0.06
_LETTERS = 16  # of a name on the plane; longer ones stand in the legend
_FAR = 0.12  # of the axes' width, the most that a name is away from what it names


@styled
def latent_scatter(
    codes: ArrayLike,
    labels: ArrayLike | None = None,
    caption: str = "",
    draws: ArrayLike | None = None,
    *,
    standard_normal: bool = True,
) -> "Figure":
    """Codes of datapoints, coloured by label; with draws also the aggregate posterior's marginals beside the prior's.

    Two dimensions are drawn as they are. More are projected on the first two principal components of the codes:
    directions of length 1 at right angles, and nothing is taken off, so that N(0, I) in the latents is N(0, I) in the
    picture. Circles of radius 1, 2 and 3 give the scale: N(0, I) has 39, 86 and 99 % of its mass in them. One dimension
    is drawn as a histogram beside the density of the prior.

    The codes alone look narrower than the prior even where q(z | x), averaged over the data, is the prior; hence the
    marginals are those of draws z ~ q(z | x).

    Args:
        codes: ``(N, D)``, for example the means of q(z | x).
        labels: ``(N,)`` integers or strings, or None.
        caption: what was done.
        draws: ``(M, D)``, z ~ q(z | x) with x ~ data, or None for no marginals.
        standard_normal: whether the prior is N(0, I); if not, neither circles nor N(0, 1) are drawn.

    Returns:
        the figure; up to ten classes have their names at the medians of their codes, or in the legend where they would
        lie on each other there, more a colour bar. The marginals are insets of the scatter, labelled "marginal 1" and
        "marginal 2".

    Raises:
        ValueError: codes or draws that are not finite or of another shape, labels of another length, or a single code
            of more than two dimensions, which has no principal components.
    """
    from matplotlib.lines import Line2D

    points = _checked(codes, "codes")
    sample = None if draws is None else _checked(draws, "draws", points.shape[1])
    names, index = classes(labels, len(points))
    if points.shape[1] == 1:
        figure = new_figure(WIDTH, 4.4, caption)
        axes = figure.subplots()
        handles = _draw_histogram(axes, points[:, 0], index, names if labels is not None else [])
        if sample is not None:
            axes.hist(sample[:, 0], bins=_BINS, density=True, histtype="step", color=INK, linewidth=1.5)
            handles.append(Line2D([], [], color=INK, linewidth=1.5, label="draws of q(z | x)"))
        handles += _draw_density(axes) if standard_normal else []
        axes.set(xlabel="z1", ylabel="density")
    else:
        figure = new_figure(WIDTH, WIDTH, caption)
        axes = figure.subplots()
        if points.shape[1] > 2:
            directions, shares = _principal_components(points)
            points, sample = points @ directions.T, None if sample is None else sample @ directions.T
            axis_names = [
                f"{place} component ({s:.0f} % of variance)" for place, s in zip(("1st", "2nd"), shares, strict=True)
            ]
        else:
            axis_names = ["z1", "z2"]
        _draw_scatter(axes, points, index, len(names), sample)
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
        handles = circles(axes) if standard_normal else []
        if sample is not None:
            handles += _draw_marginals(axes, sample, standard_normal)
        if labels is not None and len(names) <= len(CATEGORICAL):
            handles += _name_classes(axes, points, index, names)
    if labels is not None and len(names) > len(CATEGORICAL):
        colour_bar(figure, names)
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=max(3 if points.shape[1] > 1 else 4, -(-len(handles) // 3))
        )
    return figure


def _checked(values: ArrayLike, what: str, size: int | None = None) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{what} must have shape (N, D) with N and D at least 1, got {array.shape}.")
    if size is not None and array.shape[1] != size:
        raise ValueError(f"{what} of {array.shape[1]} dimensions for codes of {size}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} hold values that are not finite.")
    return array


def _principal_components(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first two directions (2, D), and the per cent of the codes' variance that each has (2,)."""
    if len(points) < 2:
        raise ValueError(f"principal components need at least 2 codes, got {len(points)}.")
    _, singular, directions = np.linalg.svd(points - points.mean(0), full_matrices=False)
    components = directions[:2]
    # Up to their sign: each points to where its largest part is positive.
    largest = np.abs(components).argmax(1)
    components = components * np.sign(components[np.arange(len(components)), largest])[:, None]
    with np.errstate(invalid="ignore"):  # codes that are all the same: 0 of 0 variance
        shares = singular[:2] ** 2 / (singular**2).sum()
    return components, np.nan_to_num(100 * shares)


def _draw_scatter(
    axes: "Axes", points: NDArray[np.float64], index: NDArray[np.intp], count: int, draws: NDArray[np.float64] | None
) -> None:
    # In the data's order, not class by class: the last class would hide the others where they overlap.
    from matplotlib.ticker import MaxNLocator

    colors = np.array(class_colors(count))[index]
    size = float(np.clip(20_000 / len(points), 5.0, 40.0))
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colors, alpha=0.8, linewidths=0.0, zorder=2, rasterized=True)
    axes.grid(False)  # the circles are the scale
    # A square about the codes, the circles and nearly all draws: the same unit in both directions.
    seen = [points, np.full((1, 2), _REACH), np.full((1, 2), -_REACH)]
    if draws is not None:
        seen.append(np.quantile(draws, [0.001, 0.999], axis=0))
    low, high = np.concatenate(seen).min(axis=0), np.concatenate(seen).max(axis=0)
    half = 0.52 * (high - low).max()
    middle = (low + high) / 2
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    axes.set_aspect("equal")
    axes.set_anchor("SW")


def circles(axes: "Axes") -> "list[Line2D | Patch]":
    """Circles of radius 1, 2 and 3, the scale of a prior N(0, I); returns what the legend has of them."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle

    for radius in _PRIOR_RADII:
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=_CIRCLE, linewidth=1.5, zorder=1.5))
    return [Line2D([], [], color=_CIRCLE, linewidth=1.5, label="radius 1, 2, 3")]


def _draw_marginals(axes: "Axes", draws: NDArray[np.float64], standard_normal: bool) -> "list[Line2D | Patch]":
    """Histograms of the draws above and to the right of the scatter, each along its axis."""
    from matplotlib.patches import Patch

    above = axes.inset_axes((0, 1.02, 1, 0.2), sharex=axes, label="marginal 1")
    beside = axes.inset_axes((1.02, 0, 0.2, 1), sharey=axes, label="marginal 2")
    handles: list[Line2D | Patch] = [Patch(color=_DRAWS, label="draws of q(z | x)")]
    highest = 0.0
    for panel, values, limits, upright in (
        (above, draws[:, 0], axes.get_xlim(), False),
        (beside, draws[:, 1], axes.get_ylim(), True),
    ):
        edges = np.linspace(*limits, _BINS + 1)
        # Of all draws, also of those beyond the axes' ends.
        density = np.histogram(values, bins=edges)[0] / len(values) / np.diff(edges)
        panel.stairs(density, edges, fill=True, color=_DRAWS, orientation="horizontal" if upright else "vertical")
        dashed = _draw_density(panel, upright) if standard_normal else []
        highest = max(highest, float(density.max()), 0.4 if standard_normal else 0.0)
    handles += dashed
    for panel, upright in ((above, False), (beside, True)):
        value_axis, density_axis = (panel.yaxis, panel.xaxis) if upright else (panel.xaxis, panel.yaxis)
        value_axis.set_tick_params(labelleft=False, labelbottom=False, length=0)
        (panel.set_xlim if upright else panel.set_ylim)(0, 1.05 * highest)
        density_axis.set_label_text("density")
        density_axis.set_ticks([0.4 if highest < 0.8 else round(highest, 1)])  # 0 is where the scatter is
        panel.grid(False)
    return handles


def _draw_density(axes: "Axes", upright: bool = False) -> "list[Line2D | Patch]":
    """N(0, 1) along the axes."""
    z = np.linspace(-4, 4, 401)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    along = (density, z) if upright else (z, density)
    return list(axes.plot(*along, color=INK, linestyle="--", linewidth=1.5, label="prior N(0, 1)"))


def _name_classes(
    axes: "Axes", points: NDArray[np.float64], index: NDArray[np.intp], names: list[str]
) -> "list[Line2D | Patch]":
    """Each class's name in its colour's frame at the median of its codes, or as near as there is room, a line leading
    there. Where there is none near it, nothing is written and the legend has to tell the colours: its entries."""
    centres = np.array([np.median(points[index == place], axis=0) for place in range(len(names))])
    colors, width = class_colors(len(names)), axes.get_xlim()[1] - axes.get_xlim()[0]
    inch = width / _PLANE
    sizes = inch * np.array([(_LETTER * len(name) + 2 * _FRAME, _LINE + 2 * _FRAME) for name in names])
    places = apart(centres, sizes)
    far = np.abs(places - centres).max() > _FAR * width
    if far or max(map(len, names)) > _LETTERS or _outside(axes, places, sizes):
        return [*dots(names)]
    for place, centre, name, color in zip(places, centres, names, colors, strict=True):
        if (place != centre).any():
            axes.plot(*np.stack([place, centre], axis=1), color=color, linewidth=1.5, zorder=3)
            axes.plot(*centre, color=color, marker="o", markersize=7, markeredgecolor="white", zorder=3)
        frame = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": color, "linewidth": 2.5, "alpha": 0.9}
        axes.text(place[0], place[1], name, ha="center", va="center", bbox=frame, zorder=4, clip_on=True)
    return []


def _outside(axes: "Axes", places: NDArray[np.float64], sizes: NDArray[np.float64]) -> bool:
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    return bool(((places - sizes / 2 < low) | (places + sizes / 2 > high)).any())


def _draw_histogram(
    axes: "Axes", values: NDArray[np.float64], index: NDArray[np.intp], names: list[str]
) -> "list[Line2D | Patch]":
    """Stacked by class and scaled to area 1 in all, so that its outline compares with the prior's density."""
    from matplotlib.patches import Patch

    reach = max(3.5, float(np.abs(values).max()))
    bins = np.linspace(-reach, reach, int(np.clip(np.sqrt(len(values)), 10, 100)) + 1)
    colors = class_colors(max(1, len(names)))
    axes.hist(
        [values[index == place] for place in range(len(colors))],
        bins=bins.tolist(),
        color=colors,
        density=True,
        stacked=True,
        histtype="stepfilled",  # one polygon a class rather than one rectangle a bin
        linewidth=0.0,
    )
    if len(names) > len(CATEGORICAL):
        return []
    # No names where there are no labels.
    return [Patch(color=color, label=name) for name, color in zip(names, colors, strict=False)]
