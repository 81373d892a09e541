"""What an epoch of training came to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch came to, in nats per datapoint; bigger is better.

    Args:
        epoch: from 1.
        elbo: mean over the epoch's minibatches, while the parameters moved; with KL weight 1.
        bound: what the objective maximises, likewise: the ELBO, or the K-sample importance bound.
        reconstruction: the ELBO's first part, E_q[log p(x | z)].
        kl: its second part, KL(q ‖ p(z)); elbo = reconstruction − kl.
        kl_weight: the weight of the KL in the loss at the epoch's end.
        validation_bound: the same bound on the validation data after the epoch, or None without any.
        seconds: what the epoch took.
    """

    epoch: int
    elbo: float
    bound: float
    reconstruction: float
    kl: float
    kl_weight: float
    validation_bound: float | None
    seconds: float


def best_epoch(history: Sequence[EpochMetrics], kl_warmup: int = 0) -> EpochMetrics:
    """The epoch after the warm-up with the best validation bound, or the last one: what ``patience`` keeps."""
    validated = [row for row in history if row.validation_bound is not None and row.epoch > kl_warmup]
    return max(validated, key=lambda row: row.validation_bound or -math.inf, default=history[-1])
