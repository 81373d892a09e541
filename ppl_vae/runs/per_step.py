"""Nats per step of a sequence model, beside those of a unigram and a bigram model of the same data."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ppl_vae.baselines.ngrams import ngram_log_prob
from ppl_vae.data import Dataset
from ppl_vae.evaluation import Estimate
from ppl_vae.predictive.rendering import shows_means
from ppl_vae.programs.layout import num_steps, step_name
from ppl_vae.runs.opened import OpenedRun


@dataclass(frozen=True, eq=False)
class PerStep:
    """Σ log p(x) / Σ steps: the ratio of two means over datapoints.

    Args:
        values: of log p(x), ``(N,)``, in nats.
        steps: of each datapoint, ``(N,)``.
    """

    values: Tensor
    steps: Tensor

    @property
    def mean(self) -> float:
        """Nats per step."""
        return float(self.values.double().sum() / self.steps.double().sum())

    @property
    def stderr(self) -> float:
        """The ratio's standard error over datapoints, s(values − mean · steps) / (√N · mean steps); NaN for one."""
        if len(self.values) < 2:
            return math.nan
        residuals = self.values.double() - self.mean * self.steps.double()
        return float(residuals.std() / len(residuals) ** 0.5 / self.steps.double().mean())

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + ("" if math.isnan(self.stderr) else f" ± {self.stderr:.3f}")


@dataclass(frozen=True, eq=False)
class BesideNGrams:
    """What a sequence model says of data, per step, and what n-grams say of the same data.

    Args:
        step: what a step is, in words.
        estimates: by name: the model's own, ``unigram``, ``bigram``, and how much better than the bigram the model is,
            where what the two have in common is no part of the error.
    """

    step: str
    estimates: dict[str, PerStep]

    def to_dict(self) -> dict[str, Any]:
        """Means and standard errors by name, as JSON takes them."""
        plain: dict[str, Any] = {"step": self.step}
        for name, each in self.estimates.items():
            stderr = each.stderr if math.isfinite(each.stderr) else None
            plain[name] = {"mean": each.mean if math.isfinite(each.mean) else None, "stderr": stderr}
        return plain

    def rows(self) -> list[tuple[str, str]]:
        """Names and values, in words."""
        return [(name.replace("_", " "), str(each)) for name, each in self.estimates.items()]


def beside_ngrams(opened: OpenedRun, name: str, estimate: Estimate, data: Dataset) -> BesideNGrams | None:
    """An estimate per step, beside n-grams that are counted on the run's training data.

    Args:
        opened: the run.
        name: of the estimate.
        estimate: of log p(x), or of a bound on it.
        data: what it was made on, not dynamic.

    Returns:
        None unless the run's model is one of sequences; nor of a point's elbo, which is comparable to none.
    """
    layout = opened.info.layout
    if layout == "plain" or shows_means(opened.pair.model, opened.info) or (name == "elbo" and opened.is_point):
        return None
    train = opened.split("train").fixed(0).x
    steps = num_steps(data.x, layout).cpu()
    unigram, bigram = (ngram_log_prob(train, data.x, layout, order).cpu() for order in (1, 2))
    values = {name: estimate.values, "unigram": unigram, "bigram": bigram, "above_bigram": estimate.values - bigram}
    return BesideNGrams(step_name(layout), {key: PerStep(each, steps) for key, each in values.items()})


def per_step_lines(found: BesideNGrams) -> list[str]:
    """The same as lines of a table."""
    return [f"nats per {found.step}:", *(f"  {name:<14}{value}" for name, value in found.rows())]
