"""One step of Pyro's SVI as one graph: loss, gradients, optimizer."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pyro
import torch
from pyro.infer import SVI
from pyro.infer.util import zero_grads
from torch import Tensor
from torch.fx import GraphModule

from ppl_vae.svi.recording.arguments import Arguments
from ppl_vae.svi.recording.pyro_adam import PyroAdam
from ppl_vae.svi.recording.unchanged import nothing_changed
from ppl_vae.svi.recording.unread import loss_and_gradients
from ppl_vae.tracing.capture import Function, NotTraceableError, trace
from ppl_vae.tracing.products import multiplications
from ppl_vae.tracing.threads import threaded

CompileGraph = Callable[[GraphModule, Sequence[Tensor]], Function]


class RecordedStep:
    """A step of SVI for arguments of one structure.

    The graph reads and changes the tensors that Pyro's own step does: parameters, moments, and whatever else the
    programs reach for, the buffers of a module or data in a closure. An optimizer that is not of the Adam family is
    called as Pyro calls it, with the gradients that the graph has worked out.

    Args:
        svi: after a first step, which has made parameters and optimizers.
        moved: the unconstrained parameters that the first step has asked for.
        arguments: an example.
        compile_graph: from a graph and examples to the function that runs it.

    Raises:
        NotTraceableError: the step cannot be recorded.
    """

    def __init__(self, svi: SVI, moved: Sequence[Tensor], arguments: Arguments, compile_graph: CompileGraph) -> None:
        self.svi = svi
        self.params = [param for param in moved if param.grad is not None]  # the loss depends on them
        self.adam = PyroAdam.of(svi.optim, self.params)
        store = pyro.get_param_store()
        self.names = [
            (name, param, store._constraints.get(name))
            for param in self.params
            if (name := store.param_name(param)) is not None
        ]
        floating = [each.dtype for each in (*self.params, *arguments.tensors) if each.is_floating_point()]
        self.dtype = max(floating, key=lambda dtype: torch.finfo(dtype).bits, default=torch.get_default_dtype())
        self.arguments = arguments
        examples = self._given(arguments, [1.0] * 3 * (len(self.adam.firsts) if self.adam else 0))
        with nothing_changed():
            graph = trace(self._step, examples)
        found = _lift(graph, dict(zip(map(id, self.params), graph.graph.nodes, strict=False)), len(examples))
        self.outside = [tensor.detach() for tensor in found]
        self.watched = [*moved, *found]  # what is frozen by now is only found
        self.flags = [_flags(tensor) for tensor in self.watched]
        inputs = [*examples, *self.outside]
        with torch.no_grad():
            self.function = compile_graph(graph, inputs)
            if all(tensor.device.type == "cpu" for tensor in inputs):
                on_copies = partial(_on_copies, inputs)
                self.function = threaded(self.function, multiplications(graph), on_copies)
        self.counts_checked = True
        self.zeros = self._gradients()

    def _given(self, arguments: Arguments, rates: Sequence[float]) -> list[Tensor]:
        """What the graph is called with, apart from what it found outside."""
        moments = [tensor for own in self.adam.moments for tensor in own] if self.adam else []
        numbers = torch.tensor([*rates, *arguments.numbers], dtype=self.dtype)
        return [*[param.detach() for param in self.params], *moments, numbers, *arguments.tensors]

    def is_valid(self) -> bool:
        """Whether parameters and optimizers stand where they stood."""
        store = pyro.get_param_store()
        known, bounds = store._params, store._constraints
        if not all([known.get(name) is param and bounds.get(name) is bound for name, param, bound in self.names]):
            return False
        if [_flags(tensor) for tensor in self.watched] != self.flags:
            return False
        if not self.adam:
            return True
        if not self.counts_checked:
            self.counts_checked = self.adam.counts_are_same()
        return self.counts_checked and self.adam.is_same()

    def _gradients(self) -> list[tuple[Tensor | None, int]]:
        """What stands with the parameters, and how often it has been written to."""
        return [(param.grad, -1 if param.grad is None else param.grad._version) for param in self.params]

    def gradients_are_left(self) -> bool:
        """Whether somebody has left gradients with the parameters, to which Pyro's step adds its own."""
        now = self._gradients()
        if all([one is old and count == known for (one, count), (old, known) in zip(now, self.zeros, strict=True)]):
            return False
        if any(grad is None or bool(grad.any()) for grad, _ in now):
            return True
        self.zeros = now  # of Pyro's own step
        return False

    def __call__(self, arguments: Arguments) -> Tensor:
        """Take the step; the loss, ``()``."""
        numbers = self.adam.numbers() if self.adam else []
        with torch.no_grad():
            loss, *gradients = self.function(*self._given(arguments, numbers), *self.outside)
        if self.adam:  # what is stopped before this has not been a step
            self.adam.count()
        else:
            for param, gradient in zip(self.params, gradients, strict=True):
                param.grad = gradient
            self.svi.optim(self.params)
            zero_grads(self.params)
            self.zeros = self._gradients()
        return loss

    def _step(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        values = list(islice(given, len(self.params)))
        moments = [list(islice(given, len(own))) for own in self.adam.moments] if self.adam else []
        numbers, *rest = given
        scalars = list(numbers.unbind())
        start = 3 * len(self.adam.firsts) if self.adam else 0
        args, kwargs = self.arguments.filled(rest, scalars[start:])
        svi = self.svi
        loss, gradients = loss_and_gradients(
            lambda: svi.loss_and_grads(svi.model, svi.guide, *args, **kwargs), self.params
        )
        if self.adam:
            with torch.no_grad():
                self.adam.move(values, gradients, moments, scalars[:start])
            return (loss,)
        pairs = zip(gradients, values, strict=True)
        return (loss, *[torch.zeros_like(value) if own is None else own for own, value in pairs])


def _flags(tensor: Tensor) -> tuple[bool, int]:
    """What decides on a parameter's gradient besides the loss: whether it is frozen, and hooks."""
    return tensor.requires_grad, len(tensor._backward_hooks or ())


def _on_copies(arguments: Sequence[Tensor], function: Function) -> list[Tensor]:
    """What a function of these tensors returns, and what it has made of them."""
    copies = [tensor.clone() for tensor in arguments]
    return [*function(*copies), *copies]


def _lift(graph: GraphModule, inputs: dict[int, Any], count: int) -> list[Tensor]:
    """Make inputs of the tensors that a graph has found outside its arguments, so that it reads them where they are.

    Args:
        graph: is changed.
        inputs: by the ``id`` of a tensor, the input that it is given as already.
        count: of inputs that there are.

    Returns:
        the tensors, in the order of the new inputs, which come last.
    """
    nodes = list(graph.graph.nodes)
    last, lifted = nodes[count - 1], list[Tensor]()
    for node in nodes:
        if node.op != "get_attr" or all(user.target is torch.ops.aten.lift_fresh_copy.default for user in node.users):
            continue  # what the program itself makes of Python's numbers
        tensor = getattr(graph, node.target)
        if not isinstance(tensor, Tensor):
            raise NotTraceableError(f"it calls torch with a {type(tensor).__name__} of its own")
        if id(tensor) not in inputs:
            with graph.graph.inserting_after(last):
                last = inputs[id(tensor)] = graph.graph.placeholder(f"outside_{len(lifted)}")
            lifted.append(tensor)
        node.replace_all_uses_with(inputs[id(tensor)])
        graph.graph.erase_node(node)
    for name in {node.target for node in nodes if node.op == "get_attr"} - {
        node.target for node in graph.graph.nodes if node.op == "get_attr"
    }:
        delattr(graph, name)  # the compiler would have the same tensor twice
    graph.recompile()
    return lifted
