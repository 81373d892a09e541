"""One step of SVI, traced once to its tensor operations and replayed: the same step, without Pyro's Python.

The whole step is one graph, of several processes or parts two, between which gradients are added up
(:mod:`ppl_vae.svi.graphs`). It
changes the parameters and the optimizer's moments in place, the very tensors that the eager step changes, so that the
two can take turns: a ragged last batch is an eager step. On a GPU the compiled kernels are recorded as a CUDA graph.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ppl_vae.programs.pair import modules_behind
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.graphs import OneGraph, TwoGraphs
from ppl_vae.svi.replayed import CompileGraph
from ppl_vae.tracing.capture import NotTraceableError, compiled
from ppl_vae.tracing.equality import same_numbers


class TracedStep:
    """An eager step, of one process or of several, compiled for batches of one size.

    Args:
        eager: the step.
        batch_size: of the batches to compile for, those of all processes together; others are taken eagerly.
        compile_graph: from a graph and examples to the function that runs it.

    Raises:
        NotTraceableError: the pair cannot be traced; the message says why.
    """

    def __init__(
        self, eager: EagerStep | DistributedStep, batch_size: int, compile_graph: CompileGraph = compiled
    ) -> None:
        if not eager.optimizer.settings.is_traceable:
            raise NotTraceableError("that is for the optimizer Adam without options")
        self.eager, self.batch_size = eager, batch_size
        self.model, self.guide, self.objective = eager.model, eager.guide, eager.objective
        self.optimizer, self.data = eager.optimizer, eager.data
        # Numbers that change from step to step are a tensor; as Python's they would be the trace's for ever. On a
        # processor Python writes them where they are: after a step the caches are full of weights, and each operation
        # of torch's between two steps takes some 10 µs.
        self.numbers = torch.ones(5, dtype=eager.data.dtype, device=eager.data.device)
        self.host = self.numbers.numpy() if self.numbers.device.type == "cpu" else None
        self.records = 0
        self.structure: list[object] = []
        self.places: list[int] = []
        rest = batch_size, self.numbers[4], self.numbers[:4], compile_graph
        parts = eager.parts_of(torch.arange(batch_size))
        if len({len(part) for part in parts}) > 1:
            raise NotTraceableError(f"a step's {batch_size} rows are {len(parts)} batches, not all of one size")
        if isinstance(eager, EagerStep) and len(parts) == 1:
            self.graphs: OneGraph | TwoGraphs = OneGraph(eager, *rest)
        else:
            self.graphs = TwoGraphs(eager, *rest)
        self.refresh()

    def refresh(self) -> None:
        """See the pair as it is now: a callback between two steps may have changed what the record took for granted.

        Tensors that stand elsewhere, as after ``param.data = ...``, are taken from there. Other numbers and settings in
        the modules, or parameters that are frozen, make another record.

        Raises:
            NotTraceableError: the pair can be traced no longer, or it changes so often that it is not worth it.
        """
        structure, places = _structure(self.model, self.guide), _places(self.model, self.guide)
        if structure != self.structure:
            if self.records == _MOST_RECORDS:
                raise NotTraceableError(f"it has changed {_MOST_RECORDS} times, and each time it is compiled anew")
            self.records += 1
            with _buffers_kept(self.model, self.guide):
                for graph in self.graphs.parts:
                    graph.record()
        elif places == self.places:
            return
        for graph in self.graphs.parts:
            graph.bind()
        self.structure, self.places = structure, places

    def __call__(self, index: Tensor, kl_weight: float = 1.0) -> Tensor:
        """Take one step; see :meth:`EagerStep.__call__`, of several processes :meth:`DistributedStep.__call__`."""
        if len(index) != self.batch_size:
            return self.eager(index, kl_weight)
        numbers = (*self.optimizer.begin_step(), kl_weight)
        if self.host is not None:
            self.host[:] = numbers
        else:
            self.numbers.copy_(torch.tensor(numbers, dtype=self.numbers.dtype))
        return self.graphs(index).sum(1)  # in the graph its last digit would depend on the number of threads


# A record takes up to half a minute: a setting that follows a schedule, or a count of calls, would take one each epoch.
_MOST_RECORDS = 4
_SIMPLE = (bool, int, float, complex, str, torch.dtype, torch.device, type(None))


def _structure(*programs: nn.Module) -> list[object]:
    """What a record takes for granted of programs, besides what is in their tensors: their modules' own numbers and
    settings, the tensors' kinds, and which of them are moved."""
    found: list[object] = []
    for module in modules_behind(programs):
        found += [id(module), [(name, value) for name, value in vars(module).items() if _is_simple(value)]]
        found += [(tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad) for tensor in _tensors(module)]
        found += [(name, buffer.data_ptr()) for name, buffer in module._buffers.items() if buffer is not None]
    return found


def _is_simple(value: object) -> bool:
    return all(map(_is_simple, value)) if isinstance(value, list | tuple) else isinstance(value, _SIMPLE)


def _tensors(module: nn.Module) -> list[Tensor]:
    parameters: list[Tensor | None] = [*module._parameters.values(), *module._buffers.values()]
    return [tensor for tensor in parameters if tensor is not None]


def _places(*programs: nn.Module) -> list[int]:
    """Where the parameters are in memory; the record's graph is given them, so that they may be elsewhere."""
    return [param.data_ptr() for program in programs for param in program.parameters()]


@contextmanager
def _buffers_kept(*programs: nn.Module) -> Iterator[None]:
    """Put the programs' buffers back after the block; the record of a program that moves them would not."""
    before = [(name, buffer, buffer.clone()) for program in programs for name, buffer in program.named_buffers()]
    try:
        yield
    finally:
        moved = [name for name, buffer, value in before if not same_numbers(buffer, value)]
        for _, buffer, value in before:
            buffer.copy_(value)
    if moved:
        raise NotTraceableError(f"the program changes its buffer '{moved[0]}' as it runs")
