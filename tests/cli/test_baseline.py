"""``ppl-vae baseline`` and ``ppl-vae generators``."""

import json

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import DataConfig, load
from ppl_vae.runs.baseline import BaselineRun

PICTURES = ("samples", "classes", "components", "confusion")


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for kind in ("gaussian", "mixture"):
        assert main(["baseline", kind, "--out", str(folder / kind)]) == 0
    return folder


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "conditional"
    arguments = ["--model", "conditional", "--latent-dim", "2", "--hidden", "16", "--epochs", "1"]
    assert main(["train", *arguments, "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_a_run_directory(baselines, kind, open_page):
    path = baselines / kind
    metrics = json.loads((path / "metrics.json").read_text())
    run = BaselineRun.open(path)
    classifier, data = run.load(), load(DataConfig(binarization="none"))
    for name in ("validation", "test"):
        split, found = data.get(name), metrics[name]
        right = (classifier.classify(split.x) == split.y).double().mean().item()
        assert found["accuracy"]["mean"] == pytest.approx(right)
        assert found["accuracy"]["num"] == len(split)
        hits = right * len(split)
        posterior = torch.distributions.Beta(torch.tensor(hits + 1), torch.tensor(len(split) - hits + 1))
        assert found["accuracy"]["stderr"] == pytest.approx(float(posterior.stddev), rel=1e-4)
        confusion = np.array(found["confusion"])
        assert confusion.sum(1).tolist() == torch.bincount(split.y).tolist()
        assert np.trace(confusion) / confusion.sum() == pytest.approx(right)
        diagonal = [share["mean"] * share["num"] for share in found["by_label"].values()]
        np.testing.assert_allclose(diagonal, np.diag(confusion))
        assert right > 0.95
    assert run.record.baseline == kind
    assert "scikit-learn" in run.record.versions
    assert run.record.info.fingerprint == data.fingerprint()
    with np.load(path / "samples.npz") as arrays:
        assert arrays["x"].shape == arrays["means"].shape == (64, 8, 8)
        assert arrays["x_by_label"].shape == (10, 10, 8, 8)
        assert (arrays["y_by_label"] == np.arange(10)[:, None]).all()
        drawn = classifier.classify(torch.from_numpy(arrays["means_by_label"]).flatten(0, 1))
    assert (drawn == torch.arange(10).repeat_interleave(10)).double().mean() > 0.9
    for stem in PICTURES:
        assert (path / "figures" / f"{stem}.png").stat().st_size > 1000
        assert (path / "figures" / f"{stem}.svg").stat().st_size > 1000

    page = open_page(path / "report.html")
    assert page.locator("img").count() == len(PICTURES)
    assert all(page.locator("img").nth(n).evaluate("image => image.naturalWidth") > 300 for n in range(len(PICTURES)))
    text = page.locator("body").inner_text()
    assert f"{100 * metrics['test']['accuracy']['mean']:.2f} ±" in text
    assert "cannot be ranked with log p(x)" in text
    assert f"ppl-vae baseline {kind} --out {path}" in text


def test_what_is_printed_and_repeated(cli, baselines, tmp_path):
    status, out, err = cli("baseline", "gaussian", "--out", tmp_path / "run")
    assert (status, err) == (0, "")
    assert "of 359 test data" in out
    for name in ("baseline.npz", "samples.npz"):
        with np.load(tmp_path / "run" / name) as one, np.load(baselines / "gaussian" / name) as other:
            assert all(np.array_equal(one[key], other[key]) for key in other)


@pytest.mark.slow
def test_a_fit_that_is_cut_short_says_so(cli, tmp_path):
    arguments = ["--iterations", "1", "--num-components", "3", "--dims", "5", "--binarization", "dynamic"]
    assert cli("baseline", "mixture", *arguments, "--out", tmp_path / "run")[0] == 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Not converged after 1 iterations: label 0, 1" in report
    assert "noise of variance" in report
    assert " ".join(arguments) not in report  # in the order of the settings
    assert "--binarization dynamic --dims 5 --num-components 3 --iterations 1" in report


def test_labels_with_gaps_strips_and_unknown_test_labels(cli, npz, tmp_path):
    rng = np.random.default_rng(0)
    y = np.repeat([3, 14, 14, 20], 30)
    x = np.clip(rng.normal(y[:, None] / 30, 0.05, (120, 6)), 0, 1)
    path = npz(x=x, y=np.where(np.arange(120) == 5, 7, y))
    for seed in range(20):  # until the one of label 7 is held out for testing
        data = load(DataConfig(data=str(path), data_seed=seed))
        if 1 in data.test.y:  # by its number
            break
    out = tmp_path / "run"
    assert cli("baseline", "gaussian", "--data", path, "--data-seed", seed, "--out", out)[0] == 0
    test = json.loads((out / "metrics.json").read_text())["test"]
    assert test["labels"] == [3, 7, 14, 20]
    share = test["by_label"]["7"]
    assert (share["mean"], share["num"]) == (0.0, 1)
    assert share["stderr"] == pytest.approx((2 / (3**2 * 4)) ** 0.5)  # of Beta(1, 2): no 0, of one datapoint
    assert test["accuracy"]["mean"] > 0.8


@pytest.mark.slow
def test_of_many_labels_the_pictures_show_some(cli, npz, tmp_path):
    y = np.arange(600) % 60
    x = np.clip(np.random.default_rng(0).normal(y[:, None] / 60, 0.05, (600, 4)), 0, 1)
    out = tmp_path / "run of many"
    assert cli("baseline", "gaussian", "--data", npz(x=x, y=y), "--out", out)[0] == 0
    with np.load(out / "samples.npz") as arrays:
        assert arrays["means_by_label"].shape == (60, 10, 4)
    assert "first 50 labels" in " ".join((out / "figures" / "classes.svg").read_text().split())
    assert f"ppl-vae generators &#x27;{out}&#x27;" in (out / "report.html").read_text()


ROWS = {
    "no kind": ([], ["ppl-vae baseline"]),
    "unknown kind": (["gausian"], ["gausian", "gaussian"]),
    "no dimensions": (["gaussian", "--dims", "0"], ["--dims", "greater than 0"]),
    "no ridge": (["gaussian", "--ridge", "0"], ["--ridge", "greater than or equal to"]),
    "no components": (["mixture", "--num-components", "0"], ["--num-components", "greater than or equal to 1"]),
    "components of a Gaussian": (["gaussian", "--num-components", "3"], ["--num-components belongs to mixtures"]),
    "iterations of a Gaussian": (["gaussian", "--iterations", "3"], ["--iterations belongs to mixtures"]),
    "no test data": (["gaussian", "--test-fraction", "0"], ["raise --test-fraction"]),
    "unknown data": (["gaussian", "--data", "digit"], ["did you mean 'digits'"]),
    "negative seed": (["gaussian", "--seed", "-1"], ["--seed"]),
}


def refused(result, *parts):
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


@pytest.mark.parametrize("row", ROWS)
def test_baseline_refuses(cli, tmp_path, row):
    arguments, parts = ROWS[row]
    refused(cli("baseline", *arguments, "--out", tmp_path / "run"), *parts)
    assert list(tmp_path.iterdir()) == []


def test_baseline_refuses_data_and_places(cli, npz, tmp_path, baselines):
    x = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    out = tmp_path / "run"
    refused(cli("baseline", "gaussian", "--data", npz(x=x), "--out", out), "needs labels")
    holes = np.where(np.arange(x.size).reshape(x.shape) % 7 == 0, np.nan, x)
    refused(cli("baseline", "gaussian", "--data", npz(x=holes, y=np.arange(len(x)) % 2), "--out", out), "are missing")
    one = npz(x=x, y=np.arange(20))
    refused(cli("baseline", "mixture", "--data", one, "--out", out), "one datapoint only")
    channels_first = npz(x=np.random.default_rng(0).random((20, 3, 2, 2)), y=np.arange(20) % 2)
    refused(cli("baseline", "gaussian", "--data", channels_first, "--out", out), "cannot draw", "Reshape x")
    assert not out.exists()
    refused(cli("baseline", "gaussian", "--out", baselines / "gaussian"), "holds a baseline already", "--out")


def test_generators_side_by_side(cli, baselines, trained, tmp_path):
    out = tmp_path / "sheet.npz"
    runs = [baselines / "gaussian", baselines / "mixture", trained]
    status, text, err = cli("generators", *runs, "--columns", 4, "--out", out)
    assert (status, err) == (0, "")
    assert f"picture  {out.with_suffix('.png')}" in text
    svg = out.with_suffix(".svg").stat().st_size
    assert svg > 1000
    data = load(DataConfig(binarization="none"))
    with np.load(out) as arrays:
        np.testing.assert_array_equal(arrays["data"], data.test.x[:8].unflatten(0, (2, 4)))
        assert {arrays[f"means_{k}"].shape for k in range(3)} == {(2, 4, 8, 8)}
        assert arrays["means_2"].min() >= 0
        assert len({arrays[f"means_{k}"].tobytes() for k in range(3)}) == 3


def test_generators_by_label(cli, baselines, conditional, tmp_path):
    out = tmp_path / "sheet.npz"
    assert cli("generators", baselines / "mixture", conditional, "--by-label", "--columns", 3, "--out", out)[0] == 0
    data, classifier = load(DataConfig(binarization="none")), BaselineRun.open(baselines / "mixture").load()
    with np.load(out) as arrays:
        assert arrays["means_1"].shape == (10, 3, 8, 8)
        for label in range(10):
            np.testing.assert_array_equal(arrays["data"][label], data.test.x[data.test.y == label][:3])
        drawn = classifier.classify(torch.from_numpy(arrays["means_0"]).flatten(0, 1)).view(10, 3)
    assert (drawn == torch.arange(10)[:, None]).double().mean() > 0.8


@pytest.mark.slow
def test_generators_refuses(cli, capsys, baselines, trained, conditional, tmp_path):
    def no(*arguments):
        *words, part = arguments
        refused(cli("generators", *words, "--out", tmp_path / "sheet.npz"), part)
        assert not (tmp_path / "sheet.npz").exists()

    gaussian, other = baselines / "gaussian", tmp_path / "other"
    assert main(["baseline", "gaussian", "--data-seed", "1", "--out", str(other)]) == 0
    capsys.readouterr()
    no("name one or more runs")
    no(tmp_path / "nowhere", "does not exist")
    no(gaussian, other, f"{gaussian} and {other} were trained on unlike data (--data-seed 0 and 1)")
    no(gaussian, "--by-label", "--rows", "2", "leave one of them out")
    no(gaussian, trained, "--by-label", "takes no labels")
    no(gaussian, conditional, "--by-label")
    no(gaussian, "--rows", "0", "--rows")
    refused(cli("generators", gaussian, "--out", tmp_path / "sheet.png"), "ends in .npz")
    (other / "baseline.npz").write_bytes(b"PK\x03\x04 cut short")
    no(other, "not a baseline of this version")
    np.savez(other / "baseline.npz", format=np.array([{}], dtype=object))
    no(other, "not a baseline of this version")
    (other / "config.yaml").write_text("config: [")
    no(other, "not YAML")


def test_generators_refuses_what_cannot_be_drawn(cli, npz, tmp_path):
    path = tmp_path / "channels-first"
    data = npz(x=np.random.default_rng(0).random((20, 3, 2, 2)))
    settings = ["--hidden", "4", "--epochs", "1", "--binarization", "none", "--engine", "eager"]
    assert cli("train", "--data", data, *settings, "--out", path)[0] == 0
    refused(cli("generators", path, "--out", tmp_path / "sheet.npz"), "cannot draw an event of shape (3, 2, 2)")


@pytest.mark.parametrize("command", [["evaluate"], ["holes"], ["sample", "prior"]])
def test_other_commands_say_that_it_is_a_baseline(cli, baselines, command):
    name, *rest = command
    refused(cli(name, baselines / "gaussian", *rest), "is a baseline, which has no latents")


@pytest.mark.slow
def test_a_fit_that_was_killed_is_still_known_for_a_baseline(cli, baselines, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "config.yaml").write_bytes((baselines / "gaussian" / "config.yaml").read_bytes())
    refused(cli("generators", killed, "--out", tmp_path / "sheet.npz"), "has no baseline.npz", "fit it again")
    refused(cli("evaluate", killed), "is a baseline, which has no latents")
    assert cli("baseline", "gaussian", "--out", killed)[0] == 0  # it does not stand in the way
