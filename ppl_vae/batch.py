"""The one argument of every model and every guide."""

from typing import NamedTuple

import pyro
from torch import Tensor

# One global choice: parameters live in the modules that own them and never in Pyro's global parameter store, so that
# two pairs in one process cannot touch each other. Pyro reads the setting when a module is made; whoever makes one for
# a pair has imported this.
pyro.settings.set(module_local_params=True)


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
