"""Likelihoods, priors and layers by flags: trained, evaluated, reported, refused."""

import json
import re

import numpy as np
import pytest
import torch
import yaml

from ppl_vae.estimates.caveats import CAVEATS
from ppl_vae.runtime import checkpoint

BRIEF = [
    *["--limit", "3", "--infer-steps", "4", "--infer-window", "2", "--elbo-samples", "5", "--num-samples", "10"],
    *["--chains", "2", "--temperatures", "2", "--prior-temperatures", "2", "--leapfrog", "2"],
]
FEW = ["--limit", "5", "--num-samples", "5", "--workers", "1"]
TINY = ["--epochs", "2", "--hidden", "8", "--latent-dim", "2", "--device", "cpu"]
SMALL = {
    "continuous-bernoulli": ["--likelihood", "continuous-bernoulli", "--binarization", "none"],
    "normal": ["--likelihood", "normal", "--binarization", "none", "--model", "conditional"],
    "mixture": ["--prior", "mixture", "--num-components", "3"],
    "vamp": ["--prior", "vamp", "--num-components", "3", "--model", "conditional", "--family", "full-rank"],
    "vamp-refined": ["--prior", "vamp", "--num-components", "3", "--guide", "semi-amortized", "--family", "low-rank"],
    "two-layers": ["--model", "hierarchical", "--upper-latent-dim", "2", "--upper-hidden", "4"],
    "two-layers-bottom-up": ["--model", "hierarchical", "--family", "bottom-up", "--kl-warmup", "1"],
    "two-layers-rows": ["--model", "hierarchical", "--family", "bottom-up", "--guide", "per-datapoint"],
    "oracle": ["--model", "two-layer-linear-gaussian", "--family", "full-rank", "--binarization", "none"],
}


# The others train as these do, on other numbers.
QUICK = ("vamp",)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in SMALL]
)
def test_every_command_takes_it(one_picture, cli, tmp_path, kind):
    run = tmp_path / "run"
    status, _, err = cli("train", *TINY, *SMALL[kind], "--out", run)
    assert (status, err) == (0, "")
    assert (run / "report.html").exists()
    status, out, _ = cli("evaluate", run, "--estimator", "iwae", "--num-samples", "10", "--limit", "6", "--json")
    assert status == 0
    assert json.loads(out)["protocol"]["likelihood"] == "proper"
    conditional = "conditional" in SMALL[kind]
    drawn = ["sample", run, "conditional" if conditional else "prior"]
    commands = [drawn, ["sample", run, "interpolate"], ["gaps", run, *BRIEF]]
    for words in commands:
        status, _, err = cli(*words)
        assert status == 0, (words, err)


@pytest.mark.slow
def test_the_report_has_the_sizes_of_both_layers(one_picture, cli, tmp_path):
    for kind, both in (("two-layers", True), ("mixture", False)):
        assert cli("train", *TINY, *SMALL[kind], "--epochs", "1", "--out", tmp_path / kind)[0] == 0
        page = (tmp_path / kind / "report.html").read_text()
        settings = dict(re.findall(r'<th scope="row">(\w+)</th><td>(\w+)', page))
        sizes = [settings.get(name) for name in ("upper_latent_dim", "upper_hidden", "num_components")]
        assert sizes == (["2", "4", None] if both else [None, None, "3"])


