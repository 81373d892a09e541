"""How often a classifier is right."""

import math
from typing import Any

import torch
from torch import Tensor

from ppl_vae.baselines.bayes import BayesClassifier
from ppl_vae.data import Dataset, Splits


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
    found, labels = classifier.classify(data.values()), torch.cat([classifier.labels, data.y]).unique()
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
