"""fit() with patience: the best epoch's weights, after the warm-up, interrupted or not."""

import signal
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from ppl_vae import FitConfig, fit
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training.metrics import EpochMetrics, best_epoch
from tests.fits import VALIDATION, assert_same, settings, validated, weights
from tests.pairs import stripes_data, vae_pair


def overfitting(**changes: Any) -> FitConfig:
    usual = {"epochs": 300, "batch_size": 8, "kl_warmup": 0, "optimizer": OptimizerConfig(learning_rate=0.02)}
    return settings(**{**usual, **changes})


def overfitted(chosen: FitConfig, seed: int = 0, **arguments: Any) -> tuple[nn.Module, nn.Module, list[EpochMetrics]]:
    """A pair that learns eight images by heart, judged on others."""
    model, guide = vae_pair(hidden=(64,), seed=seed)
    history = fit(model, guide, stripes_data(8, dynamic=False), VALIDATION, chosen, **arguments)
    return model, guide, history


def test_early_stopping_keeps_the_best_weights() -> None:
    chosen = overfitting(patience=7)
    model, guide, history = overfitted(chosen)
    values = [metrics.validation_bound for metrics in history]
    best = max(values)
    assert len(history) < 300
    assert len(values) - 1 - values.index(best) == 7
    assert values[-1] < best - 0.05
    assert validated(model, guide, chosen) == best
    assert best_epoch(history).validation_bound == best


@pytest.mark.slow
def test_without_patience_the_last_weights_stay() -> None:
    chosen = overfitting(patience=0)
    model, guide, history = overfitted(chosen)
    assert len(history) == 300
    last = history[-1].validation_bound
    assert last < max(metrics.validation_bound for metrics in history) - 0.5
    assert validated(model, guide, chosen) == last


@pytest.mark.slow
def test_patience_begins_after_the_warm_up() -> None:
    """While the KL counts for less, the ELBO is of another objective's weights."""
    chosen = overfitting(patience=7, kl_warmup=60)
    model, guide, history = overfitted(chosen)
    values = [metrics.validation_bound for metrics in history]
    assert max(values) == max(values[:60])
    assert len(values) > 60
    assert validated(model, guide, chosen) == max(values[60:]) < max(values)


def test_the_best_weights_outlive_an_interruption(tmp_path: Path) -> None:
    """Stopped after the best epoch and resumed, the run still ends with that epoch's weights."""
    chosen = overfitting(patience=7)
    *whole, history = overfitted(chosen)
    path, best = tmp_path / "run.pt", best_epoch(history).epoch

    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == best + 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        overfitted(chosen, checkpoint_path=path, on_epoch=stop)
    *again, longer = overfitted(chosen, seed=99, checkpoint_path=path, resume=True)
    assert len(longer) == len(history)
    assert_same(weights(*again), weights(*whole))
