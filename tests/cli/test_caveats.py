"""Grey levels under a Bernoulli: trained with a warning, labelled in every result, ranked with nothing else."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from ppl_vae import UserError
from ppl_vae.cli.main import main
from ppl_vae.estimates.caveats import CAVEATS
from ppl_vae.reports.comparison_table import summarise
from ppl_vae.runs.comparison import Result
from tests.marks import slow_after

GREY = ["--binarization", "none", "--likelihood", "bernoulli"]
LABEL = "none (Bernoulli on grey levels)"
GREY_IN_WORDS = CAVEATS[LABEL]
SMALL = ["--hidden", "8", "--latent-dim", "2", "--epochs", "1"]


def warned(err):
    return err.count("\n") == 1 and err.startswith("warning: grey levels") and "not log-likelihoods" in err


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A run on the digits as they are."""
    path = tmp_path_factory.mktemp("runs") / "grey"
    assert main(["train", *GREY, *SMALL, "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize("model", ["vae", "conditional"])
def test_training_warns_in_one_line(cli, tmp_path, model):
    flags = ["--model", model, *GREY, *SMALL]
    status, out, err = cli("train", *flags, "--out", tmp_path / "run")
    assert status == 0
    assert warned(err), err
    assert "elbo" in out
    status, _, err = cli("train", "--resume", tmp_path / "run", "--epochs", "2")
    assert status == 0
    assert warned(err), err


@pytest.mark.parametrize(
    "flags",
    slow_after(
        2,
        [
            ["--binarization", "dynamic"],
            ["--binarization", "none", "--model", "linear-gaussian"],
            ["--binarization", "static"],
            ["--binarization", "threshold"],
        ],
    ),
)
def test_likelihoods_are_not_warned_of(cli, tmp_path, flags):
    status, _, err = cli("train", *flags, *SMALL, "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    result = json.loads(cli("evaluate", tmp_path / "run", "--limit", "5", "--json")[1])
    assert result["protocol"]["likelihood"] == "proper"
    assert GREY_IN_WORDS not in cli("evaluate", tmp_path / "run", "--limit", "5")[1]


def test_bits_need_no_binarization(cli, npz, tmp_path):
    x = np.random.default_rng(0).integers(0, 2, (20, 4, 4)).astype(np.float32)
    status, _, err = cli("train", "--data", npz(x=x), *GREY, *SMALL, "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    assert json.loads(cli("evaluate", tmp_path / "run", "--json")[1])["protocol"]["likelihood"] == "proper"


@pytest.mark.parametrize("estimator", ["elbo", "iwae"])
def test_every_evaluation_is_labelled(cli, grey, estimator):
    flags = ["--estimator", estimator, "--limit", "5"]
    result = json.loads(cli("evaluate", grey, *flags, "--json")[1])
    assert result["protocol"]["likelihood"] == LABEL
    table = cli("evaluate", grey, *flags)[1]
    assert GREY_IN_WORDS in table.splitlines()
    assert f"likelihood {LABEL}" in table


def test_infer_warns(cli, grey, npz, tmp_path):
    x = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    status, _, err = cli("infer", grey, "--input", npz(x=x), "--out", tmp_path / "z.npz")
    assert status == 0
    assert warned(err), err


def test_posterior_draws_are_bits(cli, grey, tmp_path):
    assert cli("sample", grey, "posterior", "--num-samples", "5", "--out", tmp_path / "draws.npz")[0] == 0
    with np.load(tmp_path / "draws.npz") as arrays:
        assert set(np.unique(arrays["x"])) == {0, 1}
        assert len(np.unique(arrays["observations"])) > 2


VALIDATING = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

class Mine(PyroModule):
    def __init__(self, event_shape):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(event_shape))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.bias.new_zeros(2), 1.0).to_event(1))
            logits = self.bias + z.sum(-1)[..., None, None]
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)
"""


def test_a_users_bernoulli_that_refuses_grey_levels(cli, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(VALIDATING)
    flags = ["--model", f"{file}:Mine", "--hidden", "8", "--epochs", "1", "--out", tmp_path / "run"]
    status, out, err = cli("train", *flags, "--binarization", "none")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "site 'x': the model's Bernoulli refuses grey levels; binarize the data" in err
    assert not (tmp_path / "run").exists()
    assert cli("train", *flags)[0] == 0


def test_a_comparison_says_it_everywhere(in_this_process, cli, tmp_path):
    terms = ["--guides", "amortized", "--seeds", "1", "--limit", "5", "--num-samples", "10", "--workers", "1"]
    out = tmp_path / "out"
    status, text, err = cli("compare", *terms, *SMALL, *GREY, "--out", out)
    assert status == 0
    assert warned(err), err
    assert GREY_IN_WORDS in text.splitlines()
    assert GREY_IN_WORDS in (out / "table.md").read_text()
    assert f"likelihood {LABEL}" in (out / "table.md").read_text()
    assert json.loads((out / "table.json").read_text())["protocol"]["likelihood"] == LABEL
    with (out / "table.csv").open() as file:
        assert [line["likelihood"] for line in csv.DictReader(file)] == [LABEL]


def test_they_are_not_ranked_with_likelihoods():
    names = ("elbo", "log_px", "reconstruction", "kl", "log_px_monte_carlo", "seconds", "parameters")
    figures = dict.fromkeys(names, 1.0)
    proper = Result("amortized", figures, [1.0], {"data": "digits", "likelihood": "proper", "seed": 0})
    assert len(summarise([proper, replace(proper, guide="iaf")]).rows) == 2
    with pytest.raises(UserError, match=r"iaf was not evaluated like amortized \(likelihood differ\)"):
        summarise([proper, replace(proper, guide="iaf", protocol=proper.protocol | {"likelihood": LABEL})])
