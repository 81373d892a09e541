"""An exact posterior as guide of a model without parameters: refused before a folder is made, of use from Python."""

import numpy as np
import pytest
import torch

from ppl_vae import UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from tests.conjugate import beta_bernoulli
from tests.fits import settings

PAIR = '''
import pyro, pyro.distributions as dist, torch
from pyro.nn import PyroModule


class Model(PyroModule):
    """p ~ Beta(1, 1), each bit ~ Bernoulli(p)."""

    def __init__(self, event_shape):
        super().__init__()
        self.event_shape = event_shape
        self.register_buffer("one", torch.ones(()))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            p = pyro.sample("p", dist.Beta(self.one, self.one))
            probs = p[..., None, None].expand(*p.shape, *self.event_shape)
            return pyro.sample("x", dist.Bernoulli(probs).to_event(2), obs=batch.x)


class Guide(PyroModule):
    """The exact posterior."""

    def forward(self, batch):
        lit = batch.x.flatten(1).sum(1)
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("p", dist.Beta(1 + lit, 1 + batch.x[0].numel() - lit))
'''


@pytest.mark.parametrize("command", ["train", "compare"])
def test_it_is_refused_before_a_folder_is_made(command, cli, npz, tmp_path):
    (tmp_path / "pair.py").write_text(PAIR)
    data = npz(x=(np.random.default_rng(0).random((40, 3, 4)) < 0.5).astype(np.float32))
    guide = ["--guides" if command == "compare" else "--guide", f"{tmp_path}/pair.py:Guide"]
    model = ["--model", f"{tmp_path}/pair.py:Model", "--data", data, "--epochs", "1"]
    status, out, err = cli(command, *model, *guide, "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err.startswith("ppl-vae: the pair has no parameters: there is nothing to train; evaluate it as it is, from")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_from_python_it_is_a_pair_like_any_other():
    oracle = beta_bernoulli()
    data = Dataset(torch.bernoulli(torch.full((20, 6), 0.4, dtype=torch.float64)))
    with pytest.raises(UserError, match=r"^the pair has no parameters: there is nothing to train; evaluate it as it"):
        fit(oracle.model, oracle.guide, data, settings=settings(patience=0))
    exact = torch.as_tensor(oracle.log_px(data.x.numpy()))
    torch.testing.assert_close(elbo(oracle.model, oracle.guide, data).elbo.values.double(), exact)
