"""Adam's formula, for steps that are traced or taken row by row (Kingma and Ba 2015).

m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − rate · m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ᵗ),   v̂ = v / (1 − β₂ᵗ)
"""

from collections.abc import Sequence
from math import expm1, log
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2 = 0.9, 0.999
_LOG_BETA1, _LOG_BETA2 = log(BETA1), log(BETA2)


class Moments(NamedTuple):
    """What Adam remembers: t, m and v; t may be one number or one for each row."""

    steps: Tensor
    mean: Tensor
    square: Tensor


def adam(
    value: Tensor,
    gradient: Tensor,
    moments: Moments,
    rate: float | Tensor,
    epsilon: float,
    scales: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Moments]:
    """The next value and moments; nothing is changed in place.

    Args:
        value: θ, of any shape.
        gradient: g, of the same.
        moments: t, m and v before the step.
        rate: the step size.
        epsilon: ε.
        scales: rate / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) at the new t, ``()`` each, where they are known; inductor would
            work them out again for every few numbers of θ. None: from the moments' t.
    """
    steps = moments.steps + 1
    mean = moments.mean.lerp(gradient, 1 - BETA1)
    square = moments.square.lerp(gradient**2, 1 - BETA2)
    # Without the digits that the difference 1 − βᵗ would lose at the first steps.
    of_mean, of_square = scales or _scales(
        rate, *(-torch.expm1(steps.to(square) * b) for b in (_LOG_BETA1, _LOG_BETA2))
    )
    # Of θ's size a root and one division: on a processor these take longer than all the rest.
    return value - of_mean * mean / (square.sqrt() * of_square + epsilon), Moments(steps, mean, square)


def _scales(rate: float | Tensor, of_mean: Tensor, of_square: Tensor) -> tuple[Tensor, Tensor]:
    return rate / of_mean, of_square.rsqrt()


def scales_at(step: int, rate: float) -> tuple[float, float]:
    """rate / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) at step t, from 1."""
    return rate / -expm1(step * _LOG_BETA1), (-expm1(step * _LOG_BETA2)) ** -0.5
