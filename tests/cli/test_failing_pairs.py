"""A user's pair that fails in training: one line with the place, exit 2, and nothing lost."""

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import DataConfig, load
from ppl_vae.registry.build import build_pair
from ppl_vae.runs.run import Run
from ppl_vae.runtime import checkpoint
from ppl_vae.training import saving

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
        in_use = os.environ.get("FAILS_IN_USE")
        if in_use and not self.training and (in_use == "1" or len(batch.x) == 9):
            raise ValueError("not today")
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


USES = {
    "evaluate": [],
    "evaluate, importance bound": ["--estimator", "iwae", "--num-samples", "2"],
    "gaps": ["--limit", "5", "--families", "diagonal"],
    "infer": ["--input", "BITS", "--out", "OUT.npz"],
    "sample": ["prior"],
    "explore": ["--out", "OUT.html"],
}


@pytest.fixture(scope="module")
def good_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    (folder / "pair.py").write_text(PAIR)
    x = (np.random.default_rng(0).random((47, 3, 4)) < 0.5).astype(np.float32)
    np.savez(folder / "bits.npz", x=x)
    command = ["train", "--model", f"{folder}/pair.py:Model", *SMALL, "--data", folder / "bits.npz"]
    assert main([str(word) for word in [*command, "--out", folder / "run"]]) == 0
    return folder / "run"


@pytest.mark.parametrize("use", USES)
def test_a_pair_that_fails_when_it_is_used(use, good_run, cli, monkeypatch, tmp_path):
    places = {"BITS": good_run.parent / "bits.npz", "OUT.npz": tmp_path / "new.npz", "OUT.html": tmp_path / "new.html"}
    monkeypatch.setenv("FAILS_IN_USE", "1")
    before = {path: path.read_bytes() for path in good_run.parent.rglob("*") if path.is_file()}
    status, out, err = cli(use.split(",")[0], good_run, *(places.get(word, word) for word in USES[use]))
    assert (status, out) == (2, "")
    assert "ValueError: not today" in err
    assert "pair.py" in err or "Model cannot run on x" in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in good_run.parent.rglob("*") if path.is_file()} == before
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_pair_that_fails_when_it_is_compared(cli, pair, bits, monkeypatch, tmp_path):
    monkeypatch.setenv("FAILS_IN_USE", "estimates")
    command = ["compare", *pair, "--data", bits, "--guides", "amortized", "--seeds", "1", "--out", tmp_path / "all"]
    status, _, err = cli(*command)
    assert status == 2
    assert "ValueError: not today" in err
    assert "Traceback" not in err


ODD = '''
import os
import pyro, pyro.distributions as dist, torch
from pyro.nn import PyroModule
from torch import nn


class Drawing(PyroModule):
    """Its constructor draws what is in no state_dict."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.mixing = torch.randn(12, 12)
        self.net = nn.Linear(12, 2 * latent_dim)

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            loc, scale = self.net(batch.x.flatten(1) @ self.mixing).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, scale.exp()).to_event(1))


class Lazy(PyroModule):
    """A layer that takes its shape from the first x."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.net = nn.LazyLinear(2 * latent_dim)

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            loc, scale = self.net(batch.x.flatten(1)).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, scale.exp()).to_event(1))
'''


@pytest.mark.parametrize("guide", ["Drawing", "Lazy"])
def test_a_run_opens_as_it_was_trained(cli, bits, tmp_path, guide):
    (tmp_path / "odd.py").write_text(ODD)
    command = ["train", "--guide", f"{tmp_path}/odd.py:{guide}", *SMALL, "--data", bits, "--binarization", "none"]
    status, _, err = cli(*command, "--seed", "3", "--out", tmp_path / "run")
    assert status == 0, err
    run = Run.open(tmp_path / "run")
    splits = load(run.record.config.data)
    pair = run.load_pair(torch.device("cpu"))
    if guide == "Drawing":
        begun = build_pair(run.record.config.pair, run.record.info, splits.train, 3)
        assert torch.equal(pair.guide.mixing, begun.guide.mixing)
    status, _, err = cli("evaluate", tmp_path / "run", "--json")
    assert status == 0, err
    assert cli("train", "--resume", tmp_path / "run", "--epochs", "4")[0] == 0
