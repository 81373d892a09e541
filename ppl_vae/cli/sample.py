"""``ppl-vae sample RUN WHAT``: what every kind of picture from a trained model shares."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tyro.conf import Positional

from ppl_vae.data.labels import number_of
from ppl_vae.predictive.rendering import files_of, takes_labels
from ppl_vae.runs.opened import OpenedRun, check_drawable, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, refuse_existing_file, write_new, write_together
from ppl_vae.runtime.config import Seed, config
from ppl_vae.runtime.errors import UserError, unknown_name
from ppl_vae.runtime.files import make_folder
from ppl_vae.runtime.seeding import seeded

_SEQUENCES = {"text": ".txt", "notes": ""}  # a file of lines, a folder of pieces, beside the .npz
_LINES = 8  # of text, shown on the terminal

# Name -> where its dataclass is and what it does; the second word of the command line.
WHAT = {
    "prior": ("ppl_vae.cli.draws:Prior", "z ~ p(z), x ~ p(x | z)"),
    "posterior": ("ppl_vae.cli.draws:Posterior", "z ~ q(z | observation), x ~ p(x | z)"),
    "conditional": ("ppl_vae.cli.draws:Conditional", "z ~ p(z), x ~ p(x | z, y), of a conditional model"),
    "grid": ("ppl_vae.cli.draws:Grid", "the plane of a 2-D latent, cut into squares"),
    "interpolate": ("ppl_vae.cli.walks:Interpolate", "the way from one image to the next"),
    "arithmetic": ("ppl_vae.cli.arithmetic:Arithmetic", "images moved along a direction: 'class b less class a'"),
    "traverse": ("ppl_vae.cli.walks:Traverse", "one unit of the latent after the other, by its KL"),
    "neighbours": ("ppl_vae.cli.neighbours:Neighbours", "the nearest images in latent space"),
}


def find_what(arguments: list[str]) -> str | None:
    """The kind of picture that a command line asks for; None if it asks for help on all of them.

    Raises:
        UserError: none that is known.
    """
    words = [word for word in arguments if not word.startswith("-")]
    named = [word for word in words[1:] if word in WHAT]  # not the first: a run may have any name
    if named:
        return named[0]
    if len(words) < 2 and (not arguments or {"-h", "--help"} & set(arguments)):
        return None
    if len(words) < 2:
        raise UserError(f"say a run and what to sample: ppl-vae sample RUN {'|'.join(WHAT)}.")
    raise unknown_name("thing to sample", words[1], WHAT)


def overview() -> str:
    """The help on all of them."""
    rows = "\n".join(f"  {name:<13}{what}" for name, (_, what) in WHAT.items())
    return (
        "usage: ppl-vae sample RUN WHAT ...\n\n"
        "Sample a trained model: arrays in an .npz, and a picture of them beside it.\n\n"
        f"{rows}\n\nexamples:\n  ppl-vae sample runs/digits-1 prior --num-samples 100\n"
        "  ppl-vae sample runs/digits-1 interpolate --images 0 5 9 --path spherical\n"
        "  ppl-vae sample runs/digits-1 arithmetic --from-label 4 --to-label 9\n\n"
        "ppl-vae sample RUN WHAT --help tells its flags."
    )


class Made(NamedTuple):
    """What was sampled.

    Args:
        arrays: by name.
        figure: a picture of them.
        words: what else there is to say, a line each.
        sequences: of text or music, what is written as such; see :func:`ppl_vae.predictive.rendering.files_of`.
    """

    arrays: dict[str, Tensor]
    figure: Figure
    words: tuple[str, ...] = ()
    sequences: Mapping[str, Tensor] = MappingProxyType({})


@config
class Sampling(ABC):
    """What all kinds share."""

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    what: Positional[str]
    """What to sample."""
    out: Path | None = None
    """The .npz to write, with a picture (.png, .svg) beside it; by default the next free RUN/samples/WHAT-N.npz."""
    seed: Seed = 0
    """Seed of the draws, bits of grey levels included."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    @abstractmethod
    def make(self, opened: OpenedRun) -> Made:
        """Sample, from torch's own generator."""

    def run(self) -> None:
        """Sample, write, draw."""
        if self.out:
            refuse_existing_arrays(self.out)
        opened = open_run(self.run_directory, self.device, self.opening)
        if self.out and (suffix := _SEQUENCES.get(opened.info.layout)) is not None:
            refuse_existing_file(self.out.with_suffix(suffix))
        check_drawable(opened.event_shape)
        with seeded(self.seed, opened.device):
            made = self.make(opened)
        arrays = {name: value.cpu().numpy() for name, value in made.arrays.items()}

        def files(out: Path) -> dict[str, bytes]:
            return files_of(opened.info, out.stem, made.sequences)

        out = write_new(
            self.out,
            lambda: self._default_out(opened),
            lambda out: write_together(out, arrays, made.figure, files(out)),
        )
        print(f"arrays   {out}: " + ", ".join(f"{name} {tuple(value.shape)}" for name, value in made.arrays.items()))
        print(f"picture  {out.with_suffix('.png')}")
        print_files(out.parent, files(out))
        for line in made.words:
            print(line)

    def _default_out(self, opened: OpenedRun) -> Path:
        folder = opened.run.path / "samples"
        make_folder(folder)
        return numbered(folder, self.what, ".npz", ".png", ".svg", ".txt", "")


def print_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Say where text or music was written, and what the first lines are."""
    for name, data in list(files.items())[:1]:
        if name.endswith(".txt"):
            lines = data.decode().splitlines()
            print(f"text     {folder / name}")
            print("\n".join(f"  {line}" for line in lines[:_LINES]))
        else:
            print(f"music    {(folder / name).parent}: {len(files)} MIDI files")


def caption(opened: OpenedRun, what: str) -> str:
    """What a picture shows, and of which run."""
    config = opened.run.record.config
    return f"{Path(config.data.data).name}: {config.in_words} ({opened.run.path.name}). {what[0].upper()}{what[1:]}"


def shown_in(opened: OpenedRun) -> str:
    """What is to be said of pictures of observations that the guide saw as bits."""
    drawn = opened.run.record.config.data.binarization == "dynamic" and opened.info.layout == "plain"
    return " (in grey; q saw bits drawn from them)" if drawn else ""


def label_number(opened: OpenedRun, label: int | None) -> int | None:
    """The number by which a conditional model knows the label of ``--label``; None if there is none.

    Raises:
        UserError: the model takes no labels, or its training data has no such label.
    """
    if label is None:
        return None
    if not takes_labels(opened.pair.model, opened.info):
        raise UserError("--label: this run's model takes no labels; train one with --model conditional.")
    return number_of(opened.info, label, "label")


def labels_of(label: int | None, own: Tensor | None, opened: OpenedRun) -> Tensor | None:
    """The numbers of the labels to decode under: of the one asked for, else of the observations' own; None unless the
    model takes any."""
    if own is None or not takes_labels(opened.pair.model, opened.info):
        return None
    return own if label is None else torch.full_like(own, label)
