"""Numbers that are missing from arrays: which they are, what stands in for them, and the ends of all others."""

import numpy as np
import torch
from torch import Tensor

from ppl_vae.runtime.errors import UserError

_TOLD = 0.001  # the least share that is told as a number


def without_holes(
    where: str, x: np.ndarray, seen: np.ndarray | None = None
) -> tuple[np.ndarray, Tensor | None, tuple[str, ...]]:
    """Find what is missing, and put in its place the median of what was seen there: a value that x takes.

    Args:
        where: the data come from, for messages.
        x: ``(N, *event)``; NaN is missing.
        seen: which numbers were seen, bool, likewise; those that were not are missing too.

    Returns:
        x without holes; what was seen of it, None where all was; and what is to be said of it, a line or none.

    Raises:
        UserError: ``seen`` is of another kind, or nothing of x was seen.
    """
    if seen is not None and (seen.dtype != np.bool_ or seen.shape != x.shape):
        number = seen.shape == x.shape and seen.dtype.kind in "uif"
        advice = ": store mask.astype(bool)." if number else f" and of x's, {x.shape}."
        raise UserError(f"{where}: mask is {seen.dtype} of shape {seen.shape}; it must be bool{advice}")
    there = np.isfinite(x) | np.isinf(x) if x.dtype.kind == "f" else np.ones(x.shape, dtype=bool)
    if seen is not None:
        there &= seen
    if there.all():
        return x, None, ()
    if not there.any():
        raise UserError(f"{where}: all of x is missing; at least some of its numbers have to be there.")
    rows, marks = x.reshape(len(x), -1).copy(), there.reshape(len(x), -1)
    for column in np.flatnonzero(~marks.all(axis=0)):
        known = marks[:, column]
        values = np.sort(rows[known, column]) if known.any() else np.zeros(1, dtype=x.dtype)
        rows[~known, column] = values[(len(values) - 1) // 2]
    empty = int((~marks.any(axis=1)).sum())
    share = share_in_words(1 - there.mean())
    said = f"{share} of the numbers in x are missing: what was seen is learned from, the rest inferred"
    never = int((~marks.any(axis=0)).sum())
    none = [f"{count:,} {name}{'s' * (count > 1)}" for count, name in ((empty, "row"), (never, "column")) if count]
    said += f" ({' and '.join(none)} without any)" if none else ""
    return rows.reshape(x.shape), torch.from_numpy(there), (f"{where}: {said}.",)


def share_in_words(missing: float) -> str:
    """A share above 0 of numbers that are missing, in per cent; a small one is not told as none."""
    return f"{missing:.1%}" if missing >= _TOLD else f"less than {_TOLD:.1%}"


def ends_of(x: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """The smallest and the largest of each number of an observation, whatever stands in for those that are missing.

    Args:
        x: ``(N, *event)``, float; without holes also integers or bool.
        seen: which numbers were seen, bool, likewise; None where all were.

    Returns:
        each ``event``; 0 of a number that was never seen.
    """
    if seen is None:
        least, largest = x.aminmax(dim=0)
        return least, largest
    known = seen.any(0)
    ends = (torch.where(seen, x, torch.inf).amin(0), torch.where(seen, x, -torch.inf).amax(0))
    least, largest = (torch.where(known, end, 0.0) for end in ends)
    return least, largest
