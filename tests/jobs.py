"""What the workers of ``test_workers.py`` are given to do; run as a program, it gives it to two of them."""

import os
import signal
import sys
import time
from pathlib import Path

from ppl_vae.runtime.interrupt import InterruptGuard, answer_with
from ppl_vae.runtime.workers import work_off


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(folder: Path, number: int) -> None:
    """The first call fails as soon as the second has begun, which lasts long."""
    begun = folder / "begun"
    if number:
        begun.touch()
        time.sleep(60)
    while not begun.exists():
        time.sleep(0.01)
    raise ValueError("no")


def wait_to_be_stopped(folder: Path, number: int) -> None:
    """Until a signal comes; then put things in order."""
    with InterruptGuard() as interrupt:
        (folder / f"begun-{number}").write_text(f"{os.getpid()}")
        while not interrupt.requested:
            time.sleep(0.01)
    (folder / f"saved-{number}").touch()
    raise KeyboardInterrupt


def be_stubborn(folder: Path, number: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / f"begun-{number}").write_text(f"{os.getpid()}")
    time.sleep(60)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    answer_with(_stop)
    job = {"wait": wait_to_be_stopped, "stubborn": be_stubborn}[sys.argv[1]]
    try:
        work_off(job, [(Path(sys.argv[2]), number) for number in range(4)], 2, lambda: None)
    except KeyboardInterrupt:
        sys.exit(130)
