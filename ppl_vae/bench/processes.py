"""Fresh processes, for what a process pays once."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ppl_vae.runtime.errors import UserError


def run(command: Sequence[str], more: Mapping[str, str] | None = None) -> str:
    """Run a command whose Python finds our package where this process has it from, installed or not.

    Args:
        command: the program and its arguments.
        more: environment variables beside this process's own.

    Returns:
        what it printed.

    Raises:
        UserError: it failed; the message has its last line.
    """
    folder = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([folder, *([others] if others else [])])
    environment = {**os.environ, "PYTHONPATH": path, **(more or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"a process of the benchmark failed ({last}); leave it out with --only.")
    return done.stdout
