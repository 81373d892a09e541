"""Where names stand that would lie on each other: moved apart, a line leading back to what they name."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROUNDS = 200
_STEP = 0.55  # of an overlap that each of two gives way, a little more than half of it


def apart(
    places: NDArray[np.float64], sizes: NDArray[np.float64], low: ArrayLike = -np.inf, high: ArrayLike = np.inf
) -> NDArray[np.float64]:
    """Centres of boxes, moved as little as it takes until none lies on another, or nearly.

    Args:
        places: ``(K, 2)``, where they would stand.
        sizes: ``(K, 2)``, widths and heights in the same unit.
        low: ``(2,)``, the corner that none is to pass.
        high: ``(2,)``, the opposite one.

    Returns:
        ``(K, 2)``; the places themselves where no two overlap.
    """
    moved = places.astype(np.float64).copy()
    for _ in range(_ROUNDS):
        found = False
        for one in range(len(moved)):
            for other in range(one):
                between = moved[one] - moved[other]
                over = (sizes[one] + sizes[other]) / 2 - np.abs(between)
                if (over <= 0).any():
                    continue
                found = True
                axis = int(np.argmin(over))  # the shortest way out
                way = np.sign(between[axis]) or 1.0
                moved[one, axis] += way * _STEP * over[axis]
                moved[other, axis] -= way * _STEP * over[axis]
        if not found:
            break
        moved = np.clip(moved, np.asarray(low) + sizes / 2, np.asarray(high) - sizes / 2)
    return moved
