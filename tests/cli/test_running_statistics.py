"""A user's pair with BatchNorm, through the command line: what is evaluated is what was trained."""

import json

import numpy as np
import pytest
import torch

from ppl_vae.data import load
from ppl_vae.evaluation import elbo
from ppl_vae.runs.run import Run
from ppl_vae.runtime import checkpoint

PAIR = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class Mine(PyroModule):
    def __init__(self, latent_dim):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(latent_dim, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64))
        self.register_buffer("zero", torch.zeros(latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1))
            logits = self.net(z.reshape(-1, z.shape[-1])).reshape(*z.shape[:-1], 8, 8)
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class Guide(PyroModule):
    def __init__(self, latent_dim):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.loc, self.raw_scale = nn.Linear(16, latent_dim), nn.Linear(16, latent_dim)

    def forward(self, batch):
        hidden = self.net(batch.x)
        scale = nn.functional.softplus(self.raw_scale(hidden)) + 1e-3
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.loc(hidden), scale).to_event(1))
"""


@pytest.fixture
def run(cli, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PAIR)
    pair = ["--model", f"{file}:Mine", "--guide", f"{file}:Guide", "--latent-dim", "2"]
    status, _, err = cli("train", *pair, "--epochs", "3", "--device", "cpu", "--out", tmp_path / "run")
    assert status == 0, err
    return tmp_path / "run"


def test_evaluations_repeat_and_are_of_the_weights_as_trained(cli, run):
    before = (run / "checkpoint.pt").read_bytes()
    found = []
    for _ in range(3):
        status, out, err = cli("evaluate", run, "--num-samples", "5", "--limit", "60", "--json")
        assert status == 0, err
        found.append(json.loads(out)["elbo"])
    assert found[0] == found[1] == found[2]
    assert (run / "checkpoint.pt").read_bytes() == before

    state = checkpoint.load(run / "checkpoint.pt")
    scope: dict = {}
    exec(compile(PAIR, "mine.py", "exec"), scope)
    model, guide = scope["Mine"](2), scope["Guide"](2)
    for program, name in ((model, "model"), (guide, "guide")):
        weights = (state.get("best") or state)[name]
        assert weights["net.2.num_batches_tracked" if name == "guide" else "net.1.num_batches_tracked"] > 0
        program.load_state_dict(weights)
        program.eval()
    data = load(Run.open(run).record.config.data).get("test").head(60)
    assert found[0] == elbo(model, guide, data, 5).elbo.mean

    pair = Run.open(run).load_pair(torch.device("cpu"))
    assert not any(module.training for program in pair for module in program.modules())
    for program, name in zip(pair, ("model", "guide"), strict=True):
        weights = (state.get("best") or state)[name]
        assert all(torch.equal(value, weights[each]) for each, value in program.state_dict().items())


def test_latents_of_a_row_do_not_depend_on_its_neighbours_in_the_file(cli, run, tmp_path):
    x = (np.random.default_rng(0).random((20, 8, 8)) > 0.5).astype(np.float32)
    means = []
    for number, rows in enumerate(([0, 1, 2, 3], [0, 9, 12, 17])):
        np.savez(tmp_path / f"{number}.npz", x=x[rows])
        files = ["--input", tmp_path / f"{number}.npz", "--out", tmp_path / f"z{number}.npz"]
        status, _, err = cli("infer", run, *files)
        assert status == 0, err
        with np.load(tmp_path / f"z{number}.npz") as arrays:
            means.append(arrays["z_mean"])
    np.testing.assert_allclose(means[0][0], means[1][0], rtol=1e-5, atol=1e-6)
    assert np.abs(means[0][1] - means[1][1]).max() > 1e-3
