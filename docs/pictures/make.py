"""Every picture of the README and of docs/, and the commands that make it: ``make figures``.

python docs/pictures/make.py [--data-root FOLDER] [--fresh] [NAME ...]

The commands are those that the pages show, run in ``runs/figures``. What was trained there by the same command is used
again, and said so; all else is made anew. MNIST is downloaded into --data-root where it is not there yet.
"""

import argparse
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image  # matplotlib brings it

from ppl_vae.cli.main import main as ppl_vae

PICTURES_FOLDER = Path(__file__).resolve().parent
WORK_FOLDER = PICTURES_FOLDER.parents[1] / "runs" / "figures"
LARGEST = {".png": 300_000, ".gif": 5_000_000}
"""Bytes that a picture may have."""
COLORS = 64
"""Of a PNG that would be larger: enough for greys. Rare colours can fall together, so look at it."""


class Picture(NamedTuple):
    """Where a picture comes from.

    Args:
        file: to copy, in the folder where the commands are run.
        command: that makes the file of trained runs; none where a training has made it.
    """

    file: str
    command: str = ""


# Run -> the command that trains it.
TRAININGS = {
    "runs/digits-1": "ppl-vae train --data digits --latent-dim 2 --epochs 300",
    "runs/autoencoder": (
        "ppl-vae train --data mnist --latent-dim 2 --family point --kl-weight 0 --epochs 30 --out runs/autoencoder"
    ),
    "runs/vae": "ppl-vae train --data mnist --latent-dim 2 --epochs 30 --film --out runs/vae",
    "runs/mnist": "ppl-vae train --data mnist --latent-dim 20 --epochs 20 --out runs/mnist",
    "runs/labels": "ppl-vae train --data mnist --model conditional --latent-dim 10 --epochs 20 --out runs/labels",
    "runs/gaussian": "ppl-vae baseline gaussian --data mnist --out runs/gaussian",
    "runs/mixture": "ppl-vae baseline mixture --data mnist --out runs/mixture",
    "runs/clusters": "ppl-vae baseline mixture --num-components 10 --out runs/clusters",
    "runs/bits": "ppl-vae train --binarization static --epochs 200 --out runs/bits",
    "runs/compare": (
        "ppl-vae compare --guides amortized amortized:full-rank semi-amortized mean-field "
        "--epochs 300 --seeds 2 --out runs/compare"
    ),
}

PICTURES = {
    "digits-grid.png": Picture("runs/digits-1/figures/grid.png"),
    "digits-latent.png": Picture("runs/digits-1/figures/latent.png"),
    "digits-gaps.png": Picture(
        "gaps/gaps.png", "ppl-vae gaps runs/bits --families diagonal full-rank planar --out gaps"
    ),
    "holes.png": Picture("holes.png", "ppl-vae holes runs/autoencoder runs/vae --out holes.npz"),
    "perturb.png": Picture(
        "perturb.png", "ppl-vae perturb runs/autoencoder runs/vae --images 0 1 2 --span 16 --out perturb.npz"
    ),
    "graphical-model.png": Picture("runs/vae/figures/graphical-model.png"),
    "networks.png": Picture("runs/vae/figures/networks.png"),
    "reparameterisation.png": Picture("runs/vae/figures/reparameterisation.png"),
    "training.png": Picture("runs/vae/figures/training.png"),
    "latent.png": Picture("runs/vae/figures/latent.png"),
    "posteriors.png": Picture("runs/vae/figures/posteriors.png"),
    "grid.png": Picture("runs/vae/figures/grid.png"),
    "film.gif": Picture("runs/vae/film.gif"),
    "prior.png": Picture("runs/mnist/figures/prior.png"),
    "draws.png": Picture("draws.png", "ppl-vae sample runs/mnist prior --num-samples 20 --out draws.npz"),
    "codes.png": Picture("codes.png", "ppl-vae sample runs/vae codes --images 0 1 18 --out codes.npz"),
    "components.png": Picture("runs/clusters/figures/components.png"),
    "reconstructions.png": Picture("runs/mnist/figures/reconstructions.png"),
    "interpolate.png": Picture(
        "interpolate.png", "ppl-vae sample runs/mnist interpolate --images 1 2 4 11 --out interpolate.npz"
    ),
    "arithmetic.png": Picture(
        "arithmetic.png", "ppl-vae sample runs/mnist arithmetic --from-label 4 --to-label 9 --out arithmetic.npz"
    ),
    "traverse.png": Picture("traverse.png", "ppl-vae sample runs/mnist traverse --out traverse.npz"),
    "neighbours.png": Picture("neighbours.png", "ppl-vae sample runs/mnist neighbours --out neighbours.npz"),
    "labels.png": Picture("labels.png", "ppl-vae sample runs/labels conditional --out labels.npz"),
    "generators.png": Picture(
        "generators.png", "ppl-vae generators runs/gaussian runs/mixture runs/mnist --out generators.npz"
    ),
    "comparison.png": Picture("runs/compare/comparison.png"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description="Make the pictures of README and docs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(PICTURES)}; by default all")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder of torchvision's data sets")
    parser.add_argument("--fresh", action="store_true", help="train anew what is trained already")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(PICTURES):
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    data_root, began = options.data_root.resolve(), time.monotonic()
    if options.fresh:
        shutil.rmtree(WORK_FOLDER, ignore_errors=True)
    WORK_FOLDER.mkdir(parents=True, exist_ok=True)
    os.chdir(WORK_FOLDER)
    trained: set[str] = set()
    for name in options.names or PICTURES:
        picture = PICTURES[name]
        for run in runs_of(picture):
            if run not in trained:
                train(run, data_root)
                trained.add(run)
        make(name, picture)
    print(f"{len(options.names or PICTURES)} pictures in {time.monotonic() - began:.0f} s")


def runs_of(picture: Picture) -> list[str]:
    """The runs that a picture needs, in the order in which they are trained."""
    words = [*picture.command.split(), picture.file]
    return [run for run in TRAININGS if any(word == run or word.startswith(f"{run}/") for word in words)]


def train(run: str, data_root: Path) -> None:
    """Train a run, unless the same command has trained it before."""
    command, folder = TRAININGS[run], Path(run)
    done = folder / "command.txt"  # written at the end: what was interrupted is begun anew
    if done.is_file() and done.read_text() == command:
        print(f"\n{run} is there already (--fresh trains it anew)", flush=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    execute(command, "--data-root", str(data_root))
    done.write_text(command)


def make(name: str, picture: Picture) -> None:
    """Make a picture of runs that are trained, and put it where the pages look for it."""
    source, target = Path(picture.file), PICTURES_FOLDER / name
    if picture.command:
        if len(source.parts) > 1:
            shutil.rmtree(source.parts[0], ignore_errors=True)
        for suffix in (".npz", ".png", ".svg"):
            source.with_suffix(suffix).unlink(missing_ok=True)
        execute(picture.command)
    shutil.copyfile(source, target)
    if target.suffix == ".png" and target.stat().st_size > LARGEST[".png"]:
        Image.open(source).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)
    size, most = target.stat().st_size, LARGEST[target.suffix]
    if size > most:
        raise SystemExit(f"{name} has {size:,} bytes, more than {most:,}")
    print(f"\n=> {name}, {size / 1000:.0f} kB", flush=True)


def execute(command: str, *more: str) -> None:
    """Run a command of ours, in this process."""
    print(f"\n$ {command}", flush=True)
    if status := ppl_vae([*shlex.split(command)[1:], *more]):
        raise SystemExit(status)


if __name__ == "__main__":
    main()
