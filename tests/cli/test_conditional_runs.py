"""Runs of the conditional model, and runs whose guide has a row for each training datapoint."""

import json

import numpy as np
import pytest

from ppl_vae.cli.main import main

TINY = ["--hidden", "16", "--latent-dim", "2", "--epochs", "1"]
# Local inference far short of convergence.
BRIEF = ["--infer-steps", "20", "--infer-window", "10"]
IMAGES = np.random.default_rng(0).random((30, 4, 4), dtype=np.float32)


def train(tmp_path_factory, name, *arguments):
    path = tmp_path_factory.mktemp("runs") / name
    assert main(["train", *TINY, "--out", str(path), *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return train(tmp_path_factory, "conditional", "--model", "conditional")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return train(tmp_path_factory, "local", "--guide", "per-datapoint", "--binarization", "static")


def refused(result, *parts):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


# --- The conditional model --------------------------------------------------------------------------------------------


def test_sample_of_one_label(cli, conditional, tmp_path):
    out = tmp_path / "sevens.npz"
    status, text, _ = cli("sample", conditional, "conditional", "--label", 7, "--num-samples", 5, "--out", out)
    assert status == 0
    assert "x (5, 8, 8)" in text
    with np.load(out) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {"z": (5, 2), "means": (5, 8, 8), "x": (5, 8, 8)}
        assert set(np.unique(arrays["x"])) <= {0, 1}
        sevens = arrays["means"]
    assert out.with_suffix(".png").stat().st_size > 1000
    other = tmp_path / "ones.npz"
    assert cli("sample", conditional, "conditional", "--label", 1, "--num-samples", 5, "--out", other)[0] == 0
    with np.load(other) as arrays:  # the same seed, so the same z
        assert not np.allclose(arrays["means"], sevens)


def test_sheet_of_all_labels(cli, conditional, tmp_path):
    for num, columns in ((4, 4), (64, 12)):
        out = tmp_path / f"{num}.npz"
        assert cli("sample", conditional, "conditional", "--num-samples", num, "--out", out)[0] == 0
        with np.load(out) as arrays:
            assert arrays["means"].shape == (10, columns, 8, 8)
        assert out.with_suffix(".png").stat().st_size > 1000


def test_what_is_given_labels_bounds_the_density_given_labels(cli, conditional):
    """It would lie above that of a model that is not given them, for no merit of its own."""
    status, text, _ = cli("evaluate", conditional, "--limit", 20)
    assert status == 0
    assert "the ELBO is a lower bound: log p(x | y) ≥" in text


@pytest.mark.parametrize("label", ["10", "10000"])
def test_label_out_of_range(cli, conditional, tmp_path, label):
    out = tmp_path / "x.npz"
    result = cli("sample", conditional, "conditional", "--label", label, "--out", out)
    refused(result, f"--label {label}: the labels of this run are 0 to 9")
    assert not list(tmp_path.iterdir())


def test_negative_label(cli, conditional):
    refused(
        cli("sample", conditional, "conditional", "--label", "-1"), "--label -1", "the labels of this run are 0 to 9"
    )


def test_prior_without_labels_points_to_conditional(cli, conditional):
    refused(cli("sample", conditional, "prior"), "sample conditional")


def test_grid_needs_a_label(cli, conditional, tmp_path):
    refused(cli("sample", conditional, "grid"), "--label")
    assert cli("sample", conditional, "grid", "--label", 3, "--steps", 3, "--out", tmp_path / "grid.npz")[0] == 0


def test_other_models_take_no_label(cli, local):
    for what in ("conditional", "grid", "interpolate", "traverse"):
        refused(cli("sample", local, what, "--label", 3), "takes no labels", "--model conditional")
    assert not (local / "samples").exists()


def test_evaluate_and_posterior(cli, conditional, tmp_path):
    result = json.loads(cli("evaluate", conditional, "--limit", 20, "--json")[1])
    assert -80 < result["elbo"] < -15
    assert cli("sample", conditional, "posterior", "--num-samples", 3, "--out", tmp_path / "p.npz")[0] == 0


def test_infer_reads_the_labels(cli, conditional, npz, tmp_path):
    x = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8), 10, 0)
    out = tmp_path / "z.npz"
    assert cli("infer", conditional, "--input", npz(x=(x > 99), y=np.arange(10)), "--out", out)[0] == 0
    with np.load(out) as arrays:
        assert np.unique(arrays["z_mean"], axis=0).shape == (10, 2)


