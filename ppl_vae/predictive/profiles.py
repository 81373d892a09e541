"""Rows of tables as pictures: each column a line of its own, with its name and range."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ppl_vae import figures
from ppl_vae.data.info import DataInfo
from ppl_vae.figures.table import MOST_PANELS
from ppl_vae.predictive.wording import not_seen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_PAIRS = 5  # of rows and their reconstructions


def table_of(
    info: DataInfo,
    series: Mapping[str, Tensor],
    panels: Sequence[str],
    caption: str,
    errors: Mapping[str, Tensor] | None = None,
    *,
    in_order: bool = False,
    observed: Sequence[str] = (),
) -> "Figure":
    """:func:`ppl_vae.figures.table_profiles` of rows ``(panels, rows, D)`` of the table that the data is, its counts at
    their logarithm."""
    ends = (info.least, info.largest) if info.least else (0.0, 1.0)
    shown = {name: x.detach().cpu().numpy() for name, x in series.items()}
    bars = {name: x.detach().cpu().numpy() for name, x in (errors or {}).items()}
    counts = _kind_is(info, "counts").numpy()
    if counts.any():
        caption += " A count n lies at log(1 + n)."
    return figures.table_profiles(
        shown, panels, info.column_names, ends, bars, caption, in_order=in_order, observed=observed, logarithmic=counts
    )


def crowd_of(info: DataInfo, series: Mapping[str, Tensor], panel: str, caption: str) -> "Figure":
    """Many rows ``(n, D)`` of a table in one panel: of what is 0 or 1, bits and categories, the share of ones."""
    share = _kind_is(info, "bits", "category")
    shown = {name: torch.where(share.to(x.device), x.nanmean(0, keepdim=True), x)[None] for name, x in series.items()}
    words = " Of what is 0 or 1 it is the share of ones." if share.any() else ""
    return table_of(info, shown, [panel], caption + words)


def steps_of(
    info: DataInfo,
    x: Tensor,
    row_names: Sequence[str],
    column_names: Sequence[str],
    caption: str,
    observed: Sequence[int] = (),
) -> "Figure":
    """Ways ``(rows, columns, D)`` of rows of a table, a panel for each way: from dark to bright, above them what is
    data and no step. Of very many the first."""
    few = x[:MOST_PANELS]
    names = [name.replace(", ", "\n") for name in row_names[:MOST_PANELS]] or [""] * len(few)
    caption += not_seen(info, few)
    if len(few) < len(x):
        caption += f" The first {len(few)} of {len(x)}."
    if not column_names:
        return table_of(info, {"drawn": few}, names, caption)
    steps = {name: few[:, place, None] for place, name in enumerate(column_names)}
    data = [column_names[place] for place in observed]
    caption += f" Colours go from dark to bright, from {_first(column_names, data)} on."
    return table_of(info, steps, names, caption, in_order=True, observed=data)


def _first(names: Sequence[str], observed: Sequence[str]) -> str:
    return next((name for name in names if name not in observed), names[0])


def rows_of(info: DataInfo, x: Tensor, made: Tensor, caption: str, spread: Tensor | None = None) -> "Figure":
    """The first rows ``(n, D)`` of a table, and what the model makes of them, with bars as long as the spread on either
    side."""
    few = slice(_MOST_PAIRS)
    if spread is not None:  # the mean of what is 0 or 1 says it all
        spread = torch.where(_kind_is(info, "bits", "category").to(spread.device), torch.nan, spread)
    series = {"data": x[few, None], "reconstruction": made[few, None]}
    bars = {} if spread is None else {"reconstruction": spread[few, None]}
    return table_of(info, series, [str(number) for number in range(1, len(x[few]) + 1)], caption, bars)


def _kind_is(info: DataInfo, *kinds: str) -> Tensor:
    """Which columns of a table are of one of these kinds, bool, ``(D,)``."""
    return torch.tensor([kind in kinds for kind in info.column_kinds or ("reals",) * info.event_shape[0]])
