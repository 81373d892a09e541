"""What each unit of the latents is used for, as bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ppl_vae.figures.look.style import CATEGORICAL, INK, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACTIVE, _INACTIVE = CATEGORICAL[:2]
_UPRIGHT = 8  # so many names stand side by side; more are turned
_NAMED = 24  # so many turned names stand side by side; of more units every second, third, … is named

_NARROWEST = 5  # room for so many units at least, or a single bar would be a wall
_LOWEST = 0.1  # nats that the axis reaches at least: units that are all but unused are to look it


@styled
def kl_by_unit(
    kl: ArrayLike, stderr: ArrayLike, active: ArrayLike, names: Sequence[str], caption: str = ""
) -> "Figure":
    """Each unit's KL with its standard error, the largest first; active and inactive units in two colours.

    Args:
        kl: ``(D,)`` in nats per datapoint, ``Units.kl``; units without a KL (NaN) are left out.
        stderr: ``(D,)``, ``Units.kl_stderr``; NaN for none.
        active: ``(D,)``, bool, ``Units.active``.
        names: of the units, D.
        caption: what was done.

    Returns:
        the figure; its axes are labelled "kl".

    Raises:
        ValueError: no unit has a KL, or there is not one standard error, mark and name for each.
    """
    from matplotlib.ticker import MaxNLocator

    values, errors, marks = np.asarray(kl, dtype=float), np.asarray(stderr, dtype=float), np.asarray(active, dtype=bool)
    if values.ndim != 1 or not values.shape == errors.shape == marks.shape == (len(names),):
        raise ValueError(
            f"KLs of shape {values.shape}, errors {errors.shape}, marks {marks.shape} and {len(names)} names: "
            "one of each is needed for every unit."
        )
    order = [unit for unit in np.argsort(-values, kind="stable") if not np.isnan(values[unit])]
    if not order:
        raise ValueError("no unit has a KL: there is nothing to draw.")
    values, errors, marks = values[order], np.nan_to_num(errors[order], nan=0.0), marks[order]
    figure = new_figure(WIDTH, 4.4, caption)
    axes = figure.subplot_mosaic([["kl"]])["kl"]
    places = np.arange(len(order))
    for label, color, chosen in (("active", _ACTIVE, marks), ("inactive", _INACTIVE, ~marks)):
        if chosen.any():
            axes.bar(
                places[chosen],
                values[chosen],
                yerr=errors[chosen],
                color=color,
                edgecolor=color,  # so that a bar of no height is seen
                linewidth=2.0 if len(order) <= _NAMED else 1.0,
                ecolor=INK,
                width=0.8,
                label=f"{label}: {chosen.sum()} of {len(order)} units",
            )
    step = -(-len(order) // _NAMED)
    turn = 0 if len(order) <= _UPRIGHT else 90
    axes.set_xticks(places[::step], [names[unit] for unit in order[::step]], rotation=turn)
    centre, half = (len(order) - 1) / 2, max(len(order), _NARROWEST) / 2 + 0.1
    axes.set(xlim=(centre - half, centre + half), ylabel="KL, nats per datapoint\n± standard error")
    axes.set_xlabel("unit, the largest KL first" + (f" (one in {step} named)" if step > 1 else ""))
    axes.set_ylim(0.0, max(axes.get_ylim()[1], _LOWEST))
    # As many ticks whatever the height: the layout, which the turned names make lower, has made room for these labels.
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(visible=False, axis="x")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure
