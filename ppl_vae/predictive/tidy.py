"""Arrays of draws and of walks as one table: a row for each draw or step, a column for each number of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ppl_vae.runtime.shown import Names, spread_out, unit_names

Axes = Mapping[str, Sequence[Any]]
"""What the first dimensions of arrays run over, by name: of each, what stands at its places."""

_OF_X = {"x": "", "means": "_mean", "observations": "_observed", "data": "_observed"}


def tidy(
    axes: Axes,
    arrays: Mapping[str, Tensor],
    names: Names,
    event_shape: tuple[int, ...],
    beside: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Columns ``(rows,)``, a row for each place of all axes, the last one running fastest.

    Args:
        axes: of the rows, each a column.
        arrays: by name; those whose first dimensions are the axes have columns. Those of ``x`` are called as the data's
            columns are, of means and of the observations themselves with ``_mean`` and ``_observed`` behind, of latents
            "z1", "z2", ….
        names: of columns and labels.
        event_shape: of an observation.
        beside: other columns, each over the first of the axes, ``(axis, ...)``.
    """
    lead = tuple(map(len, axes.values()))
    columns: dict[str, NDArray[Any]] = {}
    for place, (name, values) in enumerate(axes.items()):
        columns[name] = np.asarray(values).reshape(-1, *[1] * (len(lead) - 1 - place))
    for name, known in (beside or {}).items():
        columns[name] = known.reshape(*known.shape, *[1] * (len(lead) - known.ndim))
    columns = {name: np.broadcast_to(values, lead).reshape(-1) for name, values in columns.items()}
    for name, array in arrays.items():
        shape = tuple(array.shape[len(lead) :])
        kind, _, number = name.partition("_")  # of several pairs the pair's number
        if array.shape[: len(lead)] != lead or (kind in _OF_X and shape != event_shape):
            continue
        rows = array.reshape(math.prod(lead), *shape)
        if kind in _OF_X:
            columns |= spread_out(names.of_x(shape), rows, _OF_X[kind] + (number and f"_{number}"))
        else:
            columns |= spread_out(unit_names(name, shape), rows)
    return columns
