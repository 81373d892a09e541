"""Commands in processes of their own, which can be killed, and what they leave running."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MARK = "PPL_VAE_SOAK"  # in the environment of a command and of all that it starts
_PATIENCE = 600.0  # for what should end by itself, on a machine that others use too


class Ended(NamedTuple):
    """A command that has ended.

    Args:
        status: its exit status; below 0 the signal that ended it.
        out: its standard output.
        err: its standard error.
        orphans: how many of the processes that it started were there 5 s later.
        hangs: whether it had to be killed.
    """

    status: int
    out: str
    err: str
    orphans: int
    hangs: bool


def run(arguments: Sequence[object], folder: Path, signals: Sequence[tuple[float, signal.Signals]] = ()) -> Ended:
    """Run a command, and send it signals.

    Args:
        arguments: what follows ``ppl-vae``.
        folder: where it is run.
        signals: when each is sent, in seconds after the one before, and which.
    """
    mark = uuid.uuid4().hex
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # files: a pipe can be full
        process = subprocess.Popen(
            [sys.executable, "-m", "ppl_vae", *map(str, arguments)],
            cwd=folder,
            stdout=out,
            stderr=err,
            env={**os.environ, _MARK: mark, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        for delay, number in signals:
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.send_signal(number)  # to this process alone, as the system's own killer does
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        hangs = process.poll() is None
        process.kill()  # nothing, where it has ended
        status = process.wait()
        orphans = _left(mark)
        for each in orphans:
            os.kill(each, signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        return Ended(status, out.read(), err.read(), len(orphans), hangs)


def _left(mark: str) -> list[int]:
    """The processes with this mark that do not end within 5 s."""
    until = time.monotonic() + 5
    while (found := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:  # it has just ended, or is somebody else's
                continue
            if f"{_MARK}={mark}".encode() in environment:
                found.append(int(entry.name))
    return found
