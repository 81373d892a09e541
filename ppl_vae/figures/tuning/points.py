"""The trials of a study as points: what became of each, and how far down a picture of the best ones reaches."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppl_vae.figures.look.style import CATEGORICAL, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _RED = CATEGORICAL[:3]
_FEW = 60  # trials that are drawn large
_DEEP = 4  # times as far below the highest as the median is, a picture reaches
_MARGIN = 0.08  # of a picture's height, above and below

_BELOW = "lower, or without a bound"

KINDS = {
    "ended early": {"marker": "o", "color": FAINT, "fillstyle": "none"},
    "ran to its end": {"marker": "o", "color": _BLUE},
    _BELOW: {"marker": "v", "color": _RED, "fillstyle": "none"},
    "the best": {"marker": "D", "color": _ORANGE, "markeredgecolor": INK},
}
"""Marks, in the order in which they are drawn."""


class Points:
    """Bounds of trials, each of a kind.

    Args:
        bounds: ``(N,)``, the first of the settings as they were given; NaN where there is none.
        whole: ``(N,)``, whether a trial ran to its end.

    Raises:
        ValueError: not one of each for every trial, or no trial with a bound that ran to its end.
    """

    def __init__(self, bounds: ArrayLike, whole: ArrayLike) -> None:
        self.bounds, self.whole = np.asarray(bounds, dtype=float), np.asarray(whole, dtype=bool)
        if self.bounds.ndim != 1 or self.bounds.shape != self.whole.shape:
            raise ValueError(f"bounds of shape {self.bounds.shape}, and ends of shape {self.whole.shape}.")
        self.usable = self.whole & np.isfinite(self.bounds)
        if not self.usable.any():
            raise ValueError("no trial ran to its end with a bound: there is nothing to draw.")
        self.best = int(np.where(self.usable, self.bounds, -np.inf).argmax())
        known = self.bounds[np.isfinite(self.bounds)]
        high, lowest = float(known.max()), float(known.min())
        if (drop := high - float(np.median(known))) > 0:  # a few that went wild leave the others their room
            lowest = max(lowest, high - _DEEP * drop)
        slack = _MARGIN * (high - lowest) or _MARGIN * max(abs(high), 1e-6)
        self.low, self.high = lowest - slack, high + slack

    @property
    def heights(self) -> NDArray[np.float64]:
        """Where each is drawn, ``(N,)``: the bounds, those that are lower than the picture at its lower edge."""
        found: NDArray[np.float64] = np.maximum(np.nan_to_num(self.bounds, nan=-np.inf), self.low)
        return found

    @property
    def kinds(self) -> list[str]:
        """Of each, a key of :data:`KINDS`."""
        found = np.where(self.whole, "ran to its end", "ended early")
        found = np.where(self.bounds > self.low, found, _BELOW)
        return [str(kind) if place != self.best else "the best" for place, kind in enumerate(found)]

    def draw(self, axes: "Axes", across: ArrayLike) -> None:
        """The points, at these places from left to right; those whose place is NaN are left out."""
        size = 7.0 if len(self.bounds) <= _FEW else 4.5
        kinds, places, heights = np.array(self.kinds), np.asarray(across, dtype=float), self.heights
        for kind, look in KINDS.items():
            if not (mine := kinds == kind).any():
                continue
            more: dict[str, Any] = {**look, "markersize": size + 2 * (kind == "the best"), "linestyle": "none"}
            axes.plot(places[mine], heights[mine], label=kind, clip_on=False, zorder=3, **more)
        axes.set_ylim(self.low, self.high)

    def draw_first(self, axes: "Axes") -> None:
        """A line at the height of the first, where it can be seen."""
        if self.bounds[0] > self.low:
            axes.axhline(self.bounds[0], color=INK, linewidth=1.2, linestyle="--", label="the settings as given")
