"""What a command finds around it: signals, and an environment made for other programs.

Imports nothing that takes time: a signal is answered from the first moment on.
"""

import gc
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from ppl_vae.cli.flags import as_flags
from ppl_vae.runtime.interrupt import answer_with, hand_back

if TYPE_CHECKING:
    from ppl_vae.data import Splits

_NARROWEST = 40  # letters a line, of help; for lines of three or fewer tyro seeks breaks for ever


def say(message: str) -> None:
    """One line on stderr; where that cannot be, there is nobody to tell."""
    with suppress(OSError, ValueError):
        print("ppl-vae: " + " ".join(message.split()), file=sys.stderr, flush=True)


def say_as_it_is(words: str) -> None:
    """What the library has to say, on stderr."""
    print(words, file=sys.stderr, flush=True)


def say_what_was_read(splits: "Splits") -> None:
    """Say what was decided in reading the data, and warn where nothing can come of it."""
    for note in splits.notes:
        print(f"data     {as_flags(note, None)}")
    for warning in splits.warnings:
        say_as_it_is(f"warning: {warning}")


@contextmanager
def news_said() -> Iterator[None]:
    """Inside the block what the library logs is said on stderr, warnings as such."""

    def say_it(record: logging.LogRecord) -> bool:
        say_as_it_is(("warning: " if record.levelno >= logging.WARNING else "") + record.getMessage())
        return False

    log, handler = logging.getLogger("ppl_vae"), logging.Handler()
    handler.addFilter(say_it)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


class Signals:
    """How the command line answers to Ctrl-C, SIGTERM and a closed terminal: whenever they come, one line and 130.

    Before a command has begun there is nothing to put in order, and half an import to break: the process ends on the
    spot. Later they raise KeyboardInterrupt; a third one no longer waits for what that sets going. When the last line
    is said, they end the process with the status that it has anyway.

    Args:
        own: whether the process is the command's own, to be ended; else it is somebody's who calls
            :func:`ppl_vae.cli.main.main`.
    """

    def __init__(self, own: bool) -> None:
        self.own, self.begun, self.count = own, False, 0
        self.status: int | None = None
        self._before = answer_with(self._answer)
        if own:
            sys.unraisablehook = self._unraisable

    def begin(self) -> None:
        """A command begins: there is something to put in order from here on."""
        self.begun = True
        if self.own:
            gc.set_threshold(20_000, 20)  # a picture has thousands of parts, and at each 700 Python looks for garbage

    def ended(self, status: int) -> int:
        """All is said; the status."""
        self.status = status
        if self.own:
            gc.freeze()  # or Python looks through all of torch for garbage as it ends, which nobody waits for
        else:
            hand_back(self._before)
        return status

    def _answer(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.own and self.status is not None:
            os._exit(self.status)
        if self.own and (not self.begun or self.count > 2):
            self._leave()
        raise KeyboardInterrupt

    def _leave(self) -> None:
        say("interrupted")
        os._exit(130)

    def _unraisable(self, found: Any) -> None:
        """Python only prints what is raised in a destructor: there the KeyboardInterrupt of a signal would be lost."""
        if isinstance(found.exc_value, KeyboardInterrupt):
            self._leave()
        sys.__unraisablehook__(found)


def settle_environment() -> None:
    """See that no setting of matplotlib or of a terminal stands in the way: our figures look the same everywhere.

    A notebook's shell hands on a backend that is there in the notebook alone. Only a command does this, and before
    matplotlib is imported: where it has been already, as in a notebook, its settings are as they were.
    """
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its list of fonts is no news
    if shutil.get_terminal_size().columns < _NARROWEST:
        os.environ["COLUMNS"] = str(_NARROWEST)
