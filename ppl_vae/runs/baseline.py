"""Run directories of baselines.

config.yaml      the resolved configuration, what was known of the data, versions
baseline.npz     the classifier
metrics.json     accuracy, by class too, and seconds
samples.npz      draws from p(x) and from p(x | y)
figures/         pictures
report.html      all of it on one page (see ppl_vae/reports/baseline.py)
"""

import json
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field

from ppl_vae.baselines.bayes import BayesClassifier, Kind, Sampled, fit_classifier
from ppl_vae.baselines.judging import judge
from ppl_vae.data import DataConfig, Dataset, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.rendering import check_drawable
from ppl_vae.runs.record import RunDirectory, versions
from ppl_vae.runtime.config import Count, Seed, Size, config
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import write_arrays, write_text
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded, stream

_NUM_SAMPLES = 64  # of p(x)
_NUM_OF_EACH = 10  # of each p(x | y)


@config
class BaselineConfig:
    """Everything that decides the outcome of a baseline."""

    data: DataConfig = field(default_factory=lambda: DataConfig(binarization="none"))
    """The data, as grey levels; bits are drawn once."""
    dims: Size = 50
    """Principal components; what they leave of x is noise of one variance. All of them, where there are not more."""
    ridge: Annotated[float, Field(ge=1e-6, le=1e3)] = 0.03
    """Variance that every direction has besides what was found: else a constant pixel had none."""
    num_components: Annotated[int, Field(ge=1, le=1000)] = 10
    """Mixtures: Gaussians a class, at most; superfluous ones end with little weight."""
    iterations: Count = 500
    """Mixtures: of variational Bayes, at most."""
    seed: Seed = 0
    """Seed of the mixtures' start and of the draws."""


@config
class BaselineRecord:
    """What ``config.yaml`` holds."""

    baseline: Kind
    config: BaselineConfig
    info: DataInfo
    versions: dict[str, str] = field(default_factory=lambda: versions("scikit-learn"))

    @property
    def in_words(self) -> str:
        """The classifier as captions name it."""
        return "Gaussian by class" if self.baseline == "gaussian" else "Gaussian mixture by class"


@dataclass(frozen=True)
class BaselineRun(RunDirectory[BaselineRecord]):
    """A baseline's run directory."""

    record_type = BaselineRecord
    command = "ppl-vae baseline"

    @property
    def file(self) -> Path:
        """The classifier's file."""
        return self.path / "baseline.npz"

    def save(self, classifier: BayesClassifier) -> None:
        """Write the classifier, in one piece or not at all."""
        write_arrays(self.file, classifier.state())

    def load(self) -> BayesClassifier:
        """Read the classifier; no code in the file is run.

        Raises:
            UserError: it is missing, damaged, or of another version.
        """
        if not self.file.exists():
            raise UserError(f"{self.path} has no {self.file.name}: its fit was interrupted; fit it again.")
        try:
            with self.file.open("rb") as file:
                with zipfile.ZipFile(file) as archive:
                    _refuse_bombs(archive, self.file.stat().st_size)
                with np.load(file, allow_pickle=False) as arrays:
                    classifier = BayesClassifier.from_state(dict(arrays))
            self._check_against_record(classifier)
        except Exception as error:  # a damaged file can raise anything
            what = str(error) if type(error) is ValueError else reason(error)
            what = "it holds pickled objects, which are never loaded" if "allow_pickle" in what else what
            raise UserError(f"{self.file}: not a baseline of this version ({what}); fit it again.") from None
        return classifier

    def _check_against_record(self, classifier: BayesClassifier) -> None:
        info = self.record.info
        if classifier.event_shape != info.event_shape:
            raise ValueError(f"it is of data of shape {classifier.event_shape}, the record of {info.event_shape}")
        if strange := set(classifier.labels.tolist()) - set(info.labels):
            raise ValueError(f"label {max(strange)} is not one of the record's {info.num_classes}")


def _refuse_bombs(archive: zipfile.ZipFile, size: int) -> None:
    """See that a file cannot unpack to more than itself: numpy.savez stores arrays as they are."""
    if sum(entry.file_size for entry in archive.infolist()) > size:
        raise ValueError("it unpacks to more than its size")


def check_settings(kind: Kind, settings: BaselineConfig) -> None:
    """See that everything which is set is read.

    Raises:
        UserError: something that only mixtures have is set for a Gaussian.
    """
    default = BaselineConfig()
    for name in ("num_components", "iterations"):
        if kind == "gaussian" and getattr(settings, name) != getattr(default, name):
            raise UserError(f"`{name}` belongs to mixtures; say ppl-vae baseline mixture.")


def check_data(splits: Splits) -> None:
    """See that a classifier can be fitted to this data, judged and drawn.

    Raises:
        UserError: it cannot.
    """
    if splits.train.y is None:
        raise UserError("a classifier needs labels and this data has none; add y, or name other data.")
    if splits.holes:
        raise UserError("numbers are missing from this data, and these classifiers take whole observations; fill them.")
    if splits.test is None:
        raise UserError("a classifier is evaluated on test data and there is none; raise `test_fraction`.")
    check_drawable(splits.train.event_shape, "Reshape x, or fit it in Python with ppl_vae.baselines.bayes.")


class FittedBaseline(NamedTuple):
    """A classifier, judged and drawn from.

    Args:
        classifier: fitted.
        metrics: as :func:`ppl_vae.baselines.judging.judge` returns, and ``seconds`` of the fit.
        drawn: from p(x).
        by_label: from each p(x | y), a row for each label.
    """

    classifier: BayesClassifier
    metrics: dict[str, Any]
    drawn: Sampled
    by_label: Sampled


def fit_baseline(run: BaselineRun, splits: Splits) -> FittedBaseline:
    """Fit the classifier that a run records, judge it, draw from it, and write all of that into the run.

    Raises:
        UserError: it cannot be fitted to this data.
    """
    settings, start = run.record.config, time.perf_counter()
    classifier = _fitted(run.record.baseline, settings, splits.train.fixed(settings.data.data_seed))
    seconds = time.perf_counter() - start
    run.save(classifier)
    metrics = {**judge(classifier, splits, settings.data.data_seed), "seconds": round(seconds, 2)}
    write_text(run.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    with seeded(stream(settings.seed, "samples")):
        drawn = classifier.sample(_NUM_SAMPLES)
        of_each = [classifier.sample(_NUM_OF_EACH, label) for label in classifier.labels.tolist()]
    by_label = Sampled(*(torch.stack(parts) for parts in zip(*of_each, strict=True)))
    arrays = {**drawn._asdict(), **{f"{name}_by_label": value for name, value in by_label._asdict().items()}}
    write_arrays(run.path / "samples.npz", {name: value.numpy() for name, value in arrays.items()})
    return FittedBaseline(classifier, metrics, drawn, by_label)


def _fitted(kind: Kind, settings: BaselineConfig, data: Dataset) -> BayesClassifier:
    assert data.y is not None
    with bar(len(data.y.unique()), "class", "fit") as done:
        try:
            return fit_classifier(
                kind,
                data.values(),
                data.y,
                dims=settings.dims,
                ridge=settings.ridge,
                num_components=settings.num_components,
                iterations=settings.iterations,
                seed=settings.seed,
                advance=done.update,
            )
        except ValueError as error:
            raise UserError(f"{settings.data.data}: {error}") from None
