"""The one argument of every model and every guide."""

from typing import NamedTuple

from torch import Tensor

UNSEEN = 2**40
"""``index`` of the first of datapoints that belong to no data set, such as simulated ones: no row is theirs."""


class Batch(NamedTuple):
    """A minibatch of observations.

    Args:
        x: observations, ``(batch, *event)``.
        y: integer labels, ``(batch,)``, or None where the data has none.
        index: row numbers in the data set that the batch was taken from, ``(batch,)``.
    """

    x: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # tuple.index, which nobody calls on a batch
