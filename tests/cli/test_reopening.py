"""What a user's pair keeps outside its state dict: a run of it is refused, since it would open as another pair."""

import pytest

PAIR = """
import numpy as np
import pyro, pyro.distributions as dist, torch
from pyro.nn import PyroModule
from torch import nn


class Model(PyroModule):
    def __init__(self, event_shape, latent_dim, x_mean):
        super().__init__()
        self.event_shape, self.latent_dim = event_shape, latent_dim
        size = int(torch.Size(event_shape).numel())
        self.net = nn.Sequential(nn.Linear(latent_dim, 8), nn.Tanh(), nn.{LAYER}, nn.Unflatten(-1, event_shape))
        self.shift = torch.zeros(event_shape)
        {INIT}

    def forward(self, batch):
        {FORWARD}
        with pyro.plate("data", len(batch.x), dim=-1):
            one = batch.x.new_ones(self.latent_dim)
            z = pyro.sample("z", dist.Normal(0 * one, one).to_event(1))
            logits = self.net(z) + self.shift
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(len(self.event_shape)), obs=batch.x)


class Guide(PyroModule):
    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(int(torch.Size(event_shape).numel()), latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.net(batch.x), 1.0).to_event(1))
"""
OTHERWISE = "come out otherwise when it is made again"
NOT_REPEATED = "the pair gives other numbers when it is run again from the same seed"
REFUSED = {
    "NumPy's generator in the constructor": (
        "self.shift = torch.from_numpy(np.random.randn(*event_shape)).float()",
        "pass",
        OTHERWISE,
    ),
    "the data's mean in an attribute": ("self.shift = x_mean * 1", "pass", OTHERWISE),
    "a layer made at the first call": (
        "self.first = None",
        "if self.first is None: self.first = nn.Linear(2, 2)",
        "makes 'first.bias' as it runs, and a run of it could not be opened again",
    ),
    "NumPy's generator in each call": (
        "pass",
        "self.shift = torch.from_numpy(np.random.randn(*self.event_shape)).float()",
        NOT_REPEATED,
    ),
    "a count of calls": ("self.calls = 0", "self.calls += 1; self.shift = self.shift + self.calls", NOT_REPEATED),
}


@pytest.fixture
def train(cli, npz, tmp_path):
    def train(init, forward, layer="Linear(8, size)", epochs=1):
        (tmp_path / "pair.py").write_text(
            PAIR.replace("{INIT}", init).replace("{FORWARD}", forward).replace("{LAYER}", layer)
        )
        pair = ["--model", f"{tmp_path / 'pair.py'}:Model", "--guide", f"{tmp_path / 'pair.py'}:Guide"]
        command = ["train", "--data", "digits", *pair, "--latent-dim", "2", "--out", tmp_path / "run"]
        return cli(*command, "--epochs", epochs, "--engine", "eager")

    return train


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_before_anything_is_written(train, tmp_path, what):
    init, forward, message = REFUSED[what]
    status, _, err = train(init, forward)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_a_state_dict_or_the_seed_gives_back_is_not(train, tmp_path, cli):
    """A buffer that came of the data, torch's generator in the constructor, and a layer that takes its size later."""
    init = "del self.shift; self.register_buffer('shift', x_mean * torch.rand(event_shape))"
    assert train(init, "pass", "LazyLinear(size)")[0] == 0
    assert cli("evaluate", tmp_path / "run", "--num-samples", "1")[0] == 0


def test_what_training_alone_changes_is_told_at_its_end(train, tmp_path):
    status, _, err = train("pass", "if self.training: self.shift = self.shift + 1")
    assert status == 0
    assert f"warning: {tmp_path / 'run'} opens as another pair than was trained" in err
