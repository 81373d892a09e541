"""The standard streams of a process, whose other end may be closed, full or gone.

Imports nothing that takes time.
"""

import io
import os
import sys
from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")


class Steady(io.TextIOBase):
    """A standard stream on a disk that may be full: the first failure is noted, and what follows goes nowhere.

    Args:
        stream: the process's own.
        number: of its file.
    """

    def __init__(self, stream: Any, number: int) -> None:
        self.stream, self.number = stream, number
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's."""
        return str(self.stream.encoding)

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return bool(self.stream.isatty())

    def fileno(self) -> int:
        """The stream's."""
        return self.number

    def write(self, text: str) -> int:
        """As the stream does."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As the stream does."""
        self._try(self.stream.flush)

    def _try(self, act: Any) -> None:
        try:
            act()
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self.number == 1:
                raise  # whoever read our output has stopped: so do we
            self.failure = self.failure or error
            _lead_nowhere(self.number)


def steady_streams() -> Steady:
    """Open the standard streams that were closed, on nothing, and let none of them end the work; the standard output.

    A closed one would be the number of the next file that is opened, a checkpoint say, and get what is said in it.
    """
    for number, name in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            _lead_nowhere(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for number, name in enumerate(_STREAMS[1:], 1):
        setattr(sys, name, Steady(getattr(sys, name), number))
    return sys.stdout  # type: ignore[return-value]


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
