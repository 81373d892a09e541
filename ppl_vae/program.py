"""A Pyro program over a batch: what models and guides both are, and running one that may be a user's."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable

from pyro import poutine
from pyro.nn import PyroModule
from pyro.poutine import Trace
from torch import nn

from ppl_vae.batch import Batch
from ppl_vae.errors import UserError


class _ProgramMeta(type(PyroModule), ABCMeta):  # type: ignore[misc]  # both want to be the metaclass
    pass


class Program(PyroModule, metaclass=_ProgramMeta):  # type: ignore[metaclass]
    """A PyroModule that cannot be made without its ``forward``."""

    @abstractmethod
    def forward(self, batch: Batch) -> object:
        """Run the program on a batch."""


def trace_program(program: nn.Module, batch: Batch, handled: Callable[[Batch], object] | None = None) -> Trace:
    """Run a program once and record it.

    Args:
        program: the model or guide.
        batch: what it is run on.
        handled: the same program under effect handlers, if it is to run under some.

    Raises:
        UserError: whatever the program raised, with its name and the shape that it was given.
    """
    try:
        return poutine.trace(handled or program).get_trace(batch)
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{type(program).__name__} cannot run on x of shape {tuple(batch.x.shape)}: {reason}"
        ) from error
