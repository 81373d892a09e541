"""Several commands at once in one folder, as a loop in a shell starts them: each has a run of its own, whole.

    python -m tests.soak.together --rounds 10 --data mnist --data-root data

from the root of a checkout: ten times over, three ``ppl-vae train --data mnist --seed S`` at once.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import yaml

from ppl_vae.runtime import checkpoint

_SMALL = ("--hidden", "16", "--latent-dim", "2", "--device", "cpu")
_FILES = (
    "config.yaml",
    "metrics.csv",
    "model.safetensors",
    "checkpoint.pt",
    "report.html",
    "figures/training.png",
    "figures/training.svg",
)


def together(
    rounds: int, folder: Path, data: Sequence[str], epochs: int, complain: Callable[[str], object], seeds: int = 3
) -> int:
    """Train with each of some seeds at once, several times over, and look at every run.

    Args:
        rounds: how many times.
        folder: where; the runs are in its ``runs/``.
        data: flags that name the data.
        epochs: of each run.
        complain: called with whatever is wrong.
        seeds: how many at once.

    Returns:
        how many runs there are.
    """
    first: dict[int, dict[str, torch.Tensor]] = {}
    places: list[Path] = []
    for number in range(rounds):
        commands = [_start(folder, [*data, *_SMALL, "--epochs", str(epochs), "--seed", str(s)]) for s in range(seeds)]
        for seed, process in enumerate(commands):
            out, err = process.communicate()
            name = f"round {number + 1}, seed {seed}"
            if process.returncode or "Traceback" in err:
                complain(f"{name}: exit {process.returncode}: {err.strip()}")
                continue
            place = folder / next(line.split()[-1] for line in out.splitlines() if line.startswith("run "))
            if place in places:
                complain(f"{name}: {place} is another's")
            places.append(place)
            weights = _weights(place, seed, epochs, lambda what, name=name: complain(f"{name}: {what}"))
            same = first.setdefault(seed, weights)  # alone or beside others, a seed gives the same weights
            if weights.keys() != same.keys() or not all(torch.equal(weights[key], same[key]) for key in weights):
                complain(f"{name}: other weights than in the first round")
    if found := sorted(set((folder / "runs").iterdir()) - set(places)):
        complain(f"besides the runs there are {', '.join(map(str, found))}")
    return len(places)


def _start(folder: Path, flags: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ppl_vae", "train", *flags],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _weights(place: Path, seed: int, epochs: int, complain: Callable[[str], object]) -> dict[str, torch.Tensor]:
    """See that a run is whole and one process's, and return what it learned."""
    if missing := [name for name in _FILES if not (place / name).is_file()]:
        complain(f"{place} has no {', '.join(missing)}")
        return {}
    if left := [path.name for path in place.rglob("*.partial")]:
        complain(f"{place} holds {', '.join(left)}")
    recorded = yaml.safe_load((place / "config.yaml").read_text())["config"]["fit"]
    if (recorded["seed"], recorded["epochs"]) != (seed, epochs):
        complain(f"{place} records seed {recorded['seed']}, {recorded['epochs']} epochs")
    state = checkpoint.load(place / "checkpoint.pt")
    with (place / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for what, found in (
        ("metrics.csv", [int(row["epoch"]) for row in rows]),
        ("the checkpoint", [row["epoch"] for row in state["history"]]),
    ):
        if found != list(range(1, epochs + 1)):
            complain(f"{place}: {what} has epochs {found}")
    if [float(row["elbo"]) for row in rows] != [row["elbo"] for row in state["history"]]:
        complain(f"{place}: metrics.csv is of another run than its checkpoint")
    return {f"{kind}.{name}": value for kind in ("model", "guide") for name, value in state[kind].items()}


def main() -> int:
    """Run it and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.together")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    asked = parser.parse_args()
    wrong: list[str] = []

    def complain(what: str) -> None:
        wrong.append(what)
        print(what, flush=True)

    start = time.monotonic()
    data = ["--data", asked.data, "--data-root", str(asked.data_root.absolute())]
    with tempfile.TemporaryDirectory() as name:
        runs = together(asked.rounds, Path(name), data, asked.epochs, complain)
    print(f"{runs} runs, three at once: {len(wrong)} wrong, {(time.monotonic() - start) / 60:.0f} min")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
