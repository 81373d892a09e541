"""A model of a user's own that reads labels is asked for them, and given them, as ``--model conditional`` is."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ppl_vae.cli.main import main
from ppl_vae.runtime import checkpoint

OWN = Path(__file__).with_name("own.py")
BRIEF = ["--infer-steps", "20", "--infer-window", "10", "--infer-starts", "1", "--limit", "4", "--splits", "test"]
FEW = ["--num-samples", "5", "--chains", "1", "--temperatures", "3", "--prior-temperatures", "3", "--elbo-samples", "5"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twenty images of each of the labels 0, 3 and 7, numbers 0, 1 and 2."""
    path, draw = tmp_path_factory.mktemp("data") / "images.npz", np.random.default_rng(0)
    np.savez(path, x=draw.random((60, 4, 4), dtype=np.float32), y=np.repeat([0, 3, 7], 20))
    return ["--data", str(path), "--binarization", "static", "--latent-dim", "2", "--epochs", "1"]


@pytest.fixture(scope="module")
def labelled(data, tmp_path_factory, shown):
    run = tmp_path_factory.mktemp("runs") / "run"
    with shown("prior", "grid"):
        assert main(["train", *data, "--model", f"{OWN}:Labelled", "--guide", f"{OWN}:Encoded", "--out", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def unlabelled(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", *data, "--model", f"{OWN}:Unlabelled", "--guide", f"{OWN}:Encoded", "--out", str(run)]) == 0
    return run


def arrays(cli, run, out, *flags):
    status, _, err = cli("sample", run, *flags, "--out", out)
    assert status == 0, err
    with np.load(out) as found:
        return dict(found)


def expected(run, z, label):
    """E[x | z, y] of the file's model, worked out from its parameters."""
    state = checkpoint.load(run / "checkpoint.pt")["model"]
    weight, bias, own = (state[name].double().numpy() for name in ("decoder.weight", "decoder.bias", "of_class"))
    return 1 / (1 + np.exp(-(z @ weight.T + bias).reshape(*z.shape[:-1], 4, 4) - own[label]))


def refused(result, message):
    status, out, err = result
    assert (status, out, err) == (2, "", f"ppl-vae: {message}\n")


def test_draws_of_one_label_and_a_sheet_of_all(cli, labelled, tmp_path):
    found = arrays(cli, labelled, tmp_path / "a.npz", "conditional", "--label", 3, "--num-samples", 5)
    np.testing.assert_allclose(found["means"], expected(labelled, found["z"], 1), rtol=1e-4)
    assert arrays(cli, labelled, tmp_path / "b.npz", "conditional", "--num-samples", 4)["means"].shape == (3, 4, 4, 4)
    refused(cli("sample", labelled, "conditional", "--label", 2),
            "--label 2: the labels of this run are 0, 3 and 7; name one of them.")  # fmt: skip


def test_the_prior_alone_has_no_labels_to_draw(cli, labelled):
    said = "this model is conditional on labels; sample conditional, with or without --label."
    refused(cli("sample", labelled, "prior"), said)


def test_the_plane_is_that_of_a_label(cli, labelled, tmp_path):
    found = arrays(cli, labelled, tmp_path / "a.npz", "grid", "--label", 7, "--steps", 3)
    z = np.stack(np.meshgrid(found["z"], found["z"]), axis=-1)
    np.testing.assert_allclose(found["means"], expected(labelled, z, 2), rtol=1e-4)
    refused(cli("sample", labelled, "grid"), "this model is conditional on labels; say which by --label.")


@pytest.mark.slow
def test_walks_keep_to_a_label(cli, labelled, tmp_path):
    flags = ["--images", 0, 1, "--steps", 3, "--label", 0]
    found = arrays(cli, labelled, tmp_path / "a.npz", "interpolate", *flags)
    np.testing.assert_allclose(found["means"], expected(labelled, found["z"], 0), rtol=1e-4)
    found = arrays(cli, labelled, tmp_path / "b.npz", "traverse", "--steps", 3, "--label", 0)
    np.testing.assert_allclose(found["means"], expected(labelled, found["z"], 0), rtol=1e-4)
    refused(cli("sample", labelled, "traverse"), "this model is conditional on labels; say which by --label, or name "
            "an --image.")  # fmt: skip
    refused(cli("sample", labelled, "arithmetic", "--from-label", 0, "--to-label", 3),
            "this model is given the label, so z need not carry it; use --subtract and --add.")  # fmt: skip
    arrays(cli, labelled, tmp_path / "c.npz", "arithmetic", "--subtract", 0, "--add", 1)
    arrays(cli, labelled, tmp_path / "d.npz", "posterior", "--num-samples", 3)


def test_its_pictures_are_those_of_labels(labelled):
    """No plane of all labels at once; a sheet with a row for each label in place of draws from p(x)."""
    assert (labelled / "figures" / "prior.png").is_file()
    assert not (labelled / "figures" / "grid.png").exists()


@pytest.mark.slow
def test_side_by_side_and_its_empty_places(cli, labelled, tmp_path):
    out = tmp_path / "out.npz"
    refused(cli("generators", labelled, "--out", out),
            f"{labelled}: a conditional model has no p(y) to draw labels from; say --by-label.")  # fmt: skip
    refused(cli("holes", labelled, "--out", out),
            f"{labelled}: a conditional model decodes a place differently for each label; "
            "name another run.")  # fmt: skip
    assert cli("generators", labelled, "--by-label", "--columns", 2, "--out", out)[0] == 0


def test_it_is_not_one_that_the_page_computes(cli, labelled):
    status, out, err = cli("explore", labelled)
    assert (status, out) == (2, "")
    assert "Labelled cannot be explored; runs of --model vae, conditional" in err


@pytest.mark.slow
def test_gaps_and_comparison(cli, data, labelled, tmp_path, in_this_process):
    status, _, err = cli("gaps", labelled, *BRIEF, *FEW, "--out", tmp_path / "gaps")
    assert status == 0, err
    out = tmp_path / "table"
    guides = ["--guides", f"{OWN}:Encoded", "--seeds", "1", "--num-samples", "5", "--workers", "1", "--out", str(out)]
    status, _, err = cli("compare", *data, "--model", f"{OWN}:Labelled", *guides)
    assert status == 0, err
    assert json.loads((out / "table.json").read_text())["rows"][0]["figures"]["log_px"] is not None


def test_a_model_that_reads_no_labels_takes_none(cli, unlabelled, tmp_path):
    """Though its data has some."""
    takes_none = "this run's model takes no labels; train one with --model conditional."
    neither = "this run's model takes no labels and no conditions; train one with --model conditional."
    refused(cli("sample", unlabelled, "conditional", "--label", 3), neither)
    refused(cli("sample", unlabelled, "grid", "--label", 3), f"--label: {takes_none}")
    assert arrays(cli, unlabelled, tmp_path / "a.npz", "prior", "--num-samples", 3)["x"].shape == (3, 4, 4)


def test_labels_have_their_names_everywhere(cli, tmp_path):
    draw, names = np.random.default_rng(0), np.array(["temple", "bridge", "tree"])
    x, y = draw.random((60, 4, 4), dtype=np.float32), names[np.repeat([0, 1, 2], 20)]
    np.savez(tmp_path / "images.npz", x=x, y=y)
    np.savez(tmp_path / "new.npz", x=x[:2], y=y[:2])
    run = tmp_path / "run"
    train = ["train", "--data", tmp_path / "images.npz", "--binarization", "static", "--latent-dim", "2"]
    assert cli(*train, "--model", "conditional", "--epochs", "1", "--out", run)[0] == 0
    draws = [tmp_path / "by-name.npz", tmp_path / "by-number.npz"]
    for out, label in zip(draws, ["Temple", 1], strict=True):  # bridge, temple, tree
        assert cli("sample", run, "conditional", "--label", label, "--out", out)[0] == 0
    assert np.array_equal(*(np.load(out)["means"] for out in draws))
    status, _, err = cli("sample", run, "grid", "--label", "tempel")
    assert (status, err.count("\n")) == (2, 1)
    assert "bridge, temple and tree; did you mean 'temple'?" in err
    assert cli("infer", run, "--input", tmp_path / "new.npz", "--out", tmp_path / "latents.npz")[0] == 0
    assert cli("explore", run, "--out", tmp_path / "page.html")[0] == 0
    assert '"classes":["bridge","temple","tree"]' in (tmp_path / "page.html").read_text().replace(", ", ",")


def test_columns_have_their_names_in_sampled_tables(cli, tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    np.savez(tmp_path / "table.npz", x=x, columns=np.array(["age", "height, cm"]))
    run = tmp_path / "run"
    reals = ["--likelihood", "normal", "--binarization", "none"]
    assert cli("train", "--data", tmp_path / "table.npz", *reals, "--epochs", "1", "--out", run)[0] == 0
    heads = {
        "prior": ["age", "height, cm"],
        "posterior": [
            f"{name}, {part}" for part in ("observation", "reconstruction") for name in ("age", "height, cm")
        ],
    }
    for what, head in heads.items():
        out = tmp_path / f"{what}.npz"
        status, said, _ = cli("sample", run, what, "--num-samples", "5", "--out", out)
        assert (status, f"table    {out.with_suffix('.csv')}" in said) == (0, True)
        with out.with_suffix(".csv").open(newline="") as file:
            first, *rows = csv.reader(file)
        assert first == head
        expected = np.load(out)["x"] if what == "prior" else np.load(out)["observations"]
        np.testing.assert_allclose(np.array(rows, dtype=float)[:, :2], expected, rtol=1e-6)
