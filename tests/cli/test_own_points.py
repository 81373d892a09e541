"""A guide of a user's own that is a point is refused, or warned of, exactly where ``--family point`` is."""

import json
from pathlib import Path

import numpy as np
import pytest

from ppl_vae.cli.main import main

OWN = Path(__file__).with_name("own.py")
IMAGES = np.random.default_rng(0).random((30, 4, 4), dtype=np.float32)
POINTS = {"ours": ["--family", "point", "--hidden", "4"], "a user's": ["--guide", f"{OWN}:Spot"]}
SHORT = ["--num-samples", "2", "--temperatures", "3", "--limit", "2"]
WARNED = (
    "The guide puts z at one point, which has no density: it has a reconstruction but no ELBO, and the two must not be "
    "compared."
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, x=IMAGES)
    return ["--data", str(path), "--binarization", "static", "--latent-dim", "2", "--epochs", "1"]


@pytest.fixture(scope="module", params=[pytest.param("ours", marks=pytest.mark.slow), "a user's"])
def point(request, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", *data, *POINTS[request.param], "--out", str(run)]) == 0
    return run


def refused(result, message):
    status, out, err = result
    assert (status, out, err) == (2, "", f"ppl-vae: {message}\n")


def test_what_needs_a_density_is_refused(cli, point):
    no_weights = (
        "the guide puts z at one point, which has no density, so there are no importance weights; "
        "use --estimator elbo, or ais from the prior."
    )
    for flags in (["iwae"], ["ais", "--start", "guide"], ["bdmc", "--start", "guide"]):
        refused(cli("evaluate", point, "--estimator", *flags), no_weights)
    refused(
        cli("evaluate", point, "--estimator", "sbc"),
        "the guide puts z at one point and has no spread that could be calibrated; train with another guide or another "
        "--family.",
    )
    refused(
        cli("gaps", point),
        "the guide puts z at one point, which has no density, so there is no gap to log p(x); train with another "
        "guide or another --family.",
    )
    assert not list(point.glob("gaps*"))


def test_it_has_a_reconstruction_and_is_warned_of(cli, point):
    said = cli("evaluate", point)[1]
    assert f"warning: {WARNED}" in said
    assert "elbo" not in said
    assert any(line.startswith("result   reconstruction ") for line in said.splitlines())
    assert json.loads(cli("evaluate", point, "--json")[1])["warning"] == WARNED


def test_what_looks_at_no_guide_is_not(cli, point):
    for estimator in ("ais", "bdmc"):
        status, out, _ = cli("evaluate", point, "--estimator", estimator, *SHORT)
        assert status == 0
        assert "which has no density" not in out


@pytest.mark.parametrize("kind", [pytest.param("ours", marks=pytest.mark.slow), "a user's"])
def test_training_ends_in_its_reconstruction_and_knows_no_weights_of_it(cli, data, tmp_path, kind):
    status, out, _ = cli("train", *data, *POINTS[kind], "--out", tmp_path / "run")
    assert status == 0
    assert "result   reconstruction" in out  # not an ELBO, which would be a bound on nothing
    assert "elbo" not in out
    status, _, err = cli("train", *data, *POINTS[kind], "--objective", "iwae", "--out", tmp_path / "other")
    assert status == 2
    assert "site 'z': the guide puts a point there, which has no density" in err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_comparison_does_not_rank_it(cli, data, tmp_path, in_this_process):
    guides = ["--guides", "amortized", f"{OWN}:Spot", "--seeds", "1", "--hidden", "4"]
    out = tmp_path / "table"
    assert cli("compare", *guides, *data, "--num-samples", "10", "--workers", "1", "--out", out)[0] == 0
    ours, spot = json.loads((out / "table.json").read_text())["rows"]
    assert (spot["figures"]["elbo"], spot["figures"]["log_px"], spot["rank"]) == (None, None, None)
    assert (spot["figures"]["kl"], spot["figures"]["reconstruction"] is None) == (None, False)
    assert ours["figures"]["log_px"] is not None
