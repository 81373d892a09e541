"""Commands on runs whose model is given conditions: ours, and one of a user's file that nobody was told of."""

import json

import numpy as np
import pytest
import torch

from ppl_vae.runtime import checkpoint

OWN = '''"""A user's model that reads batch.c; nothing of ours is imported."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class Dosed(PyroModule):
    """z ~ N(0, I), x | z, c ~ N(W z + V c, 1)."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.decoder, self.slope = nn.Linear(latent_dim, *event_shape), nn.Parameter(torch.zeros(2, *event_shape))
        self.register_buffer("zero", torch.zeros(latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1))
            mean = self.decoder(z) + batch.c @ self.slope
            pyro.sample("x", dist.Normal(mean, 1.0).to_event(1), obs=batch.x)
'''
TINY = ["--hidden", "8", "--latent-dim", "2", "--epochs", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, draw = tmp_path_factory.mktemp("conditions"), np.random.default_rng(0)
    c = np.stack([draw.uniform(20, 80, 200), draw.integers(0, 4, 200)], axis=1)
    x = c @ np.array([[0.1, 0.0, 0.2], [0.0, 1.0, 0.0]]) + draw.normal(size=(200, 3))
    named = {"c": c, "condition_names": np.array(["age", "dose"])}
    np.savez(path / "data.npz", x=x.astype(np.float32), **named)
    np.savez(path / "bare.npz", x=x[:3].astype(np.float32))
    np.savez(path / "turned.npz", x=x[:3].astype(np.float32), c=c[:3, ::-1], condition_names=np.array(["dose", "age"]))
    np.savez(path / "few.npz", x=x[:3].astype(np.float32), **{**named, "c": c[:3]})
    (path / "own.py").write_text(OWN)
    return path


@pytest.fixture(scope="module")
def runs(folder):
    from ppl_vae.cli.main import main

    found = {}
    for name, model in (("ours", "conditional"), ("own", f"{folder}/own.py:Dosed")):
        likelihood = ["--likelihood", "normal"] if name == "ours" else []
        train = ["train", "--data", folder / "data.npz", "--model", model, *likelihood, *TINY, "--out", folder / name]
        assert main(list(map(str, train))) == 0
        found[name] = folder / name
    return found


@pytest.mark.parametrize("name", ["ours", "own"])
def test_draws_are_under_those_that_are_said(cli, runs, tmp_path, name):
    run = runs[name]
    status, out, err = cli("sample", run, "conditional", "--at", "age=40", "dose=1", "--out", tmp_path / "a.npz")
    assert status == 0, err
    assert "outside" not in out
    assert cli("sample", run, "conditional", "--at", "age=70", "dose=1", "--out", tmp_path / "b.npz")[0] == 0
    with np.load(tmp_path / "a.npz") as younger, np.load(tmp_path / "b.npz") as older:
        np.testing.assert_array_equal(younger["z"], older["z"])
        if name == "own":
            slope = checkpoint.load(run / "checkpoint.pt")["model"]["slope"][0].numpy()
            np.testing.assert_allclose(older["means"] - younger["means"], np.tile(30 * slope, (64, 1)), rtol=1e-3)
        else:
            assert np.abs(older["means"] - younger["means"]).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours", "own"])
def test_gaps_read_them(cli, runs, tmp_path, in_this_process, name):
    brief = ["--infer-steps", 5, "--infer-window", 2, "--num-samples", 4]
    status, _, err = cli("gaps", runs[name], "--limit", 2, *brief, "--out", tmp_path / "gaps")
    assert status == 0, err


@pytest.mark.parametrize("name", ["ours", "own"])
def test_evaluation_and_inference_read_them(cli, runs, folder, tmp_path, name):
    run = runs[name]
    for command in (
        ("evaluate", run, "--estimator", "iwae", "--num-samples", 3),
        ("infer", run, "--input", folder / "few.npz", "--out", tmp_path / "few-out.npz"),
        ("infer", run, "--input", folder / "turned.npz", "--out", tmp_path / "turned-out.npz"),
    ):
        status, _, err = cli(*command)
        assert status == 0, (command, err)
    with np.load(tmp_path / "few-out.npz") as few, np.load(tmp_path / "turned-out.npz") as turned:
        np.testing.assert_array_equal(few["z_mean"], turned["z_mean"])


def test_what_cannot_be_is_said(cli, runs, folder, tmp_path):
    def refused(*command):
        status, out, err = cli(*command)
        assert (status, out) == (2, "")
        return err

    assert "--at: there is no condition 'agee'" in refused("sample", runs["ours"], "conditional", "--at", "agee=40")
    assert "conditional on age, dose" in refused("sample", runs["ours"], "prior")
    assert "takes no labels" in refused("sample", runs["ours"], "conditional", "--label", 1)
    assert "the page has no place for conditions" in refused("explore", runs["ours"])
    bare = refused("infer", runs["own"], "--input", folder / "bare.npz", "--out", tmp_path / "x.npz")
    assert "no conditions, and this run's model reads age, dose" in bare
    status, out, _ = cli("sample", runs["ours"], "conditional", "--at", "age=140", "--out", tmp_path / "far.npz")
    assert status == 0
    assert "age = 140 is outside of what training saw, 2" in out


def test_gone_on_with_it_is_the_run_that_it_would_have_been(cli, folder, tmp_path):
    flags = ["--data", folder / "data.npz", "--model", "conditional", "--likelihood", "normal", *TINY[:-1]]
    assert cli("train", *flags, 3, "--out", tmp_path / "whole")[0] == 0
    assert cli("train", *flags, 1, "--out", tmp_path / "parts")[0] == 0
    assert cli("train", "--resume", tmp_path / "parts", "--epochs", 3)[0] == 0
    whole, parts = (checkpoint.load(tmp_path / name / "checkpoint.pt")["model"] for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert "decoder.conditions.shift" in whole
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
    figures = []
    for name in ("whole", "parts"):
        status, out, err = cli("evaluate", tmp_path / name, "--json")
        assert status == 0, err
        figures.append(json.loads(out)["figures"] if "figures" in json.loads(out) else json.loads(out))
    assert figures[0].get("elbo") == figures[1].get("elbo")
