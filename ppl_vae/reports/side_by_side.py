"""Runs side by side: what baselines and trained models draw, latent planes with their empty places, codes perturbed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.data import DataConfig
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.generators import Generator, generators, labels_in, of_baseline, of_model
from ppl_vae.predictive.latent_space.perturbations import Span, Steps, perturbations
from ppl_vae.predictive.latent_space.planes import NumPlaces, holes, hollow_plane
from ppl_vae.predictive.rendering import check_drawable
from ppl_vae.predictive.samples import Samples
from ppl_vae.runs.baseline import BaselineRun
from ppl_vae.runs.opened import AS_RECORDED, OpenedRun, SplitName, open_run, refuse_unlike
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.record import is_baseline
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded


class SideBySide(NamedTuple):
    """What several runs have to show.

    Args:
        samples: of all of them.
        title: what the caption of their picture begins with: the data, and the names of the runs.
    """

    samples: Samples
    title: str


class _Source(NamedTuple):
    """A run that observations are drawn from."""

    path: Path
    info: DataInfo
    settings: DataConfig
    in_words: str
    device: torch.device
    generator: Generator


@in_range
def draws_of_runs(
    paths: Sequence[Path],
    rows: Count | None = None,
    columns: Count = 10,
    *,
    by_label: bool = False,
    seed: Seed = 0,
    device: str = "auto",
    opening: Opening = AS_RECORDED,
) -> SideBySide:
    """Draws of baselines and of trained models on the same data, a sheet of each, under test data.

    Args:
        paths: of their directories, at least one.
        rows: of a sheet; 2 if None. With ``by_label`` there is one for each label.
        columns: draws in a row.
        by_label: a row for each label, of baselines and conditional models.
        seed: of the draws; each run has the same one.
        device: where trained models compute, ``auto`` or a device's name.
        opening: where the runs' data is now, and whether their own code may run.

    Raises:
        UserError: no run, or one that cannot be opened or drawn from so; runs of unlike data.
    """
    _refuse_none(paths)
    if by_label and rows:
        raise UserError("`rows`: with `by_label` there is a row for each label; leave one of them out.")
    sources = [_open(path, device, opening) for path in paths]
    first = sources[0]
    check_drawable(first.info.event_shape)
    refuse_unlike([(source.path, source.settings, source.info.fingerprint) for source in sources])
    splits = opening.read(first.path, first.info, first.settings)
    labels = labels_in(splits.train) if by_label else None
    sheets = {}
    for number, source in enumerate(sources, start=1):
        with seeded(seed, source.device), _named(source.path):
            sheets[f"{number}. {source.in_words}"] = source.generator.sheet(rows or 2, columns, labels)
    all_means = all(source.generator.shows_means for source in sources)
    made = generators(sheets, splits.test or splits.train, first.info, labels, all_means=all_means)
    return SideBySide(made, _title(first.settings, paths))


@in_range
def planes_of_runs(
    paths: Sequence[Path],
    num_places: NumPlaces = 8,
    limit: Count = 2000,
    split: SplitName = "test",
    *,
    seed: Seed = 0,
    device: str = "auto",
    opening: Opening = AS_RECORDED,
) -> SideBySide:
    """The latent planes of runs on the same data, with what decodes from the largest empty places among their codes.

    Args:
        paths: of their directories, at least one; their latents are of size 2.
        num_places: how many empty places of each, the largest first.
        limit: how many datapoints' codes.
        split: where they come from.
        seed: of grey levels' bits and of draws.
        device: where to compute, ``auto`` or a device's name.
        opening: where the runs' data is now, and whether their own code may run.

    Raises:
        UserError: no run, or one that cannot be opened or is no plane; runs of unlike data.
    """
    opened = _open_alike(paths, device, opening)
    planes = {}
    for name, run in opened.items():
        data = run.split(split, limit).fixed(seed)
        with seeded(seed, run.device), _named(run.run.path):
            planes[name] = hollow_plane(*run.pair, data, run.info, num_places)
    return SideBySide(holes(planes, data, run.info, split), _title(run.settings.data, paths))


@in_range
def perturbed_codes_of_runs(
    paths: Sequence[Path],
    images: Sequence[int] = (),
    steps: Steps = 9,
    span: Span = 4.0,
    limit: Count = 2000,
    split: SplitName = "test",
    *,
    seed: Seed = 0,
    device: str = "auto",
    opening: Opening = AS_RECORDED,
) -> SideBySide:
    """Codes of the same observations, moved step by step in one random direction and decoded by each run, on one scale.

    Args:
        paths: of their directories, at least one, trained on the same data.
        images: rows of the split; by default the first three.
        steps: decoded codes of each image, its own the first.
        span: how far the last is off, in posterior standard deviations;
            see :func:`ppl_vae.predictive.latent_space.perturbations.perturbations`.
        limit: how many datapoints the codes' spread is taken over.
        split: where they come from.
        seed: of the direction, of grey levels' bits and of draws.
        device: where to compute, ``auto`` or a device's name.
        opening: where the runs' data is now, and whether their own code may run.

    Raises:
        UserError: no run, or one that cannot be opened or has no answer to the data; runs of unlike data; no such row.
    """
    opened = _open_alike(paths, device, opening)
    first = next(iter(opened.values()))
    pairs = {name: (run.model, run.guide) for name, run in opened.items()}
    with seeded(seed, first.device):
        made = perturbations(pairs, first.split(split), first.info, images, steps, span, limit, split, seed)
    return SideBySide(made, _title(first.settings.data, paths))


def _open_alike(paths: Sequence[Path], device: str, opening: Opening) -> dict[str, OpenedRun]:
    """Runs of the same data, which can be drawn, by the name that a picture gives them."""
    _refuse_none(paths)
    opened = [open_run(path, device, opening) for path in paths]
    for run in opened:
        check_drawable(run.event_shape)
    refuse_unlike([(run.run.path, run.settings.data, run.info.fingerprint) for run in opened])
    if len(opened) == 1:
        return {opened[0].in_words: opened[0]}
    return {f"{number}. {run.in_words}": run for number, run in enumerate(opened, start=1)}


def _open(path: Path, device: str, opening: Opening) -> _Source:
    if is_baseline(path):
        baseline = BaselineRun.open(path)
        found = baseline.record
        classifier = of_baseline(baseline.load(), found.info)
        return _Source(path, found.info, found.config.data, found.in_words, torch.device("cpu"), classifier)
    opened = open_run(path, device, opening)
    drawn = of_model(opened.pair.model, opened.info)
    return _Source(path, opened.info, opened.run.record.config.data, opened.in_words, opened.device, drawn)


def _refuse_none(paths: Sequence[Path]) -> None:
    if not paths:
        raise UserError("name one or more runs.")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What is wrong with a run is said with its path."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _title(settings: DataConfig, paths: Sequence[Path]) -> str:
    return f"{Path(settings.data).name} ({', '.join(path.name for path in paths)})"
