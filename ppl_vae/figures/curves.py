"""How training went: the bound, the ELBO and its two parts against epochs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppl_vae.figures.look.style import CATEGORICAL, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ppl_vae.training.metrics import EpochMetrics

_BLUE, _ORANGE, _, _TEAL = CATEGORICAL[:4]
_MARKED = 20  # up to this many epochs each one gets a marker; a single epoch has no line to be seen by
_ROUND = [1, 2, 5, 10]  # ticks are at multiples of these and their tenfolds
_SHARE = 2.6  # times as wide as the first epochs' panel, the later ones' is
_HIGH, _LOW = 2.6, 1.8  # inches, of the first quantity's panels and of the others'


class _Curve(NamedTuple):
    """One line: where it stands in the legend, its colour, its values, NaN where there are none."""

    label: str
    color: str
    values: NDArray[np.float64]


@styled
def training_curves(history: "Sequence[EpochMetrics]", caption: str = "", *, of_point: bool = False) -> "Figure":
    """The bound in training and validation, and below it reconstruction and KL, each on its own scale.

    Where the bound is not the ELBO, the ELBO of the same draws stands below it. Where the first epochs climb much
    further than all later ones, they have a panel of their own, on a scale of their own.

    Args:
        history: of :func:`ppl_vae.training.fit`: one or more epochs, in nats per datapoint.
        caption: what was done.
        of_point: whether the guide is a point: then what is maximised is the reconstruction, less the weighted
            −log p(z), and there is neither a bound nor a KL.

    Returns:
        the figure; its axes are labelled "bound", "reconstruction" and "kl", those of first epochs "start of bound"
        and so on; of a point without a weight of −log p(z) there is "reconstruction" alone.

    Raises:
        ValueError: an empty history.
    """
    if not history:
        raise ValueError("the history is empty: there is no epoch to draw.")
    panels = _panels_of_point(history) if of_point else _panels(history)
    epochs = np.array([metrics.epoch for metrics in history])
    steep = {name: _steep(curves) for name, (_, curves) in panels.items()}
    layout: Any = [[f"start of {name}" if steep[name] else name, name] for name in panels]
    heights = [_HIGH, *[_LOW] * (len(panels) - 1)]
    figure = new_figure(WIDTH, sum(heights) + 0.6, caption)
    axes = figure.subplot_mosaic(layout, height_ratios=heights, width_ratios=[1, _SHARE])
    for name, (what, curves) in panels.items():
        later, first = axes[name], axes[layout[list(panels).index(name)][0]]
        _plot(later, epochs[steep[name] :], curves, steep[name])
        if first is not later:
            _plot(first, epochs[: steep[name] + 1], curves, 0, ticks=3)
        first.set_ylabel(what)
    for label in layout[-1]:
        axes[label].set_xlabel("epoch")
    figure.legend(*axes[next(iter(panels))].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


_Panels = dict[str, tuple[str, list[_Curve]]]


def _panels(history: "Sequence[EpochMetrics]") -> _Panels:
    """Axis label and curves of each panel."""
    bound, elbo = _column(history, "bound"), _column(history, "elbo")
    curves = _both(history, "bound")
    name = "ELBO"
    if not np.allclose(bound, elbo, rtol=1e-5, atol=1e-4):  # beyond float32's rounding of the same sum
        name = "importance bound"
        curves.append(_Curve("ELBO in training", _TEAL, elbo))
    return {
        "bound": (f"{name}\n(nats per datapoint,\nbigger is better)", curves),
        "reconstruction": ("reconstruction", _both(history, "reconstruction")),
        "kl": ("KL", _both(history, "kl")),
    }


def _panels_of_point(history: "Sequence[EpochMetrics]") -> _Panels:
    alone = not any(metrics.kl_weight for metrics in history)
    panel = ("reconstruction\n(nats per datapoint,\nbigger is better)", _both(history, "reconstruction"))
    if alone:
        return {"reconstruction": panel}
    maximised = "reconstruction\n+ weight × log p(z)\n(bigger is better)"
    return {
        "bound": (maximised, _both(history, "bound")),
        "reconstruction": ("reconstruction", panel[1]),
        "kl": ("minus log p(z)", _both(history, "kl")),
    }


def _both(history: "Sequence[EpochMetrics]", name: str) -> list[_Curve]:
    """A column in training and in validation."""
    # Means over an epoch trail: without these words they seem worse than validation's.
    return [
        _Curve("training, during the epoch", _BLUE, _column(history, name)),
        _Curve("validation, after it", _ORANGE, _column(history, f"validation_{name}")),
    ]


def _column(history: "Sequence[EpochMetrics]", name: str) -> NDArray[np.float64]:
    return np.array([getattr(metrics, name) for metrics in history], dtype=float)


def _plot(axes: "Axes", epochs: NDArray[np.int_], curves: Sequence[_Curve], first: int, ticks: int = 6) -> None:
    """Draw the curves over these epochs, the first of which is their value of that place."""
    from matplotlib.ticker import MaxNLocator

    marker = "o" if len(epochs) <= _MARKED else ""
    for curve in curves:
        if not np.isnan(curve.values).all():
            values = curve.values[first : first + len(epochs)]
            axes.plot(epochs, values, color=curve.color, label=curve.label, marker=marker)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=ticks, steps=_ROUND))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=_ROUND))


def _steep(curves: Sequence[_Curve]) -> int:
    """How many epochs at the beginning are off what came after the first fifth; 0 if the panel can have them all."""
    values = [curve.values for curve in curves if not np.isnan(curve.values).all()]
    low, high = _settled_limits(values)
    off = np.any([(curve < low) | (curve > high) for curve in values], axis=0)
    return int(np.flatnonzero(off).max()) + 1 if off.any() else 0


def _settled_limits(curves: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The range of the curves, cut to twice the height of what they span after the first fifth of the epochs."""
    everything = np.concatenate(curves)
    settled = np.concatenate([curve[len(curve) // 5 :] for curve in curves])
    if np.isnan(settled).all():
        settled = everything
    low, high = np.nanmin(settled), np.nanmax(settled)
    slack = (high - low) / 2
    return float(max(low - slack, np.nanmin(everything))), float(min(high + slack, np.nanmax(everything)))
