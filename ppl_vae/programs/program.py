"""A Pyro program over a batch: what models and guides both are, and running one that may be a user's."""

import weakref
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pyro
import pyro.nn.module as pyro_module
from pyro import poutine
from pyro.nn import PyroModule
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.trace_messenger import TraceMessenger
from torch import nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.labels import held_to_classes
from ppl_vae.runtime.errors import UserError, as_given, reason


class _ProgramMeta(type(PyroModule), ABCMeta):  # type: ignore[misc]  # both want to be the metaclass
    pass


class Program(PyroModule, metaclass=_ProgramMeta):  # type: ignore[metaclass]
    """A PyroModule that cannot be made without its ``forward``, and that ``pyro.infer.SVI`` can train.

    Its parameters are its own, whatever Pyro's setting ``module_local_params`` says: none of them is ever in the global
    parameter store, where two pairs with the same names would share them.
    """

    @abstractmethod
    def forward(self, batch: Batch) -> object:
        """Run the program on a batch."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; under ``SVI.step``, with parameters in the form that it expects."""
        if not hasattr(self._pyro_context, "param_state"):
            make_local(self.modules())
        with local_params():
            if _is_trained_by_svi():
                with _Unconstrained():
                    return super().__call__(*args, **kwargs)
            return super().__call__(*args, **kwargs)


def _is_trained_by_svi() -> bool:
    """Whether Pyro's own ``SVI.step`` is looking for parameters."""
    return any(isinstance(handler, TraceMessenger) and handler.param_only for handler in _PYRO_STACK)


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


def make_local(modules: Iterable[nn.Module]) -> None:
    """Let these modules run under :func:`local_params`. Under Pyro's default they run as before.

    Pyro reads the setting when a PyroModule is made, and gives it a place for its parameters only where it is on.

    Args:
        modules: each one; those inside them are not looked for.
    """
    for module in modules:
        if isinstance(module, PyroModule) and not hasattr(module._pyro_context, "param_state"):
            module._pyro_context.param_state = {"params": {}, "constraints": {}}


@contextmanager
def local_params() -> Iterator[None]:
    """Inside the block PyroModules that were made local keep their parameters, and Pyro's global store is left alone.

    The setting is one for the process, so it is on only while a program runs that wants it: an ordinary Pyro program
    beside it, which has its parameters in the store, finds everything as Pyro has it.
    """
    if pyro_module._MODULE_LOCAL_PARAMS:  # asked for by name it takes microseconds, at every call of every program
        yield
        return
    # Pyro sets the store's contents aside meanwhile and takes this mark off them, which SVI asks its parameters for.
    params = pyro.get_param_store()._params.values()
    marks = [(param, param.__dict__["unconstrained"]) for param in params if "unconstrained" in param.__dict__]
    pyro_module._MODULE_LOCAL_PARAMS = True
    try:
        yield
    finally:
        pyro_module._MODULE_LOCAL_PARAMS = False
        for param, mark in marks:
            cast(Any, param).unconstrained = mark


@contextmanager
def parameters_kept(modules: Callable[[], Iterable[nn.Module]]) -> Iterator[None]:
    """:func:`local_params` around programs of anybody's that are run by themselves, outside any block of ours.

    Not where Pyro's ``SVI.step`` runs them: it looks for the parameters of an ordinary PyroModule in the store.

    Args:
        modules: of the programs; asked for only where they are needed, since that takes time.
    """
    if pyro_module._MODULE_LOCAL_PARAMS or _is_trained_by_svi():
        yield
        return
    make_local(modules())
    with local_params():
        yield


def refuse_functions(*programs: object) -> None:
    """See that programs are modules, which a seed, a device, a mode and a checkpoint can be given to.

    Raises:
        UserError: one is not.
    """
    for program in programs:
        if not isinstance(program, nn.Module):
            raise UserError(f"model and guide are modules, and this is {as_given(program)}: {_instead(program)}.")


def _instead(given: object) -> str:
    if isinstance(given, type):
        return f"make one of it, {given.__name__}(...)"
    if callable(given):
        return "make it the forward of a pyro.nn.PyroModule"
    return "give a pyro.nn.PyroModule, as ppl_vae.build_model and ppl_vae.build_guide make them"


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
    name = type(program).__name__
    try:
        with held_to_classes(name, batch):
            trace = poutine.trace(handled or program).get_trace(batch)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(batch, Batch):
            raise UserError(
                f"a {type(batch).__name__} is no batch; take ppl_vae.Batch(x, y, index), as Dataset.batch makes it."
            ) from error
        given = f"x of shape {tuple(batch.x.shape)}{_unlike(program, batch)}{', y None' if batch.y is None else ''}"
        if batch.mask is None and "NoneType" in str(error):
            given += ", mask None (all of x was seen)"
        raise UserError(f"{name} cannot run on {given}: {reason(error)}") from error
    stray = set(store.keys()) - known
    for name in stray:
        del store[name]
    if stray:
        raise UserError(
            f"parameter '{min(stray)}' went to Pyro's global store; make it an nn.Parameter or PyroParam of the module."
        )
    return trace


def _unlike(program: nn.Module, batch: Batch) -> str:
    """What may be why a program cannot run: that its numbers are of another precision."""
    own = {value.dtype for value in program.parameters() if value.is_floating_point()}
    if not own or batch.x.dtype in own:
        return ""
    ours, theirs = (str(dtype).removeprefix("torch.") for dtype in (batch.x.dtype, own.pop()))
    return f", which is {ours} where its parameters are {theirs} (x.to(torch.{theirs}) makes it the same)"
