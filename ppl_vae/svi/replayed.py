"""A function of tensors that is recorded, compiled, and called with the tensors that it changes where they stand."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor
from torch.fx import GraphModule

from ppl_vae.networks.precision import Precision, computing_in
from ppl_vae.tracing.capture import Function, NotTraceableError, trace
from ppl_vae.tracing.cuda_graph import Recorded
from ppl_vae.tracing.products import multiplications
from ppl_vae.tracing.threads import threaded

CompileGraph = Callable[[GraphModule, Sequence[Tensor]], Function]


class Arguments(NamedTuple):
    """What a function is called with, in this order.

    Args:
        changed: tensors that it changes in place.
        read: others that stand where they are.
        given: examples of what every call gives it.
    """

    changed: list[Tensor]
    read: list[Tensor]
    given: list[Tensor]


class Replayed:
    """A function, compiled for the shapes of its arguments; on a GPU its kernels are one CUDA graph.

    Args:
        function: of tensors, to a tuple of tensors.
        arguments: what to call it with, asked for whenever it is recorded or bound.
        compile_graph: from a graph and examples to the function that runs it.
        precision: of the networks.
    """

    def __init__(
        self, function: Function, arguments: Callable[[], Arguments], compile_graph: CompileGraph, precision: Precision
    ) -> None:
        self.function, self.arguments = function, arguments
        self.compile_graph, self.precision = compile_graph, precision

    def record(self) -> None:
        """Trace it, and compile it.

        Raises:
            NotTraceableError: it cannot be; the message says why.
        """
        arguments = self.arguments()
        examples = [*arguments.changed, *arguments.read, *arguments.given]
        device = examples[0].device.type
        graph = trace(self.function, examples)
        self.compiled: Function = graph
        try:
            with computing_in(self.precision):
                self.compiled = self.compile_graph(graph, examples)
                if device == "cpu":
                    self.compiled = threaded(self.compiled, multiplications(graph), partial(_on_copies, arguments))
        except NotTraceableError:
            if device != "cuda":
                raise  # there may be no Triton; torch's own kernels can be recorded too

    def bind(self) -> None:
        """Let it read and change the tensors where they are now."""
        changed, read, given = self.arguments()
        fixed = [*changed, *read]
        if fixed[0].device.type != "cuda":
            self.call: Function = partial(self.compiled, *fixed)
            return
        with computing_in(self.precision):  # recorded too: a CUDA graph holds the kernels that were chosen then
            self.call = Recorded(self.compiled, fixed, given)

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Call it."""
        return self.call(*given)


def _on_copies(arguments: Arguments, function: Function) -> list[Tensor]:
    """What it returns and has changed, called by this function with copies of what it changes."""
    changed = [tensor.clone() for tensor in arguments.changed]
    return [*function(*changed, *arguments.read, *arguments.given), *changed]
