"""``ppl-vae evaluate``, ``infer`` and ``sample`` on a small run."""

import json

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.estimates.fingerprint import fingerprint_of
from ppl_vae.runs.run import Run


def test_evaluate_json_holds_value_error_and_protocol(cli, trained):
    status, out, _ = cli("evaluate", trained, "--estimator", "iwae", "--num-samples", "50", "--limit", "40", "--json")
    assert status == 0
    result = json.loads(out)
    assert -40 < result["log_px"] < -15
    assert 0 < result["stderr"] < 3
    assert next(iter(result)) == "log_px"
    for name in ("fingerprint", "model", "guide"):
        assert len(result["protocol"].pop(name)) == 16
    assert result["protocol"] == {
        "data": "digits",
        "split": "test",
        "num_datapoints": 40,
        "binarization": "dynamic",
        "data_seed": 0,
        "likelihood": "proper",
        "estimator": "iwae",
        "num_samples": 50,
        "seed": 0,
        "details": {},
    }


@pytest.mark.slow
def test_evaluate_names_the_weights(cli, trained):
    """Of this pair, whatever else is asked of it."""
    pair = Run.open(trained).load_pair(torch.device("cpu"))
    for flags in ([], ["--estimator", "iwae", "--seed", "1", "--split", "train", "--limit", "5"]):
        protocol = json.loads(cli("evaluate", trained, *flags, "--json")[1])["protocol"]
        assert protocol["model"] == fingerprint_of(pair.model)
        assert protocol["guide"] == fingerprint_of(pair.guide) != protocol["model"]


def test_evaluate_elbo_has_its_parts(cli, trained):
    result = json.loads(cli("evaluate", trained, "--json")[1])
    assert result["elbo"] == pytest.approx(result["reconstruction"] - result["kl"])
    assert {"stderr", "reconstruction_stderr", "kl_stderr"} <= set(result)


@pytest.mark.slow
def test_evaluate_is_repeatable_and_its_seed_matters(cli, trained):
    outs = [cli("evaluate", trained, "--seed", seed)[1] for seed in (0, 0, 1)]
    assert outs[0] == outs[1] != outs[2]


def test_evaluate_table_names_the_protocol(cli, trained):
    out = cli("evaluate", trained, "--split", "validation", "--limit", "1")[1]
    assert "nan" not in out
    assert "of one, so no error over datapoints" in out
    assert "split validation" in out
    assert json.loads(cli("evaluate", trained, "--limit", "1", "--json")[1])["stderr"] is None


@pytest.mark.slow
def test_importance_bound_is_above_the_elbo(cli, trained):
    elbo = json.loads(cli("evaluate", trained, "--num-samples", "100", "--json")[1])["elbo"]
    bound = json.loads(cli("evaluate", trained, "--estimator", "iwae", "--num-samples", "100", "--json")[1])["log_px"]
    assert bound > elbo


def test_infer_writes_what_it_says(cli, trained, npz, tmp_path):
    x = np.random.default_rng(0).integers(0, 17, (300, 8, 8), dtype=np.uint8)
    status, out, _ = cli("infer", trained, "--input", npz(x=x), "--out", tmp_path / "z.npz", "--num-samples", "4")
    assert status == 0
    assert "z_mean (300, 2)" in out
    with np.load(tmp_path / "z.npz") as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "elbo": (300,),
            "z_mean": (300, 2),
            "z_std": (300, 2),
            "z_samples": (4, 300, 2),
        }
        assert all(np.isfinite(arrays[name]).all() for name in arrays)
        error = (arrays["z_samples"] - arrays["z_mean"]) / arrays["z_std"]
    assert abs(error.mean()) < 5 / np.sqrt(error.size)
    assert abs(error.var() - 1) < 5 * np.sqrt(2 / error.size)


def test_prior_samples(cli, trained, tmp_path):
    out = tmp_path / "prior.npz"
    assert cli("sample", trained, "prior", "--num-samples", "500", "--out", out)[0] == 0
    with np.load(out) as arrays:
        assert arrays["z"].shape == (500, 2)
        assert arrays["means"].shape == arrays["x"].shape == (500, 8, 8)
        assert set(np.unique(arrays["x"])) == {0, 1}
        assert abs(arrays["z"].mean()) < 5 / np.sqrt(1000)
        pixel_error = (arrays["x"] - arrays["means"]).mean()
        variance = (arrays["means"] * (1 - arrays["means"])).mean()
    assert abs(pixel_error) < 5 * np.sqrt(variance / 32000)
    assert out.with_suffix(".png").stat().st_size > 1000


def test_posterior_samples(cli, trained, tmp_path):
    out = tmp_path / "posterior.npz"
    assert cli("sample", trained, "posterior", "--num-samples", "7", "--out", out)[0] == 0
    with np.load(out) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "observations": (7, 8, 8),
            "z": (7, 2),
            "means": (7, 8, 8),
            "x": (7, 8, 8),
        }


def test_grid_and_default_names(cli, trained):
    for number in (1, 2):
        status, out, _ = cli("sample", trained, "grid", "--steps", "3")
        assert status == 0
        assert f"grid-{number}.npz" in out
    with np.load(trained / "samples" / "grid-1.npz") as arrays:
        assert arrays["means"].shape == (3, 3, 8, 8)


@pytest.mark.parametrize("command", ["train", "evaluate", "infer", "sample", "explore"])
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"ppl-vae {command}" in capsys.readouterr().out.split("examples:")[1]


def test_overview(cli):
    for arguments in ([], ["--help"]):
        status, out, _ = cli(*arguments)
        assert status == 0
        assert all(command in out for command in ("train", "evaluate", "infer", "sample"))
