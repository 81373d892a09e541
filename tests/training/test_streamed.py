"""A fit on data that stays in its file."""

import numpy as np
import pytest
import torch

from ppl_vae import build_guide, build_model, fit, load
from ppl_vae.data.streaming import stored
from ppl_vae.svi import TracedStep, engine
from ppl_vae.training import saving
from tests.marks import slow_after


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "_BLOCK", 2**13)
    z = np.random.default_rng(0).normal(size=(6000, 2)) @ np.random.default_rng(1).normal(size=(2, 60))
    np.save(tmp_path / "x.npy", z.astype(np.float32))
    return load(tmp_path / "x.npy", data_memory=1)


def pair(data, guide="amortized", seed=0):
    model = build_model("vae", data, likelihood="normal", latent_dim=2, hidden=(16,), seed=seed)
    return model, build_guide(guide, model, data, seed=seed)


def weights(programs):
    return torch.cat([value.flatten() for program in programs for value in program.state_dict().values()])


@pytest.mark.parametrize(
    ("guide", "how"), slow_after(2, [("mean-field", "eager"), ("amortized", "traced"), ("amortized", "eager")])
)
def test_a_fit_that_was_stopped_in_a_window_goes_on_as_if_it_had_not_been(data, tmp_path, monkeypatch, guide, how):
    monkeypatch.setattr(engine, "TracedStep", lambda *a: TracedStep(*a, compile_graph=lambda graph, examples: graph))
    settings = {"epochs": 3, "batch_size": 64, "engine": how, "progress": False, "objective": "elbo"}
    whole = pair(data, guide)
    history = fit(*whole, data.train, **settings)
    assert history[-1].bound > history[0].bound

    def stop(count):
        if count == 130:  # of 84 steps an epoch, and 16 a window
            raise KeyboardInterrupt

    monkeypatch.setattr(saving, "CHECKPOINT_SECONDS", -1.0)  # after each step
    with pytest.raises(KeyboardInterrupt):
        fit(*pair(data, guide), data.train, **settings, checkpoint_path=tmp_path / "cut.pt", on_step=stop)
    again = pair(data, guide, seed=7)
    fit(*again, data.train, **settings, checkpoint_path=tmp_path / "cut.pt", resume=True)
    assert torch.equal(weights(whole), weights(again))
