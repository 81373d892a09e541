"""A user's pair that fails in training: one line with the place, exit 2, and nothing lost."""

import numpy as np
import pytest

from ppl_vae import checkpoint, saving
from ppl_vae.data import DataConfig, load

PAIR = '''
import os
import pyro, pyro.distributions as dist, torch
from pyro.nn import PyroModule
from torch import nn


class Model(PyroModule):
    """A decoder with running statistics; from its step FAILS_AT on its scale is out of range."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.event_shape, self.steps = event_shape, 0
        size = int(torch.Size(event_shape).numel())
        self.net = nn.Sequential(nn.Linear(latent_dim, 8), nn.BatchNorm1d(8), nn.Linear(8, size))
        self.register_buffer("loc", torch.zeros(latent_dim))

    def forward(self, batch):
        scale = torch.ones_like(self.loc)
        if self.training:
            self.steps += 1
            if self.steps >= int(os.environ.get("FAILS_AT", 10**9)):
                scale = -scale
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1))
            logits = self.net(z.reshape(-1, z.shape[-1])).reshape(*z.shape[:-1], *self.event_shape)
            pyro.sample("noise", dist.Normal(self.loc, scale, validate_args=True).to_event(1), obs=z)
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(len(self.event_shape)), obs=batch.x)
'''
SMALL = ["--hidden", "16", "--latent-dim", "2", "--epochs", "3", "--engine", "eager"]


@pytest.fixture
def pair(tmp_path):
    path = tmp_path / "pair.py"
    path.write_text(PAIR)
    return ["--model", f"{path}:Model", *SMALL]


@pytest.fixture
def bits(npz):
    x = (np.random.default_rng(0).random((47, 3, 4)) < 0.5).astype(np.float32)
    return npz(x=x)


def test_a_last_batch_that_the_pair_cannot_take(cli, pair, bits, tmp_path):
    command = ["train", *pair, "--data", bits, "--out", tmp_path / "run"]
    rows = len(load(DataConfig(data=str(bits))).train)
    status, out, err = cli(*command, "--batch-size", rows - 1)
    assert (status, out) == (2, "")
    assert err.startswith(f"ppl-vae: a step on 1 of the {rows} rows, x of shape (1, 3, 4), failed (ValueError: ")
    assert "pair.py:" in err
    assert "choose a batch size that leaves no such batch" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert cli(*command, "--batch-size", rows)[0] == 0


@pytest.mark.slow
def test_a_pair_that_fails_at_a_step_keeps_its_last_checkpoint(cli, pair, bits, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "CHECKPOINT_SECONDS", -1.0)
    command = ["train", *pair, "--data", bits, "--batch-size", "8", "--out"]
    assert cli(*command, tmp_path / "whole")[0] == 0
    monkeypatch.setenv("FAILS_AT", "10")  # two are the trial's
    status, _, err = cli(*command, tmp_path / "run")
    assert status == 2
    last = err.splitlines()[-1]
    assert last.startswith("ppl-vae: step 3 of epoch 2 failed (ValueError: Expected parameter scale")
    assert "pair.py:" in last
    assert "Traceback" not in err
    assert checkpoint.load(tmp_path / "run" / "checkpoint.pt")["step"] == 2
    monkeypatch.delenv("FAILS_AT")
    assert cli("train", "--resume", tmp_path / "run")[0] == 0
    ends = [checkpoint.load(tmp_path / name / "checkpoint.pt")["model"] for name in ("run", "whole")]
    assert all(ends[0][name].equal(ends[1][name]) for name in ends[1])
