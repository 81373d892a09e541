"""``ppl-vae generators``: what baselines and trained models generate, side by side."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from tyro.conf import Positional

from ppl_vae.data import DataConfig
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.generators import Generator, generators, labels_in, of_baseline, of_model
from ppl_vae.predictive.rendering import check_drawable
from ppl_vae.runs.baseline import BaselineRun
from ppl_vae.runs.opened import open_run, refuse_unlike
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, write_samples
from ppl_vae.runs.record import is_baseline
from ppl_vae.runtime.config import Seed, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded

_Few = Annotated[int, Field(ge=1, le=50)]


@config
class Generators:
    """Lay draws of baselines and of trained models side by side, under test data of the same set.

    The pictures are free of pixel noise: E[x | z] of a model, z from its prior; of a baseline E[x | t], t its principal
    components. Arrays: data, and means_k of run k = 0, 1, ...

    examples:
      ppl-vae baseline gaussian --out runs/gaussian
      ppl-vae baseline mixture --out runs/mixture
      ppl-vae train --out runs/vae
      ppl-vae generators runs/gaussian runs/mixture runs/vae
    """

    run_directories: Positional[tuple[Path, ...]]
    """Run directories of 'ppl-vae baseline' and 'ppl-vae train' on the same data."""
    rows: _Few | None = None
    """Rows of draws of each, 2 unless something is said; with --by-label there is one for each label."""
    columns: _Few = 10
    """Draws in a row."""
    by_label: bool = False
    """A row for each label, of baselines and conditional models."""
    out: Path | None = None
    """The .npz to write, with a picture (.png, .svg) beside it; by default generators-N.npz here."""
    seed: Seed = 0
    """Seed of the draws."""
    opening: Opening = field(default_factory=Opening)
    """Where the runs' data is now, and whether their own code may run."""
    device: str = "auto"
    """Where trained models compute: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> None:
        """Sample, write, draw."""
        if not self.run_directories:
            raise UserError("name one or more runs: ppl-vae generators RUN RUN.")
        if self.by_label and self.rows:
            raise UserError("--rows: with --by-label there is a row for each label; leave one of them out.")
        refuse_existing_arrays(self.out or _free())
        sources = [_open(path, self.device, self.opening) for path in self.run_directories]
        first = sources[0]
        check_drawable(first.info.event_shape)
        refuse_unlike([(source.path, source.settings, source.info.fingerprint) for source in sources])
        splits = self.opening.read(first.path, first.info, first.settings)
        labels = labels_in(splits.train) if self.by_label else None
        sheets = {f"{k}. {source.in_words}": self._sheet(source, labels) for k, source in enumerate(sources, start=1)}
        all_means = all(source.generator.shows_means for source in sources)
        made = generators(sheets, splits.test or splits.train, first.info, labels, all_means=all_means)
        title = f"{Path(first.settings.data).name} ({', '.join(path.name for path in self.run_directories)})"
        out = write_samples(self.out, _free, made, title)
        print(f"arrays   {out}")
        print(f"picture  {out.with_suffix('.png')}")

    def _sheet(self, source: "_Source", labels: Tensor | None) -> Tensor:
        with seeded(self.seed, source.device):
            try:
                return source.generator.sheet(self.rows or 2, self.columns, labels)
            except UserError as error:
                raise UserError(f"{source.path}: {error}") from None


class _Source(NamedTuple):
    """A run that observations are drawn from."""

    path: Path
    info: DataInfo
    settings: DataConfig
    in_words: str
    device: torch.device
    generator: Generator


def _open(path: Path, device: str, opening: Opening) -> _Source:
    if is_baseline(path):
        baseline = BaselineRun.open(path)
        found = baseline.record
        classifier = of_baseline(baseline.load(), found.info)
        return _Source(path, found.info, found.config.data, found.in_words, torch.device("cpu"), classifier)
    opened = open_run(path, device, opening)
    drawn = of_model(opened.pair.model, opened.info)
    return _Source(path, opened.info, opened.run.record.config.data, opened.in_words, opened.device, drawn)


def _free() -> Path:
    return numbered(Path(), "generators", ".npz", ".png", ".svg")
