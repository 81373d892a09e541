"""Calls worked off by several processes of our own, which end with this one, however it ends.

Python's ``ProcessPoolExecutor`` waits for running calls when it is interrupted, and its processes outlive it when it is
killed.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Time for a worker that is asked to stop: a step of a training, and its checkpoint.
_LAST_SECONDS = 10.0


class WorkerKilledError(Exception):
    """A worker has died without a word: the system kills the largest process when memory runs out."""


def work_off(
    function: Callable[..., T], calls: Sequence[tuple[Any, ...]], workers: int, advance: Callable[[], object]
) -> list[T]:
    """What the function returns for each of the arguments, several at a time.

    Signals are for this process. When it is interrupted, or a call fails, it asks the workers to stop by SIGTERM; a
    function that notes that, as :class:`ppl_vae.runtime.interrupt.InterruptGuard` does, has ten seconds to put things
    in order and raise KeyboardInterrupt.

    Args:
        function: of a module, which the workers import; what it takes, returns and raises is pickled.
        calls: its arguments, call by call.
        workers: how many processes.
        advance: called after each call that is done.

    Raises:
        WorkerKilledError: a worker has died.
        Exception: the first that the function has raised, with the worker's traceback in its notes.
    """
    results: dict[int, T] = {}
    waiting = list(enumerate(calls))
    busy: dict[Connection, int] = {}
    processes: list[BaseProcess] = []
    try:
        for _ in range(min(workers, len(calls))):
            end = _start(function, processes)
            busy[end], arguments = waiting.pop(0)
            _send(end, arguments)
        while busy:
            for end in cast(list[Connection], wait(list(busy))):
                results[busy.pop(end)] = _outcome(end)
                advance()
                if waiting:
                    busy[end], arguments = waiting.pop(0)
                    _send(end, arguments)
                else:
                    end.close()  # the worker ends
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        _see_out(processes)
    return [results[number] for number in range(len(calls))]


def _start(function: Callable[..., Any], processes: list[BaseProcess]) -> Connection:
    context = multiprocessing.get_context("spawn")
    end, other_end = context.Pipe()
    process = context.Process(target=_worker, args=(other_end, pickle.dumps(function)))
    with _held_back():
        process.start()
    processes.append(process)
    other_end.close()  # the worker's alone now: it breaks with the worker
    return end


def _send(end: Connection, arguments: tuple[Any, ...]) -> None:
    try:
        end.send(arguments)
    except OSError:
        raise WorkerKilledError from None


def _outcome(end: Connection) -> Any:
    try:
        done, outcome = end.recv()
    except (EOFError, OSError):
        raise WorkerKilledError from None
    if not done:
        raise outcome
    return outcome


def _see_out(processes: list[BaseProcess]) -> None:
    """Until all have ended, which is at once when somebody has lost patience."""
    try:
        last = time.monotonic() + _LAST_SECONDS
        for process in processes:
            process.join(max(0.0, last - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
            process.join()


@contextmanager
def _held_back() -> Iterator[None]:
    """Inside the block what a terminal sends to all its processes waits; who is started here never gets it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it before its first process, and lets the signals go
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker(end: Connection, pickled: bytes) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function = pickle.loads(pickled)  # only now: its imports may take seconds, in which this process may be left alone
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            arguments = end.recv()
            try:
                outcome = True, function(*arguments)
            except Exception as error:
                error.add_note(traceback.format_exc())
                outcome = False, error
            end.send(outcome)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os._exit(1)
