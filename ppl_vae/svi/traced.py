"""One step of SVI, traced once to its tensor operations and replayed: the same step, without Pyro's Python.

The whole step is one graph: binarizing, guide, model, loss, gradients, clipping, Adam, and the update of the rows that
a per-datapoint guide has read. It changes the parameters and the optimizer's moments in place, the very tensors that
the eager step changes, so that the two can take turns: a ragged last batch is an eager step. On a GPU the compiled
kernels are recorded as one CUDA graph.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from ppl_vae.networks.precision import computing_in
from ppl_vae.programs.pair import modules_behind
from ppl_vae.programs.rows import collect_leaves
from ppl_vae.svi.adam import Moments
from ppl_vae.svi.eager import EagerStep
from ppl_vae.tracing.capture import Function, NotTraceableError, compiled, standing_in, trace
from ppl_vae.tracing.cuda_graph import Recorded
from ppl_vae.tracing.products import multiplications
from ppl_vae.tracing.threads import threaded


class TracedStep:
    """An eager step, compiled for batches of one size.

    Args:
        eager: the step.
        batch_size: of the batches to compile for; others are taken eagerly.
        compile_graph: from a graph and examples to the function that runs it.

    Raises:
        NotTraceableError: the pair cannot be traced; the message says why.
    """

    def __init__(
        self,
        eager: EagerStep,
        batch_size: int,
        compile_graph: Callable[[GraphModule, Sequence[Tensor]], Function] = compiled,
    ) -> None:
        self.eager, self.batch_size = eager, batch_size
        self.model, self.guide, self.objective = eager.model, eager.guide, eager.objective
        self.optimizer, self.data, self.precision = eager.optimizer, eager.data, eager.precision
        data, device = eager.data, eager.data.x.device
        # Numbers that change from step to step are tensors too; as Python's they would be the trace's for ever.
        self.kl_weight = torch.ones((), dtype=data.x.dtype, device=device)
        self.numbers = torch.ones(4, dtype=data.x.dtype, device=device)
        self.records = 0
        self.structure: list[object] = []
        self.places: list[int] = []
        self.compile_graph = compile_graph
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
            self._record()
        elif places == self.places:
            return
        self._bind()
        self.structure, self.places = structure, places

    def _arguments(self) -> list[Tensor]:
        data = self.data.x, *([] if self.data.y is None else [self.data.y])
        return [*self.optimizer.state_tensors(), *data, self.kl_weight, self.numbers]

    def _record(self) -> None:
        """Trace the step, and compile it."""
        examples = [*self._arguments(), torch.arange(self.batch_size, device=self.data.x.device)]
        with _buffers_kept(self.model, self.guide):
            graph = trace(self._step, examples)
        try:
            with computing_in(self.precision):
                self.function = self.compile_graph(graph, examples)
                if self.data.x.device.type == "cpu":
                    self.function = threaded(self.function, multiplications(graph), self._on_copies)
        except NotTraceableError:
            if self.data.x.device.type != "cuda":
                raise
            self.function = graph  # there may be no Triton; torch's own kernels can be recorded too

    def _on_copies(self, function: Function) -> list[Tensor]:
        """A step by this function, of nobody's parameters: what it returns and has moved."""
        state = [tensor.clone() for tensor in self.optimizer.state_tensors()]
        index = torch.arange(self.batch_size, device=self.data.x.device)
        return [*function(*state, *self._arguments()[len(state) :], index), *state]

    def _bind(self) -> None:
        """Let the compiled step read and change the tensors where they are."""
        if self.data.x.device.type != "cuda":
            self.take: Function = partial(self.function, *self._arguments())
            return
        index = torch.arange(self.batch_size, device=self.data.x.device)
        with computing_in(self.precision):  # recorded too: a CUDA graph holds the kernels that were chosen then
            self.take = Recorded(self.function, self._arguments(), [index])

    def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
        """Take one step; see :meth:`EagerStep.__call__`."""
        if len(index) != self.batch_size:
            return self.eager(index, kl_weight)
        self.kl_weight.fill_(kl_weight)
        self.optimizer.begin_step(self.numbers)
        with computing_in(self.precision):
            (terms,) = self.take(index)
        return terms.sum(1)  # here, since in the graph its last digit would depend on the number of threads

    def _step(self, *tensors: Tensor) -> tuple[Tensor]:
        """The step as a function of all that it reads; what it changes, it changes in place."""
        *state, kl_weight, numbers, index = tensors
        given = iter(state)
        shared, tables = self.optimizer.shared, self.optimizer.tables
        params = list(islice(given, len(shared)))
        moments = [Moments(*islice(given, 3)) for _ in shared]
        rows = [(weight, Moments(*islice(given, 3))) for weight in _each(given, len(tables))]
        x, *y = given
        data = replace(self.data, x=x, y=y[0] if y else None)
        leaves = [param.detach().requires_grad_(own.requires_grad) for param, own in zip(params, shared, strict=True)]
        stand_ins = {id(param): leaf for param, leaf in zip(shared, leaves, strict=True)}
        stand_ins |= {
            id(t.weight): weight.detach().requires_grad_() for t, (weight, _) in zip(tables, rows, strict=True)
        }
        with standing_in((self.model, self.guide), stand_ins), collect_leaves(tables) as read:
            batch = data.batch(index)
            with computing_in(self.precision):
                terms = self.objective.terms(self.model, self.guide, batch, kl_weight)
        handed_out = [leaf.values for leaves_of in read for leaf in leaves_of]
        moved = [leaf for leaf in (*leaves, *handed_out) if leaf.requires_grad]
        found = iter(torch.autograd.grad(terms.loss, moved, allow_unused=True))
        gradients = [next(found) if leaf.requires_grad else None for leaf in (*leaves, *handed_out)]
        with torch.no_grad():
            self.optimizer.move(params, gradients[: len(params)], moments, numbers)
            of_rows = iter(gradients[len(params) :])
            for (weight, row_moments), leaves_of in zip(rows, read, strict=True):
                for leaf in leaves_of:
                    self.optimizer.row_adam.move(weight, row_moments, leaf.rows, next(of_rows), numbers[1])
        return (torch.stack([terms.bound, terms.reconstruction, terms.kl]),)


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


def _each(given: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The next tensor, so many times, whatever else is taken in between."""
    for _ in range(count):
        yield next(given)


@contextmanager
def _buffers_kept(*programs: nn.Module) -> Iterator[None]:
    """Put the programs' buffers back after the block; the record of a program that moves them would not."""
    before = [(name, buffer, buffer.clone()) for program in programs for name, buffer in program.named_buffers()]
    try:
        yield
    finally:
        moved = [name for name, buffer, value in before if not torch.equal(buffer, value)]
        for _, buffer, value in before:
            buffer.copy_(value)
    if moved:
        raise NotTraceableError(f"the program changes its buffer '{moved[0]}' as it runs")
