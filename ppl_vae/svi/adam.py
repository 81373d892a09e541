"""Adam's formula, for steps that are traced or taken row by row (Kingma and Ba 2015).

m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − rate · m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ᵗ),   v̂ = v / (1 − β₂ᵗ)
"""

from math import log
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2 = 0.9, 0.999


class Moments(NamedTuple):
    """What Adam remembers: t, m and v; t may be one number or one for each row."""

    steps: Tensor
    mean: Tensor
    square: Tensor


def adam(
    value: Tensor, gradient: Tensor, moments: Moments, rate: float | Tensor, epsilon: float
) -> tuple[Tensor, Moments]:
    """The next value and moments; nothing is changed in place."""
    steps = moments.steps + 1
    mean = moments.mean.lerp(gradient, 1 - BETA1)
    square = moments.square.lerp(gradient**2, 1 - BETA2)
    root = (square / _correction(BETA2, steps.to(square))).sqrt() + epsilon
    return value - rate * (mean / _correction(BETA1, steps.to(mean))) / root, Moments(steps, mean, square)


def _correction(beta: float, steps: Tensor) -> Tensor:
    """1 − βᵗ, without the digits that the difference would lose at the first steps."""
    return -torch.expm1(steps * log(beta))
