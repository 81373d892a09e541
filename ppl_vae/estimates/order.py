"""Bounds in an order that cannot be: what is above in expectation came out below, beyond chance."""

import math

import torch

from ppl_vae.estimates.estimate import Estimate
from ppl_vae.estimates.significance import IMPOSSIBLE, errors_of_chance
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import with_error


def refuse_disorder(lower: Estimate, upper: Estimate, what: str, cause: str) -> None:
    """See that a bound from below is no higher than one from above, by their differences at the same datapoints.

    Args:
        lower: at most as high as ``upper`` in expectation.
        upper: of the same datapoints in the same order.
        what: the two in words, "A is above B".
        cause: what may be why, and what to do.

    Raises:
        UserError: it is higher, beyond chance and rounding.
    """
    gap = upper - lower
    rounding = 100 * torch.finfo(lower.values.dtype).eps * (1 + float(lower.values.double().abs().mean()))
    if gap.mean == -math.inf:
        raise UserError(f"impossible: {what}, without end; {cause}")
    if not gap.mean < -rounding or math.isnan(gap.stderr):
        return
    if gap.mean < -float(errors_of_chance(len(gap.values) - 1, IMPOSSIBLE)) * gap.stderr:
        raise UserError(
            f"impossible: {what}, by {with_error(-gap.mean, gap.stderr)} nats per datapoint (± standard error over "
            f"{len(gap.values)} datapoints); {cause}"
        )
