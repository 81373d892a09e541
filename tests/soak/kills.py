"""kill -9 at random moments, and signals: what was trained is not lost, and ends as if nothing had been."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.soak.jobs import JOBS, Job
from tests.soak.processes import Ended, run

_KILLS_OF_ONE = 6  # then it may end
# Before this Python itself is starting, and no line of ours has run.
_EARLIEST = 0.1


class Reference(NamedTuple):
    """What a job comes to when nobody stops it, and how long that takes."""

    outcome: object
    seconds: float


Complain = Callable[[str], None]


def reference(job: Job, folder: Path) -> Reference:
    """Run a job to its end."""
    start = time.monotonic()
    ended = run(job.command(folder / "whole"), folder)
    assert ended.status == 0, ended.err
    return Reference(job.outcome(folder / "whole"), time.monotonic() - start)


def references(folder: Path) -> dict[str, Reference]:
    """Of every job."""
    found = {}
    for name, job in JOBS.items():
        (folder / name).mkdir(parents=True)
        found[name] = reference(job, folder / name)
    return found


def killed(count: int, folder: Path, known: dict[str, Reference], seed: int, complain: Complain) -> int:
    """Kill jobs at random moments, again and again, until each ends; returns how often."""
    chance, done, number = random.Random(seed), 0, 0
    while done < count:
        name = chance.choice(list(JOBS))
        number += 1
        out = folder / f"{name}-killed-{number}"
        for _ in range(min(_KILLS_OF_ONE, count - done)):
            delay = chance.uniform(0, 1.1 * known[name].seconds)
            ended = run(JOBS[name].command(out), folder, [(delay, signal.SIGKILL)])
            where = f"kill {done + 1} of {name}, {delay:.2f} s after its start"
            _look(ended, where, complain)
            if ended.status != -signal.SIGKILL:
                if ended.status:
                    complain(f"{where}: exit {ended.status}, {ended.err[-300:]}")
                break
            done += 1
        _ends_alike(name, out, folder, known, f"{name} number {number}", complain)
    return done


def signalled(count: int, folder: Path, known: dict[str, Reference], seed: int, complain: Complain) -> int:
    """Stop jobs by Ctrl-C and SIGTERM, sometimes twice; each says so in one line, and goes on."""
    chance = random.Random(seed)
    for number in range(count):
        name = chance.choice(list(JOBS))
        out = folder / f"{name}-signalled-{number}"
        kind = chance.choice([signal.SIGINT, signal.SIGTERM])
        delay = chance.uniform(_EARLIEST, known[name].seconds)
        signals = [(delay, kind)]
        if chance.random() < 0.25:
            signals.append((chance.uniform(0, 2), kind))
        ended = run(JOBS[name].command(out), folder, signals)
        where = f"{kind.name} × {len(signals)} to {name}, {delay:.2f} s after its start"
        _look(ended, where, complain)
        if ended.status == 130:
            said = [line for line in ended.err.splitlines() if line.startswith("ppl-vae: ")]
            if len(said) != 1:
                complain(f"{where}: {len(said)} lines of ours: {ended.err[-500:]}")
        elif ended.status != 0:
            complain(f"{where}: exit {ended.status}, {ended.err[-300:]}")
        if ended.status:
            _ends_alike(name, out, folder, known, where, complain)
    return count


def _look(ended: Ended, where: str, complain: Complain) -> None:
    if "Traceback" in ended.out + ended.err:
        complain(f"{where}: traceback, {ended.err[-800:]}")
    if ended.hangs:
        complain(f"{where}: does not end")
    if ended.orphans:
        complain(f"{where}: {ended.orphans} orphans")


def _ends_alike(
    name: str, out: Path, folder: Path, known: dict[str, Reference], where: str, complain: Complain
) -> None:
    """Let a job that was stopped go on to its end, and see that it comes to what it would have come to."""
    if JOBS[name].again or not (out / "report.html").exists():  # a report is the last that any of them writes
        ended = run(JOBS[name].command(out), folder)
        if ended.status != 0:
            complain(f"{where}: lost, it cannot go on: exit {ended.status}, {ended.err[-300:]}")
            return
    if JOBS[name].outcome(out) != known[name].outcome:
        complain(f"{where}: went on to another end")
