"""The one argument of every model and every guide."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from torch import Tensor

UNSEEN = 2**40
"""``index`` of the first of datapoints that belong to no data set, such as simulated ones: no row is theirs."""


class Batch(NamedTuple):
    """A minibatch of observations.

    Args:
        x: observations, ``(batch, *event)``, finite; where a number is missing, some value that stands in for it.
        y: integer labels, ``(batch,)``, or None where the data has none.
        index: row numbers in the data set that the batch was taken from, ``(batch,)``.
        mask: which numbers of x were seen, bool, ``(batch, *event)``; None where all were. A model observes x under
            :func:`ppl_vae.programs.holes.seen`, so that those that are missing count for nothing.
        c: conditions, ``(batch, C)``, float: numbers that each x is given beside its label, such as an age and a dose;
            None where the data has none.
    """

    x: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # tuple.index, which nobody calls on a batch
    mask: Tensor | None = None
    c: Tensor | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """What of it is there, in order; :meth:`of` makes such a batch again."""
        return [each for each in self if each is not None]

    def of(self, tensors: Iterable[Tensor]) -> Self:
        """The batch that has other tensors where this one has some."""
        given = iter(tensors)
        return type(self)(*(None if each is None else next(given) for each in self))  # type: ignore[arg-type]

    def rows(self, places: Tensor) -> Self:
        """Those of its rows, in that order."""
        return self.of(tensor[places] for tensor in self.tensors)
