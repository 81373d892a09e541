"""Bounds in an order that cannot be: what is above in expectation came out below, beyond chance."""

import math

import torch

from ppl_vae.errors import UserError
from ppl_vae.evaluation.estimate import Estimate

_SIGNIFICANT = 4.0  # standard errors of a Gaussian: by chance once in 30,000 times


def refuse_disorder(lower: Estimate, upper: Estimate, what: str, cause: str) -> None:
    """See that a bound from below is no higher than one from above, by their differences at the same datapoints.

    Of few datapoints more than 4 standard errors are asked for, as Student's t distribution has it.

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
    from scipy import stats  # type: ignore[import-untyped]  # here: it takes a second

    significant = float(stats.t.isf(stats.norm.sf(_SIGNIFICANT), len(gap.values) - 1))
    if gap.mean < -significant * gap.stderr:
        raise UserError(
            f"impossible: {what}, by {-gap.mean:.3f} ± {gap.stderr:.3f} nats per datapoint (± standard error over "
            f"{len(gap.values)} datapoints); {cause}"
        )
