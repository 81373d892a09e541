"""What every kind of picture from a trained model shares: open, sample, write, say where."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from torch import nn
from tyro.conf import Positional

from ppl_vae.data import Dataset
from ppl_vae.guides.unseen import guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive import Samples
from ppl_vae.predictive.latent_space.codes import GuideFor
from ppl_vae.predictive.rendering import check_drawable
from ppl_vae.runs.opened import OpenedRun, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, refuse_existing_file, write_samples
from ppl_vae.runtime.config import Seed, config
from ppl_vae.runtime.files import make_folder
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded

_SEQUENCES = {"text": ".txt", "notes": ""}  # a file of lines, a folder of pieces, beside the .npz
_LINES = 8  # of text, shown on the terminal
_WIDE = 110  # characters of such a line: of a table's many columns the first
_QUIET_SECONDS = 2.0  # before a progress bar shows


@config
class Sampling(ABC):
    """What all kinds share."""

    run_directory: Positional[Path]
    """A run: a directory that 'ppl-vae train' wrote, a zip of it, or hf://OWNER/NAME on the Hugging Face Hub."""
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
    def make(self, opened: OpenedRun) -> Samples:
        """Sample, from torch's own generator."""

    def run(self) -> None:
        """Sample, write, draw."""
        if self.out:
            refuse_existing_arrays(self.out)
        opened = open_run(self.run_directory, self.device, self.opening)
        suffix = ".csv" if opened.info.columns else _SEQUENCES.get(opened.info.layout)
        if self.out and suffix is not None:
            refuse_existing_file(self.out.with_suffix(suffix))
        check_drawable(opened.event_shape)
        with seeded(self.seed, opened.device):
            made = self.make(opened)
        out = write_samples(self.out, lambda: self._default_out(opened), made, _title(opened))
        print(f"arrays   {out}: {made.shapes}")
        print(f"picture  {out.with_suffix('.png')}")
        print_files(out.parent, made.files(out.stem))
        for line in made.words:
            print(line)

    def _default_out(self, opened: OpenedRun) -> Path:
        folder = opened.run.path / "samples"
        make_folder(folder)
        return numbered(folder, self.what, ".npz", ".png", ".svg", ".txt", ".csv", "")


def print_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Say where text, a table or music was written, and what the first lines are."""
    for number, (name, data) in enumerate(files.items()):
        if name.endswith((".txt", ".csv")):
            lines = data.decode().splitlines()
            print(f"{'text ' if name.endswith('.txt') else 'table'}    {folder / name}")
            print("\n".join(f"  {line if len(line) <= _WIDE else line[: _WIDE - 1] + '…'}" for line in lines[:_LINES]))
        elif not number:
            print(f"music    {(folder / name).parent}: {len(files)} MIDI files")


def _title(opened: OpenedRun) -> str:
    config = opened.run.record.config
    data, run = Path(config.data.data).name, opened.run.path.name
    return f"{data}: {config.in_words}" + ("" if run == data else f" ({run})")


def unseen(opened: OpenedRun, settings: InferConfig, what: str = "codes") -> GuideFor:
    """The run's guide for any datapoints, by local inference where it has no answer; what is counted meanwhile."""

    def for_data(data: Dataset) -> nn.Module:
        with bar(len(data), "datapoint", what, delay=_QUIET_SECONDS) as done:
            return guide_for(*opened.pair, data, settings, done.update)

    return for_data
