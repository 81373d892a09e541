"""The trials of a study one after the other."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ppl_vae.figures.look.style import CATEGORICAL, WIDTH, new_figure, styled
from ppl_vae.figures.tuning.points import Points

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def trial_history(bounds: ArrayLike, whole: ArrayLike, caption: str = "") -> "Figure":
    """The validation bound of each trial in its order, and the best so far of those that ran to their end.

    A few trials may be far worse than all others: the picture reaches four times as far below the highest as the
    median is, and what is lower is marked at its lower edge.

    Args:
        bounds: ``(N,)``, in nats per datapoint, bigger is better; the first of the settings as they were given; of a
            trial that was ended early that of its last epoch; NaN where there is none.
        whole: ``(N,)``, whether a trial ran to its end; only of those the best is chosen.
        caption: what was done.

    Returns:
        the figure, of one axes.

    Raises:
        ValueError: not one of each for every trial, or no trial with a bound that ran to its end.
    """
    from matplotlib.ticker import MaxNLocator

    points = Points(bounds, whole)
    figure = new_figure(WIDTH, 3.9, caption)
    axes = figure.subplots()
    number = np.arange(len(points.bounds))
    best = np.maximum.accumulate(np.where(points.usable, points.bounds, -np.inf))
    known = best > points.low
    color = CATEGORICAL[1]
    axes.plot(number[known], best[known], drawstyle="steps-post", color=color, label="the best so far", zorder=2)
    points.draw_first(axes)
    points.draw(axes, number)
    axes.set(xlabel="trial", ylabel="validation bound\n(nats per datapoint,\nbigger is better)")
    axes.set_xlim(-0.5, len(number) - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure
