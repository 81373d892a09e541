"""The graphs of a traced step: one, or two where what several processes or parts have found is added up between them.

They change the parameters and the optimizer's moments in place, the very tensors that the eager step changes.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from ppl_vae.svi.adam import Moments
from ppl_vae.svi.distributed import DistributedStep, apart, flat
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.gradients import Gradients, differentiate
from ppl_vae.svi.optimizer import PairOptimizer
from ppl_vae.svi.replayed import Arguments, CompileGraph, Replayed


class OneGraph:
    """The whole step: binarizing, guide, model, loss, gradients, clipping, Adam, and the update of the rows read.

    Args:
        eager: the step.
        batch_size: of the minibatches.
        kl_weight: β, ``()``, read at every call.
        numbers: what :meth:`PairOptimizer.begin_step` says, read at every call.
        compile_graph: from a graph and examples to the function that runs it.
    """

    def __init__(
        self, eager: EagerStep, batch_size: int, kl_weight: Tensor, numbers: Tensor, compile_graph: CompileGraph
    ) -> None:
        self.eager, self.batch_size, self.kl_weight, self.numbers = eager, batch_size, kl_weight, numbers
        self.graph = Replayed(self._step, self._arguments, compile_graph, eager.precision)
        self.parts = [self.graph]

    def __call__(self, index: Tensor) -> Tensor:
        """Take a step; bound, reconstruction and KL of each datapoint, ``(3, batch)``."""
        (terms,) = self.graph(index)
        return terms

    def _arguments(self) -> Arguments:
        read = [*_data(self.eager), self.kl_weight, self.numbers]
        return Arguments(self.eager.optimizer.state_tensors(), read, [_rows(self.eager, self.batch_size)])

    def _step(self, *tensors: Tensor) -> tuple[Tensor]:
        optimizer = self.eager.optimizer
        given = iter(tensors)
        params, moments = _shared(given, optimizer)
        rows = _tables(given, optimizer)
        *data, kl_weight, numbers, index = given
        found = differentiate(self.eager, params, [weight for weight, _ in rows], data, kl_weight, index)
        with torch.no_grad():
            optimizer.move(params, found.shared, moments, numbers)
            _move_rows(optimizer, rows, found, numbers)
        return (found.terms,)


class TwoGraphs:
    """The step of several processes or parts: each part is differentiated, the gradients are summed, and each process
    moves its parameters.

    The first graph leaves the gradients flat, one tensor for each type of number, as they are sent. It moves the rows
    of per-datapoint tables, which nobody else has read; the second moves the other parameters.

    Args:
        eager: the step.
        batch_size: of the whole minibatches, of which each process has a row at least, and parts of one size.
        kl_weight: as for :class:`OneGraph`.
        numbers: likewise.
        compile_graph: likewise.
    """

    def __init__(
        self,
        eager: EagerStep | DistributedStep,
        batch_size: int,
        kl_weight: Tensor,
        numbers: Tensor,
        compile_graph: CompileGraph,
    ) -> None:
        self.eager, self.kl_weight, self.numbers = eager, kl_weight, numbers
        self.part_size = len(eager.parts_of(torch.arange(batch_size))[0])
        self.share = self.part_size / batch_size
        self.gradients = Replayed(self._differentiate, self._read, compile_graph, eager.precision)
        self.movement = Replayed(self._move, self._moved, compile_graph, eager.precision)
        self.parts = [self.gradients, self.movement] if eager.optimizer.shared else [self.gradients]

    def __call__(self, index: Tensor) -> Tensor:
        """Take a step; bound, reconstruction and KL of each datapoint of this process's parts, ``(3, rows)``."""
        parts = self.eager.parts_of(index)
        terms, *gradients = self.gradients(parts[0])
        if len(parts) > 1:  # the next call may overwrite them
            found, gradients = [terms.clone()], [gradient.clone() for gradient in gradients]
            for part in parts[1:]:
                of_part, *added = self.gradients(part)
                found.append(of_part.clone())
                for gradient, more in zip(gradients, added, strict=True):
                    gradient += more
            terms = torch.cat(found, 1)
        self.eager.whole = False
        if gradients:
            self.eager.sum(gradients)
            self.movement(*gradients)
        return terms

    def _read(self) -> Arguments:
        optimizer = self.eager.optimizer
        changed = [*optimizer.row_tensors(), *self.eager.moved]
        read = [*(param.detach() for param in optimizer.shared), *_data(self.eager), self.kl_weight, self.numbers]
        return Arguments(changed, read, [_rows(self.eager, self.part_size)])

    def _differentiate(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        optimizer = self.eager.optimizer
        given = iter(tensors)
        rows = _tables(given, optimizer)
        moved = list(islice(given, len(self.eager.moved)))
        params = list(islice(given, len(optimizer.shared)))
        *data, kl_weight, numbers, index = given
        weights = [weight for weight, _ in rows]
        found = differentiate(self.eager, params, weights, data, kl_weight, index, self.share)
        with torch.no_grad():
            _move_rows(optimizer, rows, found, numbers)
            for marks, read in zip(moved, found.rows, strict=False):  # one process marks none
                for numbers_of_rows, _ in read:
                    marks[numbers_of_rows] = 1.0
            known = zip(optimizer.shared, params, found.shared, strict=True)
            sent = [
                torch.zeros_like(param) if gradient is None else gradient
                for own, param, gradient in known
                if own.requires_grad
            ]
            return (found.terms, *flat(sent))

    def _moved(self) -> Arguments:
        optimizer = self.eager.optimizer
        gradients = flat([torch.zeros_like(param) for param in optimizer.shared if param.requires_grad])
        return Arguments(optimizer.shared_tensors(), [self.numbers], gradients)

    def _move(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        optimizer = self.eager.optimizer
        given = iter(tensors)
        params, moments = _shared(given, optimizer)
        numbers, *gradients = given
        found = iter(apart(gradients, [own for own in optimizer.shared if own.requires_grad]))
        with torch.no_grad():
            of_all = [next(found) if own.requires_grad else None for own in optimizer.shared]
            optimizer.move(params, of_all, moments, numbers)
        return ()


def _data(eager: EagerStep | DistributedStep) -> list[Tensor]:
    return list(eager.data.tensors.values())


def _rows(eager: EagerStep | DistributedStep, count: int) -> Tensor:
    """An example of a minibatch."""
    return torch.arange(count, device=eager.data.device)


def _shared(given: Iterator[Tensor], optimizer: PairOptimizer) -> tuple[list[Tensor], list[Moments]]:
    """The next tensors are what :meth:`PairOptimizer.shared_tensors` returns."""
    params = list(islice(given, len(optimizer.shared)))
    return params, [Moments(*islice(given, 3)) for _ in params]


def _tables(given: Iterator[Tensor], optimizer: PairOptimizer) -> list[tuple[Tensor, Moments]]:
    """The next tensors are what :meth:`PairOptimizer.row_tensors` returns."""
    return [(next(given), Moments(*islice(given, 3))) for _ in optimizer.tables]


def _move_rows(
    optimizer: PairOptimizer, rows: Sequence[tuple[Tensor, Moments]], found: Gradients, numbers: Tensor
) -> None:
    for (weight, moments), read in zip(rows, found.rows, strict=True):
        for numbers_of_rows, gradient in read:
            optimizer.row_adam.move(weight, moments, numbers_of_rows, gradient, numbers[1])
