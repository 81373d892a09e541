"""Simulation-based calibration: the ranks that ought to be uniform."""

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.style import CATEGORICAL, FAINT, INK, WIDTH, class_colors, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVEL = 0.99
_NAMED = 8  # so many curves get a colour and a name each
_MOST_BINS = 16
_TRIALS = 4000  # of uniform ranks, from which the simultaneous band is found
_BAND = "#dcdcdc"
_XLABEL = "rank of the true z ÷ (L + 1)"
_TICKS = [0.0, 0.25, 0.5, 0.75, 1.0]


@styled
def calibration(ranks: ArrayLike, num_samples: int, names: Sequence[str], caption: str = "") -> "Figure":
    """Ranks of the true latents among draws of q: histogram of all, and each coordinate's ECDF less the uniform one.

    Ranks are uniform if q is the posterior (Talts et al. 2018). A ∪ in the histogram, or an ECDF that is first above
    and then below, is a q that is too narrow; a ∩, first below and then above, one that is too wide; a slope, or an
    arch to one side, a bias. The band of the ECDFs is simultaneous over ranks (Säilynoja et al. 2022): of calibrated
    coordinates 99 % stay within it all the way.

    Args:
        ranks: ``(num_simulations, D)``, integers from 0 to L; ``Calibration.ranks``.
        num_samples: L.
        names: of the coordinates, D.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "histogram" and "ecdf".

    Raises:
        ValueError: no rank, a rank outside 0 … L, or another number of names.
    """
    counts = np.asarray(ranks)
    if counts.ndim != 2 or counts.size == 0:
        raise ValueError(f"ranks of shape {counts.shape}, where (num_simulations, D) is needed.")
    if counts.min() < 0 or counts.max() > num_samples:
        raise ValueError(f"ranks from {counts.min()} to {counts.max()}, where 0 to {num_samples} is possible.")
    if len(names) != counts.shape[1]:
        raise ValueError(f"{len(names)} names for {counts.shape[1]} coordinates.")
    figure = new_figure(WIDTH, 8.2, caption)
    axes = figure.subplot_mosaic([["histogram"], ["ecdf"]], sharex=True, height_ratios=[1, 1.5])
    _histogram(axes["histogram"], counts, num_samples)
    _ecdfs(axes["ecdf"], counts, num_samples, names)
    found = [part for panel in axes.values() for part in zip(*panel.get_legend_handles_labels(), strict=True)]
    handles, labels = zip(*found, strict=True)
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def _histogram(axes: "Axes", ranks: NDArray[np.int64], num_samples: int) -> None:
    """All coordinates together, as a multiple of what uniform ranks would have."""
    bins = max(number for number in range(1, _MOST_BINS + 1) if (num_samples + 1) % number == 0)
    if bins == 1:  # L + 1 is a prime: bins of their own, one rank more in some than in others
        bins = min(_MOST_BINS, num_samples + 1)
    place = ranks * bins // (num_samples + 1)
    shares = np.stack([(place == number).mean(axis=1) for number in range(bins)], axis=1)  # (num_simulations, bins)
    expected = np.bincount(np.arange(num_samples + 1) * bins // (num_samples + 1), minlength=bins) / (num_samples + 1)
    heights = shares / expected
    # Coordinates of one simulation depend on each other, simulations do not: their spread gives the error.
    error = np.sqrt(heights.var(axis=0).mean() / len(ranks)) * NormalDist().inv_cdf((1 + _LEVEL) / 2)
    edges = np.arange(bins + 1) / bins
    axes.bar(edges[:-1], heights.mean(axis=0), width=1 / bins, align="edge", color=CATEGORICAL[0], edgecolor="white")
    # Over the bars, so that its lower half shows.
    axes.axhspan(
        1 - error, 1 + error, color=INK, alpha=0.25, linewidth=0, zorder=2, label="99 % of bars, if calibrated"
    )
    axes.axhline(1.0, color=INK, linewidth=1.0)
    axes.set(xlim=(0, 1), xticks=_TICKS, ylabel="density\n(1 is calibrated)")
    axes.set_title("ranks of all coordinates", loc="left")
    axes.grid(visible=False, axis="x")


def _ecdfs(axes: "Axes", ranks: NDArray[np.int64], num_samples: int, names: Sequence[str]) -> None:
    num = len(ranks)
    points = np.arange(1, num_samples + 1) / (num_samples + 1)
    low, high = simultaneous_band(num, num_samples)
    line = np.concatenate([[0.0], points, [1.0]])
    lower, upper = (np.concatenate([[0.0], bound - points, [0.0]]) for bound in (low, high))
    axes.fill_between(line, lower, upper, color=_BAND, zorder=0, label="99 % of curves, if calibrated")
    curves = np.stack([(ranks <= rank).mean(axis=0) for rank in range(num_samples)])  # (L, D)
    outside: NDArray[np.bool_] = np.asarray(((curves < low[:, None]) | (curves > high[:, None])).any(axis=0))
    few = len(names) <= _NAMED
    colors = class_colors(len(names)) if few else [CATEGORICAL[2] if bad else FAINT for bad in outside]
    first = dict.fromkeys([True, False], True)
    for name, curve, color, bad in zip(names, curves.T, colors, outside, strict=True):
        label = name if few else _group(bool(bad), outside) if first[bool(bad)] else None
        first[bool(bad)] = False
        values = np.concatenate([[0.0], curve - points, [0.0]])
        axes.plot(line, values, color=color, linewidth=2.0 if few else 1.0, zorder=3 if bad else 2, label=label)
    axes.axhline(0.0, color=INK, linewidth=1.0)
    largest = 1.1 * max(abs(limit) for limit in axes.dataLim.intervaly)
    axes.set(xlim=(0, 1), xticks=_TICKS, ylim=(-largest, largest), xlabel=_XLABEL, ylabel="difference of probability")
    axes.set_title("ranks of each coordinate: their ECDF less the uniform one", loc="left")


def _group(bad: bool, outside: NDArray[np.bool_]) -> str:
    return f"curves outside: {outside.sum()} of {len(outside)}" if bad else f"curves inside: {(~outside).sum()}"


@lru_cache(maxsize=16)
def simultaneous_band(num: int, num_samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the whole ECDF of ``num`` uniform ranks from 0 to L lies with 99 % probability, ``(L,)`` each.

    Binomial intervals at every rank below L, all at the level at which 99 % of simulated ECDFs stay inside all of them
    (Säilynoja et al. 2022).
    """
    from scipy.stats import binom  # type: ignore[import-untyped]  # here: it takes half a second

    rng = np.random.default_rng(0)
    points = np.arange(1, num_samples + 1) / (num_samples + 1)
    steps = rng.multinomial(num, np.full(num_samples + 1, 1 / (num_samples + 1)), size=_TRIALS)
    below = steps.cumsum(axis=1)[:, :-1]  # (trials, L)
    tails = np.minimum(binom.cdf(below, num, points), binom.sf(below - 1, num, points)).min(axis=1)
    level = np.quantile(tails, 1 - _LEVEL)
    return binom.ppf(level, num, points) / num, binom.isf(level, num, points) / num
