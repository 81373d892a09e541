"""A pair that was trained in Python becomes a run directory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ppl_vae as pv
from ppl_vae.guides import Amortized, Diagonal, FullRank
from ppl_vae.models import VAE
from ppl_vae.reports import pictures
from ppl_vae.runs.run import Run
from ppl_vae.runs.training import continued, train_run
from ppl_vae.training.metrics import EpochMetrics
from tests.cli import own_parts
from tests.fits import assert_same, weights

FAST: dict[str, Any] = {"device": "cpu", "batch_size": 400, "learning_rate": 0.01}
DATA = pv.load("digits", binarization="static")


def trained(family: Any = FullRank, epochs: int = 2, **settings: Any) -> tuple[Any, Any, Any]:
    model = pv.build_model(VAE, DATA, latent_dim=2, hidden=(8,))
    guide = pv.build_guide(Amortized, model, DATA, family=family)
    return model, guide, pv.fit(model, guide, DATA, epochs=epochs, **FAST, **settings)


def test_it_is_a_run_with_a_report_and_opens_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_PICTURES", {"prior": pictures._PICTURES["prior"]})
    model, guide, history = trained()
    state = torch.get_rng_state()
    run = pv.save(model, guide, history, DATA, tmp_path / "run")
    assert torch.equal(state, torch.get_rng_state())
    assert str(run) == f"OpenedRun({tmp_path / 'run'}: vae, amortized × full-rank, on digits)"
    assert {"report.html", "README.md", "config.yaml", "metrics.csv", "model.safetensors", "figures"} <= {
        each.name for each in (tmp_path / "run").iterdir()
    }
    assert (run.settings.fit.epochs, run.settings.pair.settings["hidden"]) == (2, [8])
    again = pv.open(tmp_path / "run", "cpu")
    assert again.history == history
    assert_same(weights(*again.pair), weights(model, guide))
    assert again.data.fingerprint() == DATA.fingerprint()


@pytest.mark.parametrize("stopped", [False, True])
def test_it_goes_on_as_one_that_was_never_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """Also from the middle of an epoch."""
    import signal
    import sys

    def stop(metrics: EpochMetrics) -> None:
        if stopped and metrics.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    whole = trained(epochs=4)
    model, guide, history = trained(epochs=4 if stopped else 2, on_epoch=stop, warn=list[str]().append)
    assert len(history) == 2
    pv.save(model, guide, history, DATA, tmp_path / "run", report=False)
    run = Run.open(tmp_path / "run")
    config = run.record.config
    config.fit.__dict__["epochs"] = 4
    with continued(tmp_path / "run", config) as training:
        found = train_run(training)
    assert [each.elbo for each in found] == [each.elbo for each in whole[2]]
    assert_same(weights(*pv.open(tmp_path / "run", "cpu").pair), weights(*whole[:2]))


def test_of_early_stopping_the_best_epoch_is_saved(tmp_path: Path) -> None:
    model, guide, history = trained(epochs=6, patience=1, kl_warmup=0)
    run = pv.save(model, guide, history, DATA, tmp_path / "run", report=False)
    assert_same(weights(*run.pair), weights(model, guide))
    assert run.history.best == history.best


def test_a_class_of_a_file_is_found_again(tmp_path: Path) -> None:
    family = f"{Path(own_parts.__file__)}:Heavy"
    run = pv.save(*trained(family), DATA, tmp_path / "run", report=False)
    assert run.settings.pair.family == family


def test_what_cannot_be_found_again_is_refused_and_nothing_written(tmp_path: Path) -> None:
    class Mine(Diagonal):
        pass

    Mine.__module__ = "__main__"
    model, guide, history = trained()
    out = tmp_path / "run"
    plain = Amortized(guide.latents, FullRank(2), guide.encoder)
    narrow = pv.build_guide(Amortized, model, DATA, hidden=(4,))
    nameless = pv.load(np.asarray(DATA.train.x))
    for words, call in {
        "`guide`, a Amortized, was not made by build_guide": lambda: pv.save(model, plain, history, DATA, out),
        r"`hidden` is \[8\] of the model and \[4\] of the guide": lambda: pv.save(model, narrow, history, DATA, out),
        "this data has no name: write it to a file": lambda: pv.save(model, guide, history, nameless, out),
        "`history` is to be what fit returned": lambda: pv.save(model, guide, pv.open, DATA, out),  # type: ignore[arg-type]
        "what an earlier fit has come to is of another pair": lambda: pv.save(
            model, guide, trained(Diagonal)[2], DATA, out
        ),
    }.items():
        with pytest.raises(pv.UserError, match=words):
            call()
        assert not out.exists(), words
