"""Columns of a table as an encoder reads them: brought to one scale, whatever theirs is."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """Real numbers to (x − mean) / standard deviation, counts to log(1 + x); bits and categories as they are.

    Args:
        counted: which columns are counts, bool, ``(D,)``.
        shift: what is subtracted from each of the others, ``(D,)``.
        unit: what that is divided by, ``(D,)``.
    """

    counted: Tensor
    shift: Tensor
    unit: Tensor

    def __init__(self, counted: Tensor, shift: Tensor, unit: Tensor) -> None:
        super().__init__()
        self.register_buffer("counted", counted)
        self.register_buffer("shift", shift)
        self.register_buffer("unit", unit)

    @classmethod
    def of(cls, kinds: Sequence[str], x_mean: Tensor, x_std: Tensor) -> Self | None:
        """That of a table.

        Args:
            kinds: of each column or of all (:data:`ppl_vae.data.kinds.Column`).
            x_mean: mean of each column, ``(D,)``.
            x_std: its standard deviation.

        Returns:
            None where nothing is to be done: there are neither reals nor counts.
        """
        if {"reals", "counts"}.isdisjoint(kinds):
            return None
        reals, counts = (
            torch.tensor([kind == name for kind in kinds]).expand(x_mean.shape).clone() for name in ("reals", "counts")
        )
        unit = torch.where(reals & (x_std > 0), x_std, 1.0)
        return cls(counts, torch.where(reals, x_mean, 0.0), unit)

    def forward(self, x: Tensor) -> Tensor:
        """X ``(..., D)`` to numbers of about unit scale, ``(..., D)``."""
        return torch.where(self.counted, x.clamp(min=0).log1p(), (x - self.shift) / self.unit)