def test_infer_without_labels_is_refused(cli, conditional, npz, tmp_path):
    path = npz(x=np.zeros((4, 8, 8), dtype=np.uint8))
    refused(cli("infer", conditional, "--input", path, "--out", tmp_path / "z.npz"))
    assert not (tmp_path / "z.npz").exists()


def test_run_without_labels_is_refused(cli, npz, tmp_path):
    result = cli("train", "--model", "conditional", "--data", npz(x=IMAGES), "--out", tmp_path / "run")
    refused(result, "needs labels or conditions and this data has none")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("guide", ["per-datapoint", "semi-amortized"])
def test_every_parameterisation_trains_it(cli, npz, tmp_path, guide):
    path = npz(x=IMAGES, y=np.arange(30) % 3)
    arguments = ["--model", "conditional", "--guide", guide, "--data", path, "--out", tmp_path / "run"]
    assert cli("train", *TINY, "--binarization", "static", *arguments)[0] == 0
    result = json.loads(cli("evaluate", tmp_path / "run", "--json", *BRIEF)[1])
    assert -40 < result["elbo"] < -5


# --- A row for each datapoint -----------------------------------------------------------------------------------------


def test_evaluate_on_splits_of_other_sizes(cli, local):
    """Test and validation rows are inferred, and training rows too."""
    elbos = {}
    for split in ("test", "validation", "train"):
        status, out, err = cli("evaluate", local, "--split", split, "--limit", 30, "--json", *BRIEF)
        assert status == 0, err
        elbos[split] = json.loads(out)["elbo"]
    assert all(-80 < value < -15 for value in elbos.values())


def test_importance_bound_of_unseen_data(cli, local):
    arguments = ["--limit", 30, "--num-samples", 50, "--json", *BRIEF]
    elbo = json.loads(cli("evaluate", local, *arguments)[1])["elbo"]
    assert json.loads(cli("evaluate", local, "--estimator", "iwae", *arguments)[1])["log_px"] > elbo


@pytest.mark.parametrize("num", [1, 7])
def test_infer_unseen_observations(cli, local, npz, tmp_path, num):
    x = np.random.default_rng(0).integers(0, 17, (num, 8, 8), dtype=np.uint8)
    status, _, err = cli("infer", local, "--input", npz(x=x), "--out", tmp_path / "z.npz", *BRIEF)
    assert status == 0, err
    with np.load(tmp_path / "z.npz") as arrays:
        assert arrays["z_mean"].shape == (num, 2)
        assert arrays["z_samples"].shape == (10, num, 2)
        assert np.isfinite(arrays["elbo"]).all()


@pytest.mark.parametrize("split", ["test", "train"])
def test_posterior_samples(cli, local, tmp_path, split):
    out = tmp_path / "p.npz"
    status, _, err = cli("sample", local, "posterior", "--num-samples", 5, "--split", split, "--out", out, *BRIEF)
    assert status == 0, err
    with np.load(out) as arrays:
        assert arrays["z"].shape == (5, 2)
        assert np.isfinite(arrays["means"]).all()


# --- Names that do not go together ------------------------------------------------------------------------------------


def test_mean_field_is_diagonal(cli, tmp_path):
    result = cli("train", "--guide", "mean-field", "--family", "full-rank", "--out", tmp_path / "run")
    refused(result, "mean-field means the diagonal family", "--guide per-datapoint")
    assert not (tmp_path / "run").exists()


def test_a_point_has_no_importance_bound(cli, npz, tmp_path):
    run = tmp_path / "run"
    arguments = ["--family", "point", "--data", npz(x=IMAGES), "--binarization", "static", "--out", run]
    assert cli("train", *TINY, *arguments)[0] == 0
    refused(cli("evaluate", run, "--estimator", "iwae"), "no importance weights", "--estimator elbo")
    assert cli("evaluate", run)[0] == 0
