"""How step sizes go on in the course of a training: a factor of theirs, for each step.

All of it follows from the step's number and the validation bounds so far, so that there is no state to keep.
"""

import math
from collections.abc import Iterable
from typing import Literal

Schedule = Literal["constant", "cosine", "plateau"]
PLATEAU_EPOCHS = 5
"""Epochs without a better validation bound after which the schedule ``plateau`` halves the step sizes."""


def rate_factor(schedule: Schedule, step: int, warmup_steps: int, num_steps: int, halved: int = 0) -> float:
    """What the step sizes are multiplied with in a step.

    It rises linearly to 1 over the warm-up's steps (Goyal et al. 2017), and then is 1, or ½ (1 + cos π t) at the share
    t of the steps that are left (Loshchilov and Hutter 2017), or ½ to the power of ``halved``.

    Args:
        schedule: after the warm-up.
        step: from 0.
        warmup_steps: at least 0.
        num_steps: of the whole training, at least 1.
        halved: how often the plateau has been reached, see :func:`halvings`.

    Returns:
        from 0 to 1.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(num_steps - warmup_steps, 1)))
    return 0.5**halved if schedule == "plateau" else 1.0


def halvings(bounds: Iterable[float]) -> int:
    """How often the best of these bounds has stood for :data:`PLATEAU_EPOCHS` epochs, counted anew each time.

    Args:
        bounds: validation bounds, one an epoch; bigger is better.
    """
    best, waited, count = -math.inf, 0, 0
    for bound in bounds:
        best, waited = (bound, 0) if bound > best else (best, waited + 1)
        if waited == PLATEAU_EPOCHS:
            count, waited = count + 1, 0
    return count
