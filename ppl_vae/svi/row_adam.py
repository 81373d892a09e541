"""Adam for row tables: only the rows of a minibatch move, and each has moments and a step count of its own.

Adam over the whole table would go on moving the rows that are not in the minibatch, by their momentum, and would touch
all N rows at every step. With its own count a row's first step is as long as anybody's, however late it comes.
"""

from typing import Any

import torch
from torch import Tensor

from ppl_vae.programs.rows import Leaf, RowTable
from ppl_vae.svi.adam import Moments, adam


class RowAdam:
    """Adam (Kingma and Ba 2015) row by row.

    Args:
        tables: whose rows to move.
        learning_rate: step size, above 0.
        epsilon: what is added to the root of the second moment.
    """

    def __init__(self, tables: list[RowTable], learning_rate: float, epsilon: float) -> None:
        self.tables = tables
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.moments = [_moments(table.weight) for table in tables]

    @torch.no_grad()
    def step(self, leaves: list[list[Leaf]]) -> None:
        """Move the rows that were read, by the gradients that their leaves have gathered.

        Args:
            leaves: what each table has handed out in this step; no row twice.
        """
        for table, moments, read in zip(self.tables, self.moments, leaves, strict=True):
            for leaf in read:
                self.move(table.weight, moments, leaf.rows, leaf.values.grad, self.learning_rate)

    def move(
        self, weight: Tensor, moments: Moments, rows: Tensor, gradient: Tensor | None, rate: float | Tensor
    ) -> None:
        """Move rows in place.

        Args:
            weight: the table, ``(N, width)``.
            moments: of its rows, ``(N, 1)``, ``(N, width)`` twice.
            rows: which, ``(batch,)``.
            gradient: of each, ``(batch, width)``; None if nothing depended on them.
            rate: the step size.
        """
        if gradient is None:
            return
        before = Moments(*(part[rows] for part in moments))
        value, after = adam(weight[rows], gradient, before, rate, self.epsilon)
        weight[rows] = value
        for part, new in zip(moments, after, strict=True):
            part[rows] = new

    def state_dict(self) -> dict[str, Any]:
        """Moments and counts of each table."""
        return {"tables": [moments._asdict() for moments in self.moments]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` returned."""
        for mine, theirs in zip(self.moments, state["tables"], strict=True):
            for name, value in mine._asdict().items():
                value.copy_(theirs[name])


def _moments(weight: Tensor) -> Moments:
    steps = torch.zeros(len(weight), 1, dtype=weight.dtype, device=weight.device)
    return Moments(steps, torch.zeros_like(weight, requires_grad=False), torch.zeros_like(weight, requires_grad=False))
