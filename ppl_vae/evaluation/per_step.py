"""Nats per step of a sequence model, beside those of a unigram and a bigram model of the same data."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ppl_vae.baselines.ngrams import ngram_log_prob
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.predictive.centre import has_mean
from ppl_vae.programs.layout import Layout, num_steps, step_name
from ppl_vae.runtime.shown import Row, Shown, with_error


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
        return with_error(self.mean, self.stderr, 3)


@dataclass(frozen=True, eq=False)
class BesideNGrams(Shown):
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

    def rows(self) -> list[Row]:
        """A row for each estimate, nats per step."""
        return [{"name": name, "mean": each.mean, "stderr": each.stderr} for name, each in self.estimates.items()]

    def in_words(self) -> list[tuple[str, str]]:
        """Names and values, in words."""
        return [(name.replace("_", " "), str(each)) for name, each in self.estimates.items()]

    def __str__(self) -> str:
        lines = (f"  {name:<14}{value}" for name, value in self.in_words())
        return "\n".join([f"nats per {self.step}:", *lines])


def has_steps(model: nn.Module, data: Dataset, layout: Layout) -> bool:
    """Whether the data is of sequences and the model one of sequences: its x has no mean, as what comes next depends on
    what came before.

    Args:
        model: p(x, z).
        data: not dynamic.
        layout: of its observations; of plain ones, rows of bits are steps.
    """
    x = data.values()
    steps = layout != "plain" or (len(data.event_shape) == 2 and bool(((x == 0) | (x == 1)).all()))
    return steps and not has_mean(model, data.probe())


def beside_ngrams(name: str, estimate: Estimate, data: Dataset, train: Dataset, layout: Layout) -> BesideNGrams:
    """An estimate per step, beside n-grams that are counted on training data.

    Args:
        name: of the estimate.
        estimate: of log p(x), or of a bound on it.
        data: what it was made on, not dynamic.
        train: what to count on, not dynamic.
        layout: of both.
    """
    steps = num_steps(data.values(), layout).cpu()
    unigram, bigram = (ngram_log_prob(train.values(), data.values(), layout, order).cpu() for order in (1, 2))
    values = {name: estimate.values, "unigram": unigram, "bigram": bigram, "above_bigram": estimate.values - bigram}
    return BesideNGrams(step_name(layout), {key: PerStep(each, steps) for key, each in values.items()})
