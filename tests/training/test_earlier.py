"""Fits that go on from what earlier ones have come to, in memory."""

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ppl_vae import UserError, fit
from ppl_vae.data.splits import splits_of
from ppl_vae.runtime.interrupt import Interrupted, inside_more
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training.earlier import Earlier
from ppl_vae.training.metrics import EpochMetrics, History
from tests.fits import TRAIN, VALIDATION, assert_same, settings, validated, weights
from tests.pairs import vae_pair


def test_several_fits_are_one_bit_for_bit() -> None:
    whole, parts, earlier = vae_pair(), vae_pair(), Earlier()
    constant = settings(patience=0, kl_warmup=0, optimizer=OptimizerConfig(learning_rate=0.01))
    history = fit(*whole, TRAIN, VALIDATION, constant)
    for epochs in (1, 2, 5):
        found = fit(*parts, TRAIN, VALIDATION, constant, epochs=epochs, earlier=earlier)
        assert len(found) == len(earlier.history) == epochs
    assert [each.validation_bound for each in found] == [each.validation_bound for each in history]
    for one, other in zip(whole, parts, strict=True):
        for name, value in one.state_dict().items():
            assert (other.state_dict()[name] == value).all(), name


def test_without_it_a_second_fit_begins_anew() -> None:
    """What the test above would not see if an optimizer made no difference."""
    pair, earlier = vae_pair(), Earlier()
    once = settings(patience=0, kl_warmup=0, epochs=1)
    for _ in range(2):
        assert len(fit(*pair, TRAIN, settings=once)) == 1
    fit(*pair, TRAIN, settings=once, earlier=earlier)
    with pytest.raises(UserError, match="what an earlier fit has come to is of another pair"):
        fit(*vae_pair(latent_dim=3), TRAIN, settings=settings(patience=0, epochs=2), earlier=earlier)
    with pytest.raises(UserError, match="what an earlier fit has come to is of another pair or another optimizer"):
        fit(*pair, TRAIN, settings=settings(patience=0, epochs=2), earlier=earlier, optimizer="RMSprop")
    with pytest.raises(UserError, match="`resume` goes on from a file and `earlier` from memory"):
        fit(*pair, TRAIN, settings=once, checkpoint_path="run.pt", resume=True, earlier=earlier)


def test_a_history_is_gone_on_from_and_stays_as_it_is() -> None:
    whole, parts = vae_pair(), vae_pair()
    constant = settings(patience=0, kl_warmup=0, optimizer=OptimizerConfig(learning_rate=0.01))
    history = fit(*whole, TRAIN, VALIDATION, constant)
    first = fit(*parts, TRAIN, VALIDATION, constant, epochs=2)
    found = fit(*parts, TRAIN, VALIDATION, constant, earlier=first)
    assert len(first) == 2
    assert first.earlier is not None
    assert len(first.earlier.history) == 2
    assert [each.validation_bound for each in found] == [each.validation_bound for each in history]
    with pytest.raises(UserError, match="`earlier` is a history without what a fit goes on from"):
        fit(*parts, TRAIN, VALIDATION, constant, earlier=History(found))


def stop_after_two(metrics: EpochMetrics) -> None:
    if metrics.epoch == 2:
        signal.raise_signal(signal.SIGINT)


def test_stopped_at_a_prompt_it_keeps_what_was_learned_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    pair, said = vae_pair(), list[str]()
    before = {name: value.clone() for name, value in pair[0].state_dict().items()}
    history = fit(*pair, TRAIN, VALIDATION, settings(), on_epoch=stop_after_two, warn=said.append)
    assert [each.epoch for each in history] == [1, 2]
    assert said[0].startswith("training was stopped after 2 of 5 epochs; the pair keeps what it has learned")
    assert not pair[0].training
    assert any((value != before[name]).any() for name, value in pair[0].state_dict().items())
    found = fit(*pair, TRAIN, VALIDATION, settings(), earlier=history)
    assert found[:2] == history
    whole = vae_pair()
    expected = fit(*whole, TRAIN, VALIDATION, settings())
    assert [(each.epoch, each.elbo, each.validation_bound) for each in found] == [
        (each.epoch, each.elbo, each.validation_bound) for each in expected
    ]
    assert_same(weights(*pair), weights(*whole))


