"""How a training that was stopped goes on, said as a command."""

from collections.abc import Iterator
from contextlib import contextmanager

from ppl_vae.runs.leftovers import has_learned
from ppl_vae.runs.run import Run
from ppl_vae.runtime.files import CannotWriteError
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.runtime.processes import LostContactError, current


@contextmanager
def told_how_to_go_on(run: Run) -> Iterator[None]:
    """What stops a training inside the block says by which command it goes on."""
    command = f"train --resume {run.path}"
    try:
        yield
    except LostContactError:
        found = f"lost contact with another process; go on with: {current().command} {command}"
        raise LostContactError(found) from None
    except KeyboardInterrupt as interrupt:
        if (interrupt.args and not isinstance(interrupt, Interrupted)) or not run.checkpoint.exists():
            raise  # it says so itself, or there is nothing to go on with
        lost = "" if isinstance(interrupt, Interrupted) else " from its last checkpoint"
        raise Interrupted(f"stopped; go on{lost} with: ppl-vae {command}") from None
    except CannotWriteError as error:
        if not has_learned(run.path):
            raise
        raise CannotWriteError(f"{error} Then go on with: {current().command} {command}") from None
