"""A Pyro program over a batch: what models and guides both are, and running one that may be a user's."""

import weakref
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any

import pyro
from pyro import poutine
from pyro.nn import PyroModule
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.trace_messenger import TraceMessenger
from torch import nn

from ppl_vae.batch import Batch
from ppl_vae.errors import UserError, reason


class _ProgramMeta(type(PyroModule), ABCMeta):  # type: ignore[misc]  # both want to be the metaclass
    pass


class Program(PyroModule, metaclass=_ProgramMeta):  # type: ignore[metaclass]
    """A PyroModule that cannot be made without its ``forward``, and that ``pyro.infer.SVI`` can train."""

    @abstractmethod
    def forward(self, batch: Batch) -> object:
        """Run the program on a batch."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; under ``SVI.step``, with parameters in the form that it expects."""
        if any(isinstance(handler, TraceMessenger) and handler.param_only for handler in _PYRO_STACK):
            with _Unconstrained():
                return super().__call__(*args, **kwargs)
        return super().__call__(*args, **kwargs)


class _Unconstrained(Messenger):
    """``SVI.step`` asks each parameter for ``unconstrained()``; Pyro 1.9's modules with local parameters do not give
    their plain ones that method. An alias with it is shown to the trace, so that the parameter itself stays clean."""

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        value = msg["fn"](*msg["args"], **msg["kwargs"])
        if not hasattr(value, "unconstrained"):
            alias = value.view_as(value)
            alias.unconstrained = weakref.ref(value)
            value = alias
        msg["value"], msg["done"] = value, True


def trace_program(program: nn.Module, batch: Batch, handled: Callable[[Batch], object] | None = None) -> Trace:
    """Run a program once and record it.

    Args:
        program: the model or guide.
        batch: what it is run on.
        handled: the same program under effect handlers, if it is to run under some.

    Raises:
        UserError: whatever the program raised, with its name and the shape that it was given; or it has put a parameter
            into Pyro's global store, from where it would leak into other pairs.
    """
    store = pyro.get_param_store()
    known = set(store.keys())
    try:
        trace = poutine.trace(handled or program).get_trace(batch)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        shape = tuple(batch.x.shape)
        raise UserError(f"{type(program).__name__} cannot run on x of shape {shape}: {reason(error)}") from error
    stray = set(store.keys()) - known
    for name in stray:
        del store[name]
    if stray:
        raise UserError(
            f"parameter '{min(stray)}' went to Pyro's global store; make it an nn.Parameter or PyroParam of the module."
        )
    return trace
