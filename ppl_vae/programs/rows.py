"""A table with a row for each datapoint, of which a step reads and moves only those in its minibatch.

An ordinary parameter of an ordinary module: saved, loaded and moved between devices like any other, and Pyro's own SVI
differentiates it like any other, at a cost that grows with N. Our step asks for leaves instead
(:meth:`RowTable.leaves`) and moves the rows itself, at a cost that does not.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.programs.program import refuse_functions
from ppl_vae.runtime.errors import UserError


class Leaf(NamedTuple):
    """The rows that one step has read.

    Args:
        table: from which table.
        asked: what was asked for, ``batch.index``.
        rows: where in it, ``(batch,)``.
        values: the rows, ``(batch, width)``, a leaf that gathers the gradient.
    """

    table: "RowTable"
    asked: Tensor
    rows: Tensor
    values: Tensor


class RowTable(nn.Module):
    """Rows for the datapoints ``first``, …, ``first + num_rows − 1``.

    Args:
        num_rows: N.
        width: numbers in a row; they start at 0.
        first: the data set's number of the datapoint in row 0, what ``batch.index`` says.
    """

    def __init__(self, num_rows: int, width: int, first: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_rows, width))
        self.first = first
        self._leaves: list[Leaf] | None = None

    def forward(self, index: Tensor) -> Tensor:
        """The rows of these datapoints: ``(batch,)`` to ``(batch, width)``."""
        rows = index - self.first if self.first else index
        if self._leaves is None:
            return self.weight[rows]
        for leaf in self._leaves:  # read again in the same step: one leaf gathers all of the gradient
            if leaf.asked is index:
                return leaf.values if self.weight.requires_grad else leaf.values.detach()
        values = self.weight.detach()[rows].requires_grad_()
        self._leaves.append(Leaf(self, index, rows, values))
        return values

    @contextmanager
    def leaves(self) -> Iterator[list[Leaf]]:
        """Inside the block every read is a leaf and is put on the list."""
        self._leaves = []
        try:
            yield self._leaves
        finally:
            self._leaves = None


def tables_of(*programs: nn.Module) -> list[RowTable]:
    """The row tables in these programs.

    Raises:
        UserError: one is no module.
    """
    refuse_functions(*programs)
    return [module for program in programs for module in program.modules() if isinstance(module, RowTable)]


@contextmanager
def collect_leaves(tables: list[RowTable]) -> Iterator[list[list[Leaf]]]:
    """Inside the block every table hands out leaves; one list for each table."""
    with ExitStack() as stack:
        yield [stack.enter_context(table.leaves()) for table in tables]


def has_rows(program: nn.Module, first: int, count: int) -> bool:
    """Whether a program with a row for each of its datapoints has one for each of these, by their numbers; of any other
    there is nothing to miss."""
    tables = tables_of(program)
    return all(table.first <= first and first + count <= table.first + len(table.weight) for table in tables)


def check_rows(program: nn.Module, first: int, count: int) -> None:
    """See that a program has a row for each of these datapoints, by their numbers: no wait for the device.

    Raises:
        UserError: its rows belong to others.
    """
    for table in tables_of(program):
        last = table.first + len(table.weight) - 1
        if first < table.first or first + count - 1 > last:
            raise UserError(
                f"{type(program).__name__} has rows for datapoints {table.first} to {last}, not for {first} to "
                f"{first + count - 1}; infer those first (ppl_vae.inference.fitting.infer)."
            )
