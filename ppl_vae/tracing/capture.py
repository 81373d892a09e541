"""A function of tensors, traced once to its tensor operations and compiled: a Pyro program without Pyro's overhead.

``make_fx`` runs the function once and records what reaches torch's dispatcher: the handlers, the distributions and the
autograd engine have then done their work and leave only tensor operations. Inductor compiles those. (``torch.compile``
straight over the handlers breaks into a dozen graphs, since it traces Python, which is where Pyro's work is done.)

What the record cannot hold: Python's own decisions and numbers are taken once, at the trace, so a program that reads a
tensor's value to decide what to do, or that is another at its next call, cannot be captured;
:class:`NotTraceableError` says why.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import pyro
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.seeding import preserved
from ppl_vae.tracing.compiler_cache import secure_compiler_cache
from ppl_vae.tracing.elementary import ELEMENTARY
from ppl_vae.tracing.equality import same_numbers
from ppl_vae.tracing.inductor import by_inductor
from ppl_vae.tracing.lstm_layer import LSTM
from ppl_vae.tracing.products import with_fastest_products

Function = Callable[..., tuple[Tensor, ...]]
Engine = Literal["auto", "eager", "traced"]

# What compiling costs and what a compiled call saves, rounded from benchmarks/RESULTS.md (2-core CPU): Pyro's Python, a
# flat part of every call, and passes over the observations that inductor fuses. Constants rather than a clock, so that
# the same job always runs on the same engine: the two draw their noise differently.
_COMPILE_SECONDS = 15.0
_SAVED_SECONDS = 2e-3
_SAVED_SECONDS_PER_ELEMENT = 6e-9

_SETTINGS: dict[str, object] = {"fallback_random": True}  # random numbers are torch's own


class NotTraceableError(Exception):
    """A function that cannot be captured; the message says why, in one line."""


def worth_compiling(engine: Engine, num_calls: int, num_elements: int, device: torch.device) -> bool:
    """Whether to compile what is called so often.

    Args:
        engine: ``eager`` never, ``traced`` always, ``auto`` where the whole job ends sooner, compiling included.
        num_calls: in the whole job.
        num_elements: of the observations in one call, times the draws for each.
        device: where it runs; away from the CPU, passes over the observations count for nothing.
    """
    if engine != "auto":
        return engine == "traced"
    return num_calls > calls_that_pay(num_elements, device)


def calls_that_pay(num_elements: int, device: torch.device) -> float:
    """After how many calls, each a little faster, the time that compiling takes is won back; see above."""
    passes = _SAVED_SECONDS_PER_ELEMENT * num_elements if device.type == "cpu" else 0.0
    return _COMPILE_SECONDS / (_SAVED_SECONDS + passes)


def refuse_untraced(engine: Engine, error: NotTraceableError) -> None:
    """See that tracing was not asked for by name.

    Raises:
        UserError: it was.
    """
    if engine == "traced":
        raise UserError(f"what is asked for cannot be traced ({error}); use `engine` auto.") from error


def trace(function: Function, examples: Iterable[Tensor]) -> GraphModule:
    """The tensor operations of a function.

    Args:
        function: of tensors, to a tuple of tensors; it may change its arguments in place. What it draws is drawn anew
            at every call of the graph.
        examples: arguments of the shapes, types and devices that it will be called with. They are copied: what the
            trace does to them is not seen. The generators are left as they were.

    Returns:
        the graph; called with such arguments it returns what the function returns.

    Raises:
        NotTraceableError: it decides by a tensor's value, is another function at its second call, or fails; or the
            compiler that is to come has no place for its cache.
    """
    if why := secure_compiler_cache():  # make_fx imports the compiler
        raise NotTraceableError(why)
    copies = [example.clone() for example in examples]
    try:
        with preserved(copies[0].device), pyro.validation_enabled(False):
            graph, again = (make_fx(function, decomposition_table=ELEMENTARY | LSTM)(*copies) for _ in range(2))
    except NotTraceableError:
        raise
    except Exception as error:  # whatever a user's program raises at being traced
        raise NotTraceableError(_why(error)) from error
    if graph.code != again.code or not _same_constants(graph, again):
        raise NotTraceableError("the program is another at each call: it counts, or draws from a generator not torch's")
    return graph


def _same_constants(graph: GraphModule, again: GraphModule) -> bool:
    """Whether the tensors that the function did not get as arguments are the same."""
    mine, other = dict(graph.named_buffers()), dict(again.named_buffers())
    return mine.keys() == other.keys() and all(same_numbers(mine[name], other[name]) for name in mine)


def compiled(graph: GraphModule, examples: Iterable[Tensor]) -> Function:
    """The graph as a function, compiled by inductor for tensors of the examples' shapes and strides.

    It draws from torch's generators what the graph itself would draw, so that on the same seed the two agree.

    Raises:
        NotTraceableError: inductor cannot compile it; there may be no C++ compiler.
    """
    # What `LSTM` leaves to torch. Inductor compiles it, and the call fails: of its tensors one is not there.
    if any("mkldnn_rnn_layer" in str(node.target) for node in graph.graph.nodes):
        raise NotTraceableError("torch cannot compile its CPU kernel of an LSTM")
    try:
        function: Function = by_inductor(with_fastest_products(graph), list(examples), _SETTINGS)  # type: ignore[assignment]
    except Exception as error:
        raise NotTraceableError(_why(error)) from error
    return function


def _why(error: Exception) -> str:
    if "_local_scalar_dense" in str(error) or "data-dependent" in str(error):
        return "the program reads a tensor's value to decide what to do"
    return reason(error)


@contextmanager
def standing_in(programs: Iterable[nn.Module], stand_ins: Mapping[int, Tensor]) -> Iterator[None]:
    """Inside the block the programs' parameters are other tensors.

    Args:
        programs: whose parameters.
        stand_ins: by the parameter's ``id``, what to put in its place; a parameter that several modules share is
            replaced in all of them.
    """
    places = {
        (module, name): param
        for program in programs
        for module in program.modules()
        for name, param in module._parameters.items()
        if param is not None and id(param) in stand_ins
    }
    for (module, name), param in places.items():
        module._parameters[name] = stand_ins[id(param)]  # type: ignore[assignment]
    try:
        yield
    finally:
        for (module, name), param in places.items():
            module._parameters[name] = param
