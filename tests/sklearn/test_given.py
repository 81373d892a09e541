"""Rows that are none, and rows that were not taken for what they are."""

import signal
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from ppl_vae.sklearn import VAE, fitted

X = np.random.default_rng(0).normal(size=(20, 3))
SMALL: dict[str, Any] = {"latent_dim": 2, "hidden": (4,), "epochs": 1, "num_samples": 2, "random_state": 0}


def test_none_is_missing_and_words_are_no_numbers() -> None:
    holes = [[None, 1.0], [2.0, 3.0], [0.5, -1.0]]
    filled = np.array([[np.nan, 1.0], [2.0, 3.0], [0.5, -1.0]])
    assert (VAE(**SMALL).fit(holes).transform(holes) == VAE(**SMALL).fit(filled).transform(filled)).all()
    with pytest.raises(ValueError, match=r"X holds what is no number .*'red'.*; encode categories first"):
        VAE(**SMALL).fit([["red", None], [1.0, 2.0]])


def test_what_is_masked_is_missing() -> None:
    """An array of another kind forgets its mask, and a number that stands for none was learned."""
    masked = np.ma.masked_less(np.where(X < -1, -999, X), -900)
    holes = np.where(X < -1, np.nan, X)
    assert np.isnan(holes).any()
    assert (VAE(**SMALL).fit(masked).transform(masked) == VAE(**SMALL).fit(holes).transform(holes)).all()


def test_a_row_that_is_larger_than_any_that_can_be_fitted_is_refused() -> None:
    """Its bound was NaN."""
    with pytest.raises(ValueError, match="X holds a number beyond 1e\\+15"):
        VAE(**SMALL).fit(X).score_samples(1e30 * X)


def test_there_is_a_class_for_each_draw() -> None:
    found = VAE(model="conditional", **SMALL).fit(X, [0, 1] * 10)
    assert found.sample(2, y=[0, 1]).shape == (2, 3)
    with pytest.raises(ValueError, match="y holds 3 classes for 2 draws; give one, or one for each"):
        found.sample(2, y=[0, 1, 1])


def test_the_stop_button_ends_a_cross_validation_and_a_fit_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that was cut short was scored as a whole one, and the others went on."""
    usual, calls = fitted.fit, []

    def stopping(*args: Any, **named: Any) -> Any:
        calls.append(named)
        stop = lambda metrics: metrics.epoch == 2 and signal.raise_signal(signal.SIGINT)  # noqa: E731
        return usual(*args, on_epoch=stop, **named)

    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(fitted, "fit", stopping)
    longer = {**SMALL, "epochs": 5}
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(VAE(**longer), X, cv=3)
    assert len(calls) == 1
    estimator = VAE(**longer)
    with pytest.raises(KeyboardInterrupt, match="fit was stopped after 2 of 5 epochs"):
        estimator.fit(X)
    monkeypatch.setattr(fitted, "fit", usual)
    for _ in range(3):
        estimator.partial_fit(X)
    whole = VAE(**longer, engine="eager").fit(X)
    assert estimator.n_iter_ == len(whole.history_) == 5
    assert (estimator.transform(X) == whole.transform(X)).all()
