"""How training went: the bound, the ELBO and its two parts against epochs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ppl_vae.figures.look.style import CATEGORICAL, FAINT, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

if TYPE_CHECKING:  # the type alone: drawing needs no torch
    from ppl_vae.training.metrics import EpochMetrics

_BLUE, _ORANGE, _RED = CATEGORICAL[:3]
_TEAL, _PLUM = CATEGORICAL[3:5]
_MARKED = 20  # up to this many epochs each one gets a marker; a single epoch has no line to be seen by
_ROUND = [1, 2, 5, 10]  # ticks are at multiples of these and their tenfolds


@styled
def training_curves(history: "Sequence[EpochMetrics]", caption: str = "") -> "Figure":
    """The bound in training and validation, and below it reconstruction and KL, each on its own scale.

    Where the bound is not the ELBO, the ELBO of the same draws stands below it.

    Args:
        history: of :func:`ppl_vae.training.fit`: one or more epochs, in nats per datapoint.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "bound", "reconstruction" and "kl".

    Raises:
        ValueError: an empty history.
    """
    if not history:
        raise ValueError("the history is empty: there is no epoch to draw.")
    epochs = [metrics.epoch for metrics in history]
    figure = new_figure(WIDTH, 7.0, caption)
    axes = figure.subplot_mosaic([["bound", "bound"], ["reconstruction", "kl"]], height_ratios=[1.4, 1])

    # The training bound is a mean over the epoch, so it trails: without these words it seems worse than validation's.
    train = np.array([metrics.bound for metrics in history])
    elbo = np.array([metrics.elbo for metrics in history])
    _plot(axes["bound"], epochs, train, _BLUE, "training, during the epoch")
    curves = [train]
    if any(metrics.validation_bound is not None for metrics in history):
        validation = np.array([metrics.validation_bound for metrics in history], dtype=float)
        _plot(axes["bound"], epochs, validation, _ORANGE, "validation, after it")
        curves.append(validation)
    name = "ELBO"
    if not np.allclose(train, elbo, rtol=1e-5, atol=1e-4):  # beyond float32's rounding of the same sum
        name = "importance bound"
        _plot(axes["bound"], epochs, elbo, _TEAL, "ELBO in training")
        curves.append(elbo)
    _set_limits(axes["bound"], curves)
    axes["bound"].set(xlabel="epoch", ylabel=f"{name} in nats per datapoint\n(bigger is better)")
    figure.legend(*axes["bound"].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    reconstruction = np.array([metrics.reconstruction for metrics in history])
    _plot(axes["reconstruction"], epochs, reconstruction, _PLUM, "reconstruction")
    _set_limits(axes["reconstruction"], [reconstruction])
    axes["reconstruction"].set(xlabel="epoch", ylabel="reconstruction (nats)")

    kl = np.array([metrics.kl for metrics in history])
    _plot(axes["kl"], epochs, kl, _RED, "KL")
    _set_limits(axes["kl"], [kl])
    axes["kl"].set(xlabel="epoch", ylabel="KL (nats)")

    return figure


def _plot(axes: "Axes", epochs: list[int], values: NDArray[np.float64], color: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    marker = "o" if len(epochs) <= _MARKED else ""
    axes.plot(epochs, values, color=color, label=label, marker=marker)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6, steps=_ROUND))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=_ROUND))


def _set_limits(axes: "Axes", curves: Sequence[NDArray[np.float64]]) -> None:
    """Give the panel to what comes after the first fifth of the epochs, and say so where that leaves values out."""
    low, high = _settled_limits(curves)
    if low < high:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)
    values = np.concatenate(curves)
    lowest, highest = (f"{value:,.1f}".replace("-", "−") for value in (np.nanmin(values), np.nanmax(values)))
    match bool((values < low).any()), bool((values > high).any()):
        case True, True:
            note = f"cut off: {lowest} to {highest}"
        case True, False:
            note = f"cut off: down to {lowest}"
        case False, True:
            note = f"cut off: up to {highest}"
        case _:
            return
    axes.set_title(note, loc="left", size="small", color=FAINT)


def _settled_limits(curves: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The range of the curves, cut to twice the height of what they span after the first fifth of the epochs."""
    everything = np.concatenate(curves)
    settled = np.concatenate([curve[len(curve) // 5 :] for curve in curves])
    if np.isnan(settled).all():
        settled = everything
    low, high = np.nanmin(settled), np.nanmax(settled)
    slack = (high - low) / 2
    return float(max(low - slack, np.nanmin(everything))), float(min(high + slack, np.nanmax(everything)))
