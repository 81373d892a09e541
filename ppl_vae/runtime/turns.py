"""One thread at a time, for what a process has one of: Pyro's handlers and settings, torch's generators.

Two threads that ran programs at once would be handed each other's sites and draws, mostly without a word. So whatever
runs programs or seeds a generator takes a turn, and a thread that calls it in between waits: every result is the one
that it would be alone.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 3.0  # what is waited before a word is said

_LOCK = threading.RLock()
_held: list[str] = []  # what it is held for, the outermost first


@contextmanager
def turn(what: str) -> Iterator[None]:
    """Inside the block no other thread is inside another one; also a decorator. A thread may nest its own.

    After a few seconds of waiting one line is logged. A block must not wait for another thread that takes a turn, as
    a callback of ``fit`` would by evaluating elsewhere.

    Args:
        what: the block does, for those who wait for it.
    """
    if not _LOCK.acquire(timeout=_SECONDS):
        held = next(iter(_held), "another thread")
        logging.getLogger("ppl_vae").warning(
            f"{what} in thread '{threading.current_thread().name}' waits for {held}: programs run one at a time"
        )
        _LOCK.acquire()
    _held.append(f"{what} in thread '{threading.current_thread().name}'")
    try:
        yield
    finally:
        _held.pop()
        _LOCK.release()
