"""``ppl-vae generators``: what baselines and trained models generate, side by side."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.data import DataConfig, Dataset, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import MOST_LABELS
from ppl_vae.predictive.draws import label_sheet, prior_predictive
from ppl_vae.predictive.rendering import images_of, shown_of, shows_means, takes_labels
from ppl_vae.runs.baseline import BaselineRun
from ppl_vae.runs.opened import OpenedRun, check_drawable, open_run, refuse_unlike
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, write_new, write_together
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
        rows = self.rows or 2
        refuse_existing_arrays(self.out or _free())
        sources = [_open(path, self.device, self.opening) for path in self.run_directories]
        first = sources[0]
        check_drawable(first.info.event_shape)
        refuse_unlike([(source.path, source.settings, source.info.fingerprint) for source in sources])
        splits = self.opening.read(first.path, first.info, first.settings)
        labels = self._labels(splits)
        blocks = {"data": _shown(splits.test or splits.train, rows, self.columns, labels)}
        arrays = {"data": blocks["data"]}
        for number, source in enumerate(sources):
            with seeded(self.seed, source.device):
                means = (
                    source.plain(rows * self.columns).unflatten(0, (rows, self.columns))
                    if labels is None
                    else source.by_label(labels, self.columns)
                )
            blocks[f"{number + 1}. {source.in_words}"] = arrays[f"means_{number}"] = means.cpu()
        names = [] if labels is None else [str(label) for label in first.info.labels_of(labels).tolist()]
        runs = ", ".join(path.name for path in self.run_directories)
        what = "p(x)" if labels is None else f"p(x | y), a row for each label y from {names[0]} to {names[-1]}"
        caption = (
            f"{Path(first.settings.data).name} ({runs}). Data, and draws from {what}, without the noise of pixels: "
            "E[x | latents], or of baselines E[x | principal components]."
        )
        if any(not source.shows_means for source in sources):
            caption += " Of sequence models draws of x itself."
        images = images_of(first.info, *blocks.values())
        figure = figures.blocks(dict(zip(blocks, images, strict=True)), names, caption)
        values = {name: value.numpy() for name, value in arrays.items()}
        out = write_new(self.out, _free, lambda out: write_together(out, values, figure))
        print(f"arrays   {out}")
        print(f"picture  {out.with_suffix('.png')}")

    def _labels(self, splits: Splits) -> Tensor | None:
        if not self.by_label:
            return None
        if splits.train.y is None:
            raise UserError("--by-label: this data has no labels.")
        labels: Tensor = splits.train.y.unique()
        return labels[:MOST_LABELS]


class _Source(ABC):
    """Something that images are drawn from."""

    def __init__(self, path: Path, info: DataInfo, settings: DataConfig, in_words: str, device: torch.device) -> None:
        self.path, self.info, self.settings, self.in_words, self.device = path, info, settings, in_words, device

    @property
    def shows_means(self) -> bool:
        """Whether what is drawn is shown by its mean, without noise."""
        return True

    @abstractmethod
    def plain(self, num: int) -> Tensor:
        """Draws from p(x), ``(num, *event)``."""

    @abstractmethod
    def by_label(self, labels: Tensor, num: int) -> Tensor:
        """Draws from p(x | y) for each label, ``(labels, num, *event)``."""


class _Baseline(_Source):
    def __init__(self, run: BaselineRun) -> None:
        record = run.record
        super().__init__(run.path, record.info, record.config.data, record.in_words, torch.device("cpu"))
        self.classifier = run.load()

    def plain(self, num: int) -> Tensor:
        return self.classifier.sample(num).means

    def by_label(self, labels: Tensor, num: int) -> Tensor:
        return torch.stack([self.classifier.sample(num, label).means for label in self.info.labels_of(labels).tolist()])


class _Trained(_Source):
    def __init__(self, opened: OpenedRun) -> None:
        record = opened.run.record
        super().__init__(opened.run.path, record.info, record.config.data, opened.in_words, opened.device)
        self.model = opened.pair.model

    @property
    def shows_means(self) -> bool:
        return shows_means(self.model, self.info)

    def plain(self, num: int) -> Tensor:
        if takes_labels(self.model, self.info):
            raise UserError(f"{self.path}: a conditional model has no p(y) to draw labels from; say --by-label.")
        shown, _ = shown_of(self.model, self.info, prior_predictive(self.model, self.info.event_shape, num))
        return shown

    def by_label(self, labels: Tensor, num: int) -> Tensor:
        if not takes_labels(self.model, self.info):
            raise UserError(f"{self.path}: its model takes no labels; leave --by-label out.")
        return label_sheet(self.model, self.info.event_shape, labels, num)


def _open(path: Path, device: str, opening: Opening) -> _Source:
    if is_baseline(path):
        return _Baseline(BaselineRun.open(path))
    return _Trained(open_run(path, device, opening))


def _shown(data: Dataset, rows: int, columns: int, labels: Tensor | None) -> Tensor:
    """The first observations, or the first of each label, ``(rows, columns, *event)``; NaN where there are no more."""
    if labels is None:
        chosen: Sequence[Tensor] = data.x[: rows * columns].split(columns)
    else:
        assert data.y is not None
        chosen = [data.x[data.y == label][:columns] for label in labels]
        rows = len(labels)
    shown = torch.full((rows, columns, *data.event_shape), torch.nan)
    for row, images in enumerate(chosen):
        shown[row, : len(images)] = images
    return shown


def _free() -> Path:
    return numbered(Path(), "generators", ".npz", ".png", ".svg")
