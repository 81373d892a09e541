"""`make gpu-check`: what there is to see on a GPU, in 20 minutes at most, into a section of RESULTS.md.

Each part is a few commands that anybody can run alone. One that fails, or has no time left, says so in the section, and
the next goes on.

    python benchmarks/gpu_check.py [--only tests steps precision burda] [--minutes 20]
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.bench.machine import describe_machine
from ppl_vae.runtime.files import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
BEGIN, END = "<!-- gpu-check: begin -->", "<!-- gpu-check: end -->"
_KEPT = 30  # lines of what is no table
_NAMED = ("torch", "cuda", "pyro-ppl", "numpyro", "jax")


class Part(NamedTuple):
    """A part of the check.

    Args:
        title: its heading.
        minutes: the most that it takes.
        commands: one after the other, as words; what the last one prints is shown.
        tables: whether that is Markdown, or lines of text of which the last few are kept.
    """

    title: str
    minutes: float
    commands: list[list[str]]
    tables: bool = True


def parts(device: str, data_root: str, work: Path, tiny: bool) -> dict[str, Part]:
    """All parts by name, in their order.

    Args:
        device: where to compute.
        data_root: the folder of torchvision's data sets.
        work: a folder that is thrown away.
        tiny: as little as there can be of each, to try this script.
    """
    vae, on, run = [sys.executable, "-m", "ppl_vae"], ["--device", device], str(work / "burda")
    tests = ["tests/test_cuda.py", "-k", "same_noise"] if tiny else ["tests", "-m", "cuda", "-n", "4"]
    only = ["steps"] if tiny else ["steps", "evaluation"]
    short = ["--sizes", "digits", "--contenders", "eager", "floor", "--repeats", "1", "--steps", "1"] if tiny else []
    precision = [*short, "--only", "steps"] if tiny else ["--only", "precision"]
    data = ["digits", "--epochs", "1"] if tiny else ["mnist", "--epochs", "20", "--kl-warmup", "5"]
    train = [*vae, "train", "--preset", "burda-1", "--data", *data, "--data-root", data_root, *on, "--out", run]
    draws = "10" if tiny else "1000"
    bound = [*vae, "evaluate", run, "--estimator", "iwae", "--num-samples", draws, "--limit", draws, *on]
    return {
        "tests": Part("Tests marked cuda", 6, [[sys.executable, "-m", "pytest", *tests]], tables=False),
        "steps": Part("Steps and draws", 9, [[*vae, "bench", "--only", *only, *short, *on]]),
        "precision": Part("Precision", 5, [[*vae, "bench", *precision, *on]]),
        # The row of these settings under "Layers and priors".
        "burda": Part("Burda's, one draw: −95.00 ± 0.82 on a CPU", 5, [train, bound], tables=False),
    }


def measured(part: Part, seconds: float, work: Path) -> tuple[str, bool]:
    """The part's piece of the section, and whether all went well.

    Args:
        part: what to run.
        seconds: how long that may take in all.
        work: the folder that is thrown away; commands are shown with another in its place.
    """
    ends, out = time.monotonic() + min(60 * part.minutes, seconds), ""
    lines = [f"### {part.title}", "", "```"]
    for command in part.commands:
        shown = shlex.join(["python" if word == sys.executable else word for word in command])
        lines.append(shown.replace(str(work), "runs"))
        print(f"gpu-check: {lines[-1]}", flush=True)
        status, out, errors = run(command, ends - time.monotonic())
        if status != 0:
            said = (errors.strip() or out.strip() or "nothing was said").splitlines()[-1]
            why = "Ended, its time was up." if status is None else f"Failed with status {status}: {said}"
            return "\n".join([*lines, "```", "", why]), False
    if part.tables:
        # Its headings one level down: they stand under the part's.
        shown = "\n".join(f"#{line}" if line.startswith("###") else line for line in out.strip().splitlines())
        return "\n".join([*lines, "```", "", shown]), True
    return "\n".join([*lines, "", *out.strip().splitlines()[-_KEPT:], "```"]), True


def run(command: list[str], seconds: float) -> tuple[int | None, str, str]:
    """Status, output and errors of a command; the status is None where it, and all that it started, had to be ended."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        status: int | None = None
        if seconds > 0:
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=errors, start_new_session=True)
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            except BaseException:  # Ctrl-C reaches this process alone
                os.killpg(process.pid, signal.SIGKILL)
                raise
        out.seek(0)
        errors.seek(0)
        return status, out.read(), errors.read()


def put(section: str, path: Path) -> None:
    """Write the section into a file, in place of the one that is there, or at its end."""
    text = path.read_text() if path.exists() else ""
    before, begins, rest = text.partition(BEGIN)
    after = rest.partition(END)[2] if begins else "\n"
    write_text(path, f"{before.rstrip()}\n\n{BEGIN}\n{section.strip()}\n{END}{after}".lstrip())


def install_numpyro() -> None:
    """NumPyro takes part where jax has the GPU; where no jax goes with this torch, the tables say it is left out."""
    torch_itself, _, _ = torch.__version__.partition("+")
    cuda, _, _ = (torch.version.cuda or "").partition(".")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    status, _, errors = run([*pip, "-e", ".[bench]", f"jax[cuda{cuda}]", f"torch=={torch_itself}"], 300)
    if status != 0:
        print("gpu-check: jax could not be installed for this GPU", errors.strip()[-200:], sep="; ", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts, and write the section after each."""
    parser = argparse.ArgumentParser(description="Measure on a GPU and write a section of benchmarks/RESULTS.md.")
    parser.add_argument("--only", nargs="+", choices=["tests", "steps", "precision", "burda"], metavar="PART")
    parser.add_argument("--minutes", type=float, default=20.0, help="for all parts together")
    parser.add_argument("--data-root", default="data", help="of burda: the folder of torchvision's data sets")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file with the section")
    parser.add_argument("--install", action="store_true", help="first install NumPyro, and jax for this GPU")
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print("gpu-check: there is no CUDA GPU on this machine, and so nothing to measure.", file=sys.stderr)
        return 2
    ends = time.monotonic() + 60 * asked.minutes
    if asked.install:
        install_numpyro()
    machine = describe_machine(asked.device)
    command = shlex.join(["python", "benchmarks/gpu_check.py", *(sys.argv[1:] if arguments is None else arguments)])
    versions = ", ".join(f"{name} {machine[name]}" for name in _NAMED if name in machine)
    pieces = [f"## On {machine['device']}\n\n`{command}`, {machine['date']}: {versions}; CPU {machine['cpu']}."]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for part, commands in parts(asked.device, asked.data_root, work, asked.tiny).items():
            if not asked.only or part in asked.only:
                piece, well = measured(commands, ends - time.monotonic(), work)
                pieces.append(piece)
                failed += not well
                put("\n\n".join(pieces), asked.results)
    print(f"gpu-check: {asked.results} has the figures; {failed} of {len(pieces) - 1} parts failed or had no time")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
