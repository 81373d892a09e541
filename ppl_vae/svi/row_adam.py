"""Adam for row tables: only the rows of a minibatch move, and each has moments and a step count of its own.

Adam over the whole table would go on moving the rows that are not in the minibatch, by their momentum, and would touch
all N rows at every step. With its own count a row's first step is as long as anybody's, however late it comes.
"""

from typing import Any

import torch
from torch import Tensor

from ppl_vae.rows import Leaf, RowTable

_BETA1, _BETA2 = 0.9, 0.999


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
        self.state = [_state(table.weight) for table in tables]

    @torch.no_grad()
    def step(self, leaves: list[list[Leaf]]) -> None:
        """Move the rows that were read, by the gradients that their leaves have gathered.

        Args:
            leaves: what each table has handed out in this step; no row twice.
        """
        for table, state, read in zip(self.tables, self.state, leaves, strict=True):
            for leaf in read:
                if leaf.values.grad is not None:
                    self._move(table, state, leaf.rows, leaf.values, leaf.values.grad)

    def _move(self, table: RowTable, state: dict[str, Tensor], rows: Tensor, values: Tensor, gradient: Tensor) -> None:
        count = state["count"][rows] + 1
        mean = state["mean"][rows].lerp(gradient, 1 - _BETA1)
        square = state["square"][rows].lerp(gradient**2, 1 - _BETA2)
        root = (square / (1 - _BETA2**count)).sqrt() + self.epsilon
        table.weight[rows] = values.detach() - self.learning_rate * (mean / (1 - _BETA1**count)) / root
        state["count"][rows], state["mean"][rows], state["square"][rows] = count, mean, square

    def state_dict(self) -> dict[str, Any]:
        """Moments and counts of each table."""
        return {"tables": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` returned."""
        for mine, theirs in zip(self.state, state["tables"], strict=True):
            for name, value in mine.items():
                value.copy_(theirs[name])


def _state(weight: Tensor) -> dict[str, Tensor]:
    return {
        "count": torch.zeros(len(weight), 1, dtype=weight.dtype, device=weight.device),
        "mean": torch.zeros_like(weight, requires_grad=False),
        "square": torch.zeros_like(weight, requires_grad=False),
    }