@pytest.mark.slow
def test_a_resumed_run_is_the_one_that_never_stopped(cli, tmp_path):
    """With an encoder that the model and the guide share."""
    flags = [*TINY, *SMALL["vamp"]]
    assert cli("train", *flags, "--epochs", "4", "--out", tmp_path / "whole")[0] == 0
    assert cli("train", *flags, "--out", tmp_path / "parts")[0] == 0
    assert cli("train", "--resume", tmp_path / "parts", "--epochs", "4")[0] == 0
    states = [checkpoint.load(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts")]
    for part in ("model", "guide"):
        assert states[0][part].keys() == states[1][part].keys()
        assert all(torch.equal(states[0][part][name], states[1][part][name]) for name in states[0][part])
    shared = states[0]["model"]["prior.encoder.net.0.weight"]
    assert torch.equal(shared, states[0]["guide"]["encoder.net.0.weight"])


BITS = ["--likelihood", "normal", "--binarization", "dynamic"]


def test_bits_under_a_density_are_warned_of_and_labelled(one_picture, cli, tmp_path):
    status, out, err = cli("train", *TINY, *BITS, "--out", tmp_path / "run")
    assert status == 0
    assert err.startswith("warning: bits under a density")
    assert err.count("\n") == 1
    assert CAVEATS["none (density on bits)"] in out
    result = json.loads(cli("evaluate", tmp_path / "run", "--limit", "5", "--json")[1])
    assert result["protocol"]["likelihood"] == "none (density on bits)"
    assert CAVEATS["none (density on bits)"] in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_sharing_a_guide_among_runs_of_a_comparison(cli, tmp_path):
    prior = ["--prior", "vamp", "--num-components", "3"]
    guides = ["amortized:diagonal", "semi-amortized:diagonal"]
    status, out, err = cli("compare", "--guides", *guides, *prior, *TINY, *FEW, "--out", tmp_path / "both")
    assert status == 0, err
    assert "semi-amortized" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--prior", "vamp", "--guide", "mean-field"], "has no encoder"),
        (["--prior", "vamp", "--family", "point"], "no density to mix"),
        (["--prior", "vamp", "--model", "hierarchical"], "one latent vector"),
        (
            ["--prior", "mixture", "--model", "linear-gaussian"],
            "--prior: nothing in this pair reads it; what does: --model vae,",
        ),
        (["--likelihood", "normal", "--model", "linear-gaussian"], "--likelihood: nothing in this pair reads it"),
        (["--upper-latent-dim", "3"], "what does: --model hierarchical, two-layer-linear-gaussian."),
        (["--word-dropout", "0.5"], "--word-dropout: nothing in this pair reads it; what does: --model sequence."),
        (
            ["--num-components", "7"],
            "--num-components: nothing in this pair reads it; what does: --prior mixture, vamp.",
        ),
        (["--channels", "4", "8"], "--channels: nothing in this pair reads it; what does: --net conv."),
        (["--upper-hidden", "3"], "what does: --model hierarchical; --family bottom-up."),
        (["--family", "bottom-up"], "this model has one; use diagonal"),
        (["--likelihood", "gamma"], "gamma"),
        (["--prior", "horseshoe"], "horseshoe"),
        (["--num-components", "0"], "--num-components"),
        (["--preset", "burda-3"], "burda-3"),
        (["--objective", "elbo-analytic-kl", "--prior", "mixture"], "site 'z'"),
    ],
)
def test_refused_in_one_line(cli, tmp_path, flags, words):
    status, _, err = cli("train", *TINY, *flags, "--out", tmp_path / "run")
    assert status == 2
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_users_model_asks_for_them_by_name(cli, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ppl_vae.models import VAE\nfrom ppl_vae.networks.dense import Decoder\n\n\nclass Mine(VAE):\n"
        "    def __init__(self, latent_dim, event_shape, likelihood, make_prior):\n"
        "        decoder, prior = Decoder(latent_dim, event_shape), make_prior(latent_dim, 0)\n"
        "        super().__init__(decoder, latent_dim, likelihood, prior)\n"
    )
    mine = ["--model", f"{tmp_path / 'mine.py'}:Mine", "--likelihood", "normal", "--prior", "mixture"]
    status, _, err = cli("train", *TINY, *mine, "--binarization", "none", "--out", tmp_path / "run")
    assert (status, err) == (0, "")


def test_presets_are_the_papers_architectures(cli, tmp_path):
    """Burda et al. 2016: z 50 over 200-200; and z1 100 over 200-200, z2 50 over 100-100, all tanh."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "few.npz", x=(rng.random((20, 3, 3)) > 0.5))
    expected = {
        "burda-1": {"latent_dim": 50, "hidden": [200, 200], "activation": "tanh"},
        "burda-2": {
            "latent_dim": 100,
            "hidden": [200, 200],
            "upper_latent_dim": 50,
            "upper_hidden": [100, 100],
            "activation": "tanh",
        },
    }
    parts = {"burda-1": ("vae", "diagonal"), "burda-2": ("hierarchical", "bottom-up")}
    for name, settings in expected.items():
        run = tmp_path / name
        flags = ["--preset", name, "--data", tmp_path / "few.npz", "--epochs", "1", "--device", "cpu", "--out", run]
        status, _, err = cli("train", *flags)
        assert (status, err) == (0, "")
        pair = yaml.safe_load((run / "config.yaml").read_text())["config"]["pair"]
        assert pair["settings"] == settings
        assert (pair["model"], pair["family"]) == parts[name]
    status, _, _ = cli("train", "--preset", "burda-1", "--latent-dim", "3", *flags[2:-1], tmp_path / "mine")
    assert status == 0
    settings = yaml.safe_load((tmp_path / "mine" / "config.yaml").read_text())["config"]["pair"]["settings"]
    assert (settings["latent_dim"], settings["hidden"]) == (3, [200, 200])  # a flag that is given wins


def test_a_traverse_says_that_an_upper_layer_acts_through_the_lower_one(cli, tmp_path):
    assert cli("train", *TINY, *SMALL["two-layers"], "--out", tmp_path / "run")[0] == 0
    status, out, err = cli("sample", tmp_path / "run", "traverse", "--num-units", "4")
    assert (status, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("units ")]
    assert "z2_1" in line
    assert "z2_2" in line
    assert "z1_1" not in line
