"""One training of a study, and what it has reached."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ppl_vae.estimates.estimate import Estimate


class Trial(NamedTuple):
    """One training of a study.

    Args:
        number: from 0, the settings as they are given.
        values: of what is searched, by name; none of the first trial.
        bound: on the validation data, nats per datapoint, of one that was ended early that of its last epoch; None
            where it has none.
        epochs: that it took.
        ended: how, where it was not to its end: ``early``, ``diverged`` or ``failed``.
        why: it failed, in words; empty where it did not.
    """

    number: int
    values: dict[str, Any]
    bound: float | None
    epochs: int
    ended: str = ""
    why: str = ""

    @property
    def height(self) -> float:
        """The bound; below every other where there is none."""
        return -math.inf if self.bound is None else self.bound


class Elbos(NamedTuple):
    """The ELBO of one training.

    Args:
        validation: on the data that it was chosen by.
        test: on data that had no part in the choice.
    """

    validation: Estimate
    test: Estimate

    def less(self, other: "Elbos") -> "Elbos":
        """The differences, paired by datapoint."""
        return Elbos(self.validation - other.validation, self.test - other.test)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the best validation bound among those that ran to their end."""
    return max((each for each in trials if not each.ended), key=lambda each: each.height)
