"""``ppl-vae baseline gaussian | mixture``: Bayes classifiers that generate."""

import json
import math
import time
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae.baselines.bayes import BayesClassifier, Kind, Sampled, fit_classifier
from ppl_vae.cli.surroundings import say_what_was_read
from ppl_vae.data import Dataset, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.data.reading import read_data
from ppl_vae.reports.baseline import draw_baseline, percent, write_baseline_report
from ppl_vae.runs.baseline import BaselineConfig, BaselineRecord, BaselineRun
from ppl_vae.runs.leftovers import refuse_existing_run
from ppl_vae.runs.opened import check_drawable
from ppl_vae.runtime.config import config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_arrays, write_text
from ppl_vae.runtime.seeding import seeded, stream

_NUM_SAMPLES = 64  # of p(x)
_NUM_OF_EACH = 10  # of each p(x | y)


@config
class Baseline:
    """Fit p(x | y), a Gaussian or a mixture of Gaussians for each class; classify by Bayes' rule, and sample.

    Densities of grey levels: no log p(x) of theirs can be ranked with a Bernoulli's, so none is reported.

    examples:
      ppl-vae baseline gaussian
      ppl-vae baseline mixture --data mnist --data-root data --out runs/mixture
    """

    kind: Positional[Kind]
    """gaussian: a full covariance for each class; mixture: variational Bayes over several, for each class."""
    settings: BaselineConfig = field(default_factory=BaselineConfig)
    """What is fitted to what."""
    out: Path | None = None
    """The run directory to make; by default the next free runs/DATA-KIND-N."""

    def run(self) -> None:
        """Fit, classify, sample, draw and report."""
        if self.out:
            refuse_existing_run(self.out)
        self._check_flags()
        splits = read_data(self.settings.data)
        _check_data(splits)
        say_what_was_read(splits)
        resolved = replace(self.settings, data=self.settings.data.absolute())
        record = BaselineRecord(self.kind, resolved, DataInfo.of(splits))
        with BaselineRun.created(record, self.out, f"{Path(self.settings.data.data).stem}-{self.kind}") as run:
            self._make(run, splits.unnumbered())  # a class costs the same here whatever it is called

    def _make(self, run: BaselineRun, splits: Splits) -> None:
        classifier, seconds = self._fitted(splits.train.fixed(self.settings.data.data_seed))
        run.save(classifier)
        metrics = {**judge(classifier, splits, self.settings.data.data_seed), "seconds": round(seconds, 2)}
        write_text(run.path / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        with seeded(stream(self.settings.seed, "samples")):
            drawn = classifier.sample(_NUM_SAMPLES)
            of_each = [classifier.sample(_NUM_OF_EACH, label) for label in classifier.labels.tolist()]
        by_label = Sampled(*(torch.stack(parts) for parts in zip(*of_each, strict=True)))
        arrays = {**drawn._asdict(), **{f"{name}_by_label": value for name, value in by_label._asdict().items()}}
        write_arrays(run.path / "samples.npz", {name: value.numpy() for name, value in arrays.items()})
        pictures = draw_baseline(run, classifier, metrics, drawn.means, by_label.means)
        for picture in pictures:
            print(f"picture  {picture}")
        print(f"report   {write_baseline_report(run, classifier, metrics, pictures)}")
        found = metrics["test"]["accuracy"]
        print(f"accuracy {percent(found)} of {found['num']:,} test data")
        print(f"run      {run.path}")

    def _check_flags(self) -> None:
        default = BaselineConfig()
        for name in ("num_components", "iterations"):
            if self.kind == "gaussian" and getattr(self.settings, name) != getattr(default, name):
                raise UserError(f"--{name.replace('_', '-')} belongs to mixtures; say ppl-vae baseline mixture.")

    def _fitted(self, data: Dataset) -> tuple[BayesClassifier, float]:
        assert data.y is not None
        start = time.perf_counter()
        with tqdm(total=len(data.y.unique()), unit="class", desc="fit", disable=None, leave=False) as bar:
            try:
                classifier = fit_classifier(
                    self.kind,
                    data.x,
                    data.y,
                    dims=self.settings.dims,
                    ridge=self.settings.ridge,
                    num_components=self.settings.num_components,
                    iterations=self.settings.iterations,
                    seed=self.settings.seed,
                    advance=bar.update,
                )
            except ValueError as error:
                raise UserError(f"{self.settings.data.data}: {error}") from None
        return classifier, time.perf_counter() - start


def _check_data(splits: Splits) -> None:
    if splits.train.y is None:
        raise UserError("a classifier needs labels and this data has none; add y, or name other data.")
    if splits.test is None:
        raise UserError("a classifier is judged on test data and there is none; raise --test-fraction.")
    check_drawable(splits.train.event_shape, "Reshape x, or fit it in Python with ppl_vae.baselines.bayes.")


def judge(classifier: BayesClassifier, splits: Splits, seed: int) -> dict[str, Any]:
    """Accuracies on validation data, where there is any, and on test data.

    Args:
        classifier: fitted.
        splits: labelled data.
        seed: of bits, where the data is dynamic.

    Returns:
        by split: accuracy (mean, its standard error, num), the same by label, and ``confusion``, counts by
        label (row) and by what it was taken for (column), in the order of ``labels``.
    """
    parts = {name: split for name in ("validation", "test") if (split := getattr(splits, name))}
    return {name: _judge(classifier, split.fixed(seed)) for name, split in parts.items()}


def _judge(classifier: BayesClassifier, data: Dataset) -> dict[str, Any]:
    assert data.y is not None
    found, labels = classifier.classify(data.x), torch.cat([classifier.labels, data.y]).unique()
    cells = torch.searchsorted(labels, data.y) * len(labels) + torch.searchsorted(labels, found)
    counts = torch.bincount(cells, minlength=len(labels) ** 2).view(len(labels), len(labels))
    right = found == data.y
    by_label = {str(label): _share(right[data.y == label]) for label in labels.tolist() if label in data.y}
    return {
        "accuracy": _share(right),
        "by_label": by_label,
        "labels": labels.tolist(),
        "confusion": counts.tolist(),
    }


def _share(right: Tensor) -> dict[str, float]:
    """How many are right, of N; its error is the standard deviation of the posterior under a uniform prior.

    For many N that is √(p(1 − p) / N), which would be 0 where all or none are right, as if nothing were left to chance.
    """
    num, hits = len(right), int(right.sum())
    mean = (hits + 1) / (num + 2)
    return {"mean": hits / num, "stderr": math.sqrt(mean * (1 - mean) / (num + 3)), "num": num}
