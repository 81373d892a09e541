"""Stopping at a safe place: Ctrl-C, SIGTERM and a closed terminal are noted, and acted on between two steps.

Imports nothing that takes time: the command line answers to signals before anything else is there.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any, Self

_STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_inside_more: ContextVar[bool] = ContextVar("inside_more", default=False)

Handler = Callable[[int, FrameType | None], object]


class Interrupted(KeyboardInterrupt):
    """Training was stopped between two steps, and everything up to there is saved."""


def at_a_prompt() -> bool:
    """Whether somebody types line by line, in Python, IPython or a notebook, and goes on after what was stopped: no
    more than that was asked for."""
    return hasattr(sys, "ps1") and not _inside_more.get()


@contextmanager
def inside_more() -> Iterator[None]:
    """Trainings inside the block are a part of what was asked for, which is stopped with them: whoever took one that
    was stopped for a whole one would rank or average it with others."""
    before = _inside_more.set(True)
    try:
        yield
    finally:
        _inside_more.reset(before)


def answer_with(handler: Handler) -> dict[int, Any]:
    """From now on the signals that ask a process to stop call the handler.

    Under ``nohup`` a closed terminal stays nobody's business. Outside the main thread Python cannot catch signals, and
    nothing changes.

    Returns:
        the handlers before, for :func:`hand_back`.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [n for n in _STOPPING if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


def hand_back(handlers: dict[int, Any]) -> None:
    """Put the handlers back that :func:`answer_with` has replaced."""
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: one that is not Python's


class InterruptGuard:
    """Inside the ``with`` block the first signal only sets ``requested``; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._waits = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = answer_with(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        hand_back(self._before)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside this block the first signal does not wait either, nor one that came before the block."""
        self._waits = False
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._waits = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self._waits:
            raise KeyboardInterrupt
        self.requested = True
