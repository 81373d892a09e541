"""Workers do what they are given, and are gone when their parent is, however it went."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ppl_vae.runtime.workers import WorkerKilledError, work_off
from tests import jobs


def wait_for(condition: Callable[[], bool], seconds: float = 100.0) -> float:
    """Until it holds; how long that took. A machine may have much else to do."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.01)
    return time.monotonic() - start


def alive(pid: int) -> bool:
    """Whether it runs: what has ended is there until somebody asks how."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def begun(folder: Path) -> list[int]:
    return [int(text) for path in folder.glob("begun-*") if (text := path.read_text())]


def start(job: str, folder: Path) -> tuple["subprocess.Popen[str]", list[int]]:
    """A parent with two workers at work, in a process group of their own as from a terminal; their numbers."""
    command = [sys.executable, "-m", "tests.jobs", job, str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: len(begun(folder)) == 2 or process.poll() is not None)
    return process, begun(folder)


def test_results_come_in_order() -> None:
    done: list[None] = []
    assert work_off(jobs.double, [(number,) for number in range(5)], 2, lambda: done.append(None)) == [0, 2, 4, 6, 8]
    assert len(done) == 5


def test_a_worker_that_is_killed_is_an_error_of_its_own() -> None:
    with pytest.raises(WorkerKilledError):
        work_off(jobs.die, [(0,), (1,)], 1, lambda: None)


def test_what_a_call_raises_does_not_wait_for_the_others(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        work_off(jobs.fail, [(tmp_path, 0), (tmp_path, 1)], 2, lambda: None)
    assert time.monotonic() - start < 50


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_stops_the_workers_in_good_order(tmp_path: Path, number: int) -> None:
    """As a terminal sends it: the workers leave it to their parent, which begins no other call."""
    process, workers = start("wait", tmp_path)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert {path.name for path in tmp_path.glob("saved-*")} == {"saved-0", "saved-1"}
    assert len(begun(tmp_path)) == 2
    assert not any(map(alive, workers))


@linux
def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    process, workers = start("stubborn", tmp_path)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    waited = wait_for(lambda: process.poll() is not None)
    assert process.returncode == 130
    assert waited < 8  # less than the patience with the first
    assert not any(map(alive, workers))
    process.communicate()


@linux
@pytest.mark.parametrize("job", ["wait", "stubborn"])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, job: str) -> None:
    process, workers = start(job, tmp_path)
    assert len(workers) == 2
    assert all(map(alive, workers))
    process.kill()
    wait_for(lambda: not any(map(alive, workers)), 20)
    process.communicate()


def test_a_worker_that_is_still_importing_ends_with_its_parent_too(tmp_path):
    """What it works off may import torch, which takes seconds in which nobody would notice that it is alone."""
    (tmp_path / "slow.py").write_text(
        "import multiprocessing, os, pathlib, time\n"
        "if multiprocessing.parent_process():\n"
        "    pathlib.Path(__file__).with_name('worker').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "def work(number): return number\n"
    )
    (tmp_path / "main.py").write_text(
        "if __name__ == '__main__':\n"
        "    from slow import work\n"
        "    from ppl_vae.runtime.workers import work_off\n"
        "    work_off(work, [(1,)], 1, lambda: None)\n"
    )
    process = subprocess.Popen([sys.executable, "main.py"], cwd=tmp_path)
    note = tmp_path / "worker"
    wait_for(lambda: note.exists() and bool(note.read_text()))
    process.kill()
    process.wait()
    assert wait_for(lambda: not alive(int(note.read_text()))) < 20
