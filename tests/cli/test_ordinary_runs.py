"""Warnings are of something: twenty ordinary runs have none, a guide that misses a mode has one."""

import numpy as np
import pytest
import torch

from ppl_vae.data import load
from ppl_vae.runs.run import Run

QUICK = ["--hidden", "64", "--epochs", "40"]
SEMI = ["--hidden", "64", "--guide", "semi-amortized", "--latent-dim", "5", "--epochs", "20"]
FAMILIES = ("diagonal", "low-rank", "full-rank", "planar", "iaf")
MNIST = ["--data", "mnist", "--epochs", "2", "--hidden", "64"]

RUNS = {
    **{f"amortized, {family}": [*QUICK, "--latent-dim", "5", "--family", family] for family in FAMILIES},
    **{f"semi-amortized, {family}": [*SEMI, "--family", family] for family in FAMILIES},
    "per-datapoint": [*QUICK, "--guide", "per-datapoint", "--binarization", "static", "--latent-dim", "2"],
    "a plane": [*QUICK, "--latent-dim", "2"],
    "ten units": [*QUICK, "--latent-dim", "10", "--kl-warmup", "10"],
    "dreg": [*QUICK, "--latent-dim", "5", "--objective", "dreg", "--num-particles", "10"],
    "conditional": [*QUICK, "--model", "conditional", "--latent-dim", "5"],
    "normal": [*QUICK, "--likelihood", "normal", "--binarization", "none", "--latent-dim", "5"],
    "mnist": [*MNIST, "--latent-dim", "10"],
    "mnist, full-rank": [*MNIST, "--latent-dim", "10", "--family", "full-rank"],
    "mnist, a plane": [*MNIST, "--latent-dim", "2"],
    "names": ["--model", "sequence", "--epochs", "3", "--hidden", "64", "--latent-dim", "5", "--kl-warmup", "2"],
}  # fmt: skip

# Its modes are learned; it starts with two.
TWO_MODES = """
import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

class TwoModes(PyroModule):
    def __init__(self, event_shape):
        super().__init__()
        self.steepness = torch.nn.Parameter(torch.full(event_shape, 3.0))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros((), device=batch.x.device), 1.0))
            logits = self.steepness * (z**2 - 1)[..., None]
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=batch.x)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def warnings_of(cli, *words):
    status, out, err = cli(*words)
    assert status == 0, err
    return [line for line in (out + err).splitlines() if "warning" in line]


# Few datapoints and few temperatures, and as many more as their errors tell: the fits have their own defaults.
GAPS = ["--splits", "test", "--limit", 20, "--num-samples", 200, "--temperatures", 20, "--prior-temperatures", 60]
COMPARED = {
    "digits": ["--epochs", "20", "--hidden", "64", "--latent-dim", "5"],
    "digits, a plane": ["--epochs", "20", "--hidden", "64", "--latent-dim", "2"],
    "normal": [
        *["--epochs", "20", "--hidden", "64", "--latent-dim", "5", "--likelihood", "normal", "--binarization", "none"]
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_an_ordinary_run_has_no_warning(cli, runs, request, name):
    words = list(RUNS[name])
    if name.startswith("mnist"):
        words += ["--data-root", request.getfixturevalue("shared_data")]
    if name == "names":
        words += ["--data", request.getfixturevalue("shared_data") / "names" / "names.txt"]
    status, _, err = cli("train", *words, "--out", runs / name)
    assert status == 0, err
    assert "warning" not in err
    for estimator in ("elbo", "iwae"):
        found = ["--estimator", estimator, "--limit", 100]
        assert warnings_of(cli, "evaluate", runs / name, *found) == []
    assert warnings_of(cli, "gaps", runs / name, *GAPS) == []
    if name != "names":  # whose observations are files of their own kind
        rows = load(Run.open(runs / name).record.config.data).test.fixed(0).head(20)
        labels = {} if rows.y is None else {"y": rows.y.numpy()}
        np.savez(runs / f"{name}.npz", x=rows.x.numpy(), **labels)
        assert (
            warnings_of(cli, "infer", runs / name, "--input", runs / f"{name}.npz", "--out", runs / f"{name} z.npz")
            == []
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_an_ordinary_comparison_has_no_warning(cli, runs, name):
    few = ["--seeds", 1, "--limit", 50, "--num-samples", 100, "--out", runs / f"compared {name}"]
    assert warnings_of(cli, "compare", *COMPARED[name], *few) == []


def two_modes(folder, num):
    """The model in a file, and so many draws of it in another, as flags."""
    (folder / "modes.py").write_text(TWO_MODES)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(num, 1, generator=generator, dtype=torch.float64)
    bits = torch.rand(num, 8, generator=generator, dtype=torch.float64) < torch.sigmoid(3 * (z**2 - 1))
    np.savez(folder / "bits.npz", x=bits.float().numpy())
    return ["--model", f"{folder}/modes.py:TwoModes", "--data", folder / "bits.npz"]


@pytest.mark.slow
def test_a_missed_mode_has_one(cli, tmp_path):
    """A Gaussian q, well trained, has one of two modes: the ELBO is what it is, but the importance bound is too low."""
    pair = two_modes(tmp_path, 1000)
    assert cli("train", *pair, "--hidden", "64", "--epochs", "150", "--out", tmp_path / "run")[0] == 0
    assert warnings_of(cli, "evaluate", tmp_path / "run", "--estimator", "elbo") == []
    (warning,) = warnings_of(cli, "evaluate", tmp_path / "run", "--estimator", "iwae")
    assert "the guide misses part of the posterior, such as a mode" in warning


@pytest.mark.slow
def test_a_comparison_says_whose_bound_misses_a_mode(cli, tmp_path):
    """Beside one whose bound is whole it would be ranked by that."""
    pair = two_modes(tmp_path, 300)
    few = ["--epochs", "1", "--seeds", "1", "--workers", "1", "--limit", "40", "--device", "cpu"]
    status, out, err = cli("compare", *pair, *few, "--guides", "amortized", "mean-field", "--out", tmp_path / "both")
    assert status == 0, err
    assert "warning: mean-field: the guide misses part of the posterior, such as a mode" in out
