"""Labels that are not 0, 1, 2, ..., and labels that training never saw."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ppl_vae.cli.main import main
from ppl_vae.data import DataConfig, load
from ppl_vae.data.info import DataInfo
from ppl_vae.runs.opening import read_again
from ppl_vae.runs.run import Run

TINY = ["--latent-dim", "2", "--hidden", "4", "--epochs", "1", "--batch-size", "60", "--engine", "eager"]
NUM = 60
# The rows of the split: the first of these are test data, where the test fraction is 0.2.
ORDER = torch.randperm(NUM, generator=torch.Generator().manual_seed(0)).numpy()


def save(path, labels):
    x = np.random.default_rng(0).integers(0, 256, (NUM, 4, 4), dtype=np.uint8)
    np.savez(path, x=x, y=np.asarray(labels))
    return path


def train(folder, name, labels, *flags):
    data = save(folder / f"{name}.npz", labels)
    words = [
        "train",
        *TINY,
        "--model",
        "conditional",
        "--likelihood",
        "bernoulli",
        "--data",
        data,
        "--out",
        folder / name,
        *flags,
    ]
    assert main([str(word) for word in words]) == 0
    return folder / name


def words_in(svg):
    """What is written in a picture."""
    return " ".join(" ".join(re.findall(r"<!-- (.*?) -->", svg)).split())


def caption_of(svg):
    """What the file says of a picture."""
    (description,) = re.findall(r"<dc:description>(.*?)</dc:description>", svg, flags=re.DOTALL)
    return description


@pytest.fixture(scope="module")
def years(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), "years", 2019 + np.arange(NUM) % 6)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """Training saw 3 and 7; one of the twelve test data has a 5."""
    labels = 3 + 4 * (np.arange(NUM) % 2)
    labels[ORDER[0]] = 5
    return train(tmp_path_factory.mktemp("runs"), "strange", labels)


def test_as_many_classes_as_there_are_labels(cli, years, tmp_path):
    assert Run.open(years).record.info.classes == tuple(range(2019, 2025))
    model, _ = Run.open(years).load_pair(torch.device("cpu"))
    assert model.num_classes == 6
    assert cli("sample", years, "conditional", "--num-samples", "3", "--out", tmp_path / "sheet.npz")[0] == 0
    with np.load(tmp_path / "sheet.npz") as arrays:
        sheet = arrays["means"]
    assert sheet.shape == (6, 3, 4, 4)
    picture = (tmp_path / "sheet.svg").read_text()
    assert all(f"y = {year}" in picture for year in range(2019, 2025))
    assert "a row for each label y (2019 to 2024)" in " ".join(picture.split())
    assert cli("sample", years, "grid", "--label", "2021", "--steps", "2", "--out", tmp_path / "grid.npz")[0] == 0
    assert "y = 2021" in (tmp_path / "grid.svg").read_text()
    with np.load(tmp_path / "grid.npz") as arrays:  # the model knows it as 2
        z = torch.cartesian_prod(torch.from_numpy(arrays["z"]), torch.from_numpy(arrays["z"])).flip(1)
        logits = model.decoder(z, torch.full((4,), 2))
        np.testing.assert_allclose(arrays["means"].reshape(4, 4, 4), logits.sigmoid().detach(), rtol=1e-5)


def test_the_explorer_speaks_of_labels_as_the_data_does(cli, years, strange, tmp_path):
    for run, classes, offered in (
        (years, ["2019", "2020", "2021", "2022", "2023", "2024"], [0, 1, 2, 3, 4, 5]),
        (strange, ["3", "5", "7"], [0, 2]),
    ):
        out = tmp_path / f"{run.name}.html"
        assert cli("explore", run, "--num-images", "12", "--out", out)[0] == 0
        page = out.read_text()
        assert f'"classes": {json.dumps(classes)}'.replace(" ", "") in page.replace(" ", "")
        assert f'"offered": {json.dumps(offered)}'.replace(" ", "") in page.replace(" ", "")


LABELLED = {
    "conditional": (["conditional", "--label", "LABEL"], "--label"),
    "grid": (["grid", "--label", "LABEL"], "--label"),
    "interpolate": (["interpolate", "--label", "LABEL"], "--label"),
    "traverse": (["traverse", "--label", "LABEL"], "--label"),
    "from": (["arithmetic", "--from-label", "LABEL", "--to-label", "3"], "--from-label"),
}


@pytest.mark.parametrize("what", LABELLED)
def test_a_label_that_training_never_saw_is_refused(cli, strange, tmp_path, what):
    words, flag = LABELLED[what]
    for label, end in (("4", "name one of them"), ("5", "training saw no other"), ("9", "name one of them")):
        given = [label if word == "LABEL" else word for word in words]
        line = f"ppl-vae: {flag} {label}: the labels of this run are 3 and 7; {end}.\n"
        assert cli("sample", strange, *given, "--out", tmp_path / "out.npz") == (2, "", line)
    assert not list(tmp_path.iterdir())


def test_rows_only_for_labels_that_training_saw(cli, strange, tmp_path):
    assert cli("sample", strange, "conditional", "--num-samples", "2", "--out", tmp_path / "sheet.npz")[0] == 0
    with np.load(tmp_path / "sheet.npz") as arrays:
        assert arrays["means"].shape == (2, 2, 4, 4)
    picture = (tmp_path / "sheet.svg").read_text()
    assert [f"y = {label}" in picture for label in (3, 5, 7)] == [True, False, True]


def test_labels_that_training_never_saw_are_said(cli, strange, tmp_path):
    told = "of 12 datapoints have labels that training never saw: 5.\n"
    words = ["train", *TINY, "--data", strange.with_suffix(".npz"), "--out", tmp_path / "again"]
    assert cli(*words)[::2] == (0, f"warning: test data: 1 {told}")
    assert cli("evaluate", strange, "--no-diagnose")[::2] == (0, f"warning: test data: 1 {told}")


def test_new_data_by_the_labels_of_the_run(cli, strange, years, tmp_path):
    one = np.zeros((1, 4, 4), dtype=bool)
    np.savez(tmp_path / "new.npz", x=one.repeat(3, 0), y=[7, 5, 3])
    words = ["infer", strange, "--input", tmp_path / "new.npz", "--out"]
    told = f"warning: {tmp_path}/new.npz: 1 of 3 datapoints have labels that training never saw: 5.\n"
    assert cli(*words, tmp_path / "z.npz")[::2] == (0, told)
    guide = Run.open(strange).load_pair(torch.device("cpu")).guide
    with np.load(tmp_path / "z.npz") as arrays, torch.no_grad():
        params = guide.encoder(torch.zeros(3, 4, 4), torch.tensor([2, 1, 0]))
        np.testing.assert_allclose(arrays["z_mean"], params[:, :2], rtol=1e-4, atol=1e-6)
    np.savez(tmp_path / "other.npz", x=one, y=[2])
    line = f"ppl-vae: {tmp_path}/other.npz: y holds 2, the run's labels are 2019 to 2024.\n"
    words = ["infer", years, "--input", tmp_path / "other.npz", "--out", tmp_path / "other-z.npz"]
    assert cli(*words) == (2, "", line)


@pytest.mark.slow
def test_a_picture_of_many_labels_shows_the_first(cli, tmp_path):
    run = train(tmp_path, "many", 100 + np.arange(NUM), "--test-fraction", "0", "--validation-fraction", "0")
    assert cli("sample", run, "conditional", "--num-samples", "1", "--out", tmp_path / "sheet.npz")[0] == 0
    with np.load(tmp_path / "sheet.npz") as arrays:
        assert arrays["means"].shape == (50, 1, 4, 4)
    svg = (tmp_path / "sheet.svg").read_text()
    assert "rows for the first 50 labels y (100 to 149)" in caption_of(svg)
    assert words_in(svg) == " ".join(f"y = {label}" for label in range(100, 150))


@pytest.mark.slow
def test_baselines_and_generators_speak_of_labels_as_the_data_does(cli, years, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = save(tmp_path / "years.npz", 2019 + np.arange(NUM) % 6)
    assert cli("baseline", "gaussian", "--dims", "2", "--data", data, "--out", "baseline")[0] == 0
    metrics = json.loads(Path("baseline/metrics.json").read_text())
    assert metrics["test"]["labels"] == list(range(2019, 2025))
    assert set(metrics["test"]["by_label"]) <= {str(year) for year in range(2019, 2025)}
    assert "2022" in Path("baseline/figures/classes.svg").read_text()
    words = ["generators", "baseline", years, "--by-label", "--columns", "2", "--data", data, "--out", "side.npz"]
    assert cli(*words)[0] == 0
    assert "a row for each label y from 2019 to 2024" in caption_of(Path("side.svg").read_text())


def test_runs_of_earlier_versions(cli, trained, tmp_path):
    """Whose record says nothing of labels, and whose labels were their own numbers."""
    run = shutil.copytree(trained, tmp_path / "run")
    record = yaml.safe_load((run / "config.yaml").read_text())
    for name in ("classes", "unseen"):
        del record["info"][name]
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    assert cli("evaluate", run, "--limit", "4", "--no-diagnose")[0] == 0
    data = DataConfig(data=str(save(tmp_path / "few.npz", 3 + 4 * (np.arange(NUM) % 2))))
    info = DataInfo.of(load(data).unnumbered())
    assert info.num_classes == 8
    assert set(read_again(run, info, data).train.y.tolist()) == {3, 7}


def test_a_record_that_was_changed_by_hand(cli, strange, tmp_path):
    run = shutil.copytree(strange, tmp_path / "run")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("  classes:\n  - 3\n", "  classes:\n"))
    status, out, err = cli("sample", run, "conditional")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "classes are to be 3 labels from the smallest up" in err
    for was, now in (("  - 3\n", "  - 2\n"), ("num_classes: 3\n  ", "num_classes: 2\n  ")):
        assert was in text
        (run / "config.yaml").write_text(text.replace(was, now, 1))
        status, out, err = cli("evaluate", run, "--limit", "4")
        assert (status, out, err.count("\n")) == (2, "", 1)