def test_early_stopping_remembers_its_best_epoch_over_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which, at a step size that makes it worse and worse, came before."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    worse = settings(kl_warmup=0, patience=2, optimizer=OptimizerConfig(learning_rate=0.3))
    whole, parts = vae_pair(), vae_pair()
    expected = fit(*whole, TRAIN, VALIDATION, worse)
    history = fit(*parts, TRAIN, VALIDATION, worse, on_epoch=stop_after_two, warn=list[str]().append)
    found = fit(*parts, TRAIN, VALIDATION, worse, earlier=history)
    assert len(history) == found.best.epoch == expected.best.epoch == 2
    assert len(found) == len(expected) == 4
    assert_same(weights(*parts), weights(*whole))


def test_a_fit_that_goes_on_after_early_stopping_does_not_end_worse() -> None:
    """At a step size that makes it worse and worse."""
    chosen = settings(kl_warmup=0, patience=2, optimizer=OptimizerConfig(learning_rate=0.3))
    pair = vae_pair()
    first = fit(*pair, TRAIN, VALIDATION, chosen, epochs=3)
    assert (len(first), first.best.epoch) == (3, 2)
    kept = weights(*pair)
    found = fit(*pair, TRAIN, VALIDATION, chosen, epochs=8, earlier=first)
    assert (len(found), found.best.epoch) == (4, 2)
    assert validated(*pair, chosen) == found.best.validation_bound
    assert_same(weights(*pair), kept)
    with pytest.raises(UserError, match="ended with `patience` 2, no epoch of 4 being better than epoch 2; raise it"):
        fit(*pair, TRAIN, VALIDATION, chosen, epochs=8, earlier=found)
    assert_same(weights(*pair), kept)
    on = fit(*pair, TRAIN, VALIDATION, chosen, epochs=6, patience=0, earlier=found)
    assert len(on) == 6
    ended = fit(*pair, TRAIN, VALIDATION, chosen, epochs=7, patience=3, earlier=on)
    best = max(ended[5:], key=lambda each: each.validation_bound or 0.0)
    assert validated(*pair, chosen) == best.validation_bound


def test_elsewhere_and_with_a_checkpoint_it_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, settings(), on_epoch=stop_after_two)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, settings(), on_epoch=stop_after_two, checkpoint_path=tmp_path / "run.pt")


def test_what_was_loaded_is_training_and_validation_data() -> None:
    splits = splits_of(TRAIN)._replace(validation=VALIDATION)
    found, expected = (fit(*vae_pair(), *data, settings=settings()) for data in ((splits,), (TRAIN, VALIDATION)))
    assert [each.validation_bound for each in found] == [each.validation_bound for each in expected]


def test_inside_more_it_raises_and_what_was_learned_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that took it for a whole training would rank it with the others."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    parts, whole, earlier = vae_pair(), vae_pair(), Earlier()
    with inside_more(), pytest.raises(Interrupted):
        fit(*parts, TRAIN, VALIDATION, settings(), on_epoch=stop_after_two, earlier=earlier)
    assert len(earlier.history) == 2
    found = fit(*parts, TRAIN, VALIDATION, settings(), earlier=earlier)
    expected = fit(*whole, TRAIN, VALIDATION, settings())
    assert [each.validation_bound for each in found] == [each.validation_bound for each in expected]
    assert_same(weights(*parts), weights(*whole))


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"settings": {"epochs": 3}}, "`settings` is a dict; give a FitConfig, or each by its name, as epochs=3"),
        ({"earlier": []}, "`earlier` is a list; give the history that fit has returned, itself"),
        ({"on_epoch": "print"}, "`on_epoch` is a str; give a function"),
        ({"checkpoint_path": "a.pt", "weights_path": "a.pt"}, "`weights_path` a.pt: name another file"),
    ],
)
def test_what_is_given_is_of_its_kind(named: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        fit(*vae_pair(), TRAIN, **named)
