"""Runs whose data has moved: every command × a file and a folder of data sets that are elsewhere now."""

import os
import shutil

import numpy as np
import pytest
import torch
import yaml

from ppl_vae.cli.main import main
from ppl_vae.runs.opened import opened

FEW = ["--limit", "4", "--num-samples", "3", "--engine", "eager"]
ANNEALED = ["--temperatures", "2", "--chains", "2", "--leapfrog", "2"]
BRIEF = ["--infer-steps", "3", "--infer-window", "2"]
# What reads the data of a run, by the words of its command.
READING = {
    "resume": ["train", "--resume", "RUN", "--epochs", "2"],
    "elbo": ["evaluate", "RUN", *FEW],
    "iwae": ["evaluate", "RUN", "--estimator", "iwae", *FEW],
    "ais": ["evaluate", "RUN", "--estimator", "ais", "--temperatures", "2", *FEW],
    "bdmc": ["evaluate", "RUN", "--estimator", "bdmc", "--temperatures", "2", *FEW],
    "sbc": ["evaluate", "RUN", "--estimator", "sbc", "--limit", "20", "--num-samples", "7"],
    "gaps": ["gaps", "RUN", *FEW, "--families", "diagonal", "--prior-temperatures", "2", *ANNEALED, *BRIEF],
    "posterior": ["sample", "RUN", "posterior", "--num-samples", "2"],
    "interpolate": ["sample", "RUN", "interpolate", "--images", "0", "1", "--steps", "2"],
    "arithmetic": ["sample", "RUN", "arithmetic", "--subtract", "0", "--add", "1", "--images", "2"],
    "traverse": ["sample", "RUN", "traverse", "--steps", "2"],
    "neighbours": ["sample", "RUN", "neighbours", "--images", "0", "--count", "2"],
    "explore": ["explore", "RUN", "--num-images", "3"],
    "holes": ["holes", "RUN", "--num-places", "1", "--split", "train"],
    "generators": ["generators", "RUN", "--rows", "1", "--columns", "2"],
}
# What needs no data but what it is given.
OTHER = {
    "prior": ["sample", "RUN", "prior", "--num-samples", "2"],
    "grid": ["sample", "RUN", "grid", "--steps", "2"],
    "infer": ["infer", "RUN", "--input", "NEW", "--out", "OUT"],
}
TINY = ["--latent-dim", "2", "--hidden", "4", "--epochs", "1", "--batch-size", "40", "--engine", "eager"]


def some_of(commands, *quick):
    """All of the commands; those that are not named are slow."""
    return [pytest.param(each, marks=[] if each in quick else pytest.mark.slow) for each in commands]


def images(num, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, side, side), dtype=np.uint8)


def save_mnist(root, seed=0):
    """A data set of 60 and 10 images, as torchvision finds it in its folder."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, num in (("train", 60), ("t10k", 10)):
        x, y = images(num, 28, seed), np.arange(num, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", x), ("labels-idx1", y)):
            head = np.array([0x800 + array.ndim, *array.shape], dtype=">i4").tobytes()
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two small runs, ``file`` and ``set``, and their data, moved from ``old`` to ``new``."""
    folder = tmp_path_factory.mktemp("moved")
    old, new = folder / "old", folder / "new"
    old.mkdir()
    np.savez(old / "mine.npz", x=images(60, 4), y=np.arange(60) % 3)
    save_mnist(old / "sets")
    flags = {"file": ["--data", old / "mine.npz"], "set": ["--data", "mnist", "--data-root", old / "sets"]}
    for name, words in flags.items():
        assert main([str(word) for word in ["train", *TINY, *words, "--out", folder / name]]) == 0
    old.rename(new)
    np.savez(new / "other.npz", x=images(60, 4, seed=1), y=np.arange(60) % 3)
    save_mnist(new / "others", seed=1)
    return folder


def words_of(command, run, tmp_path):
    np.savez(tmp_path / "new.npz", x=images(3, 4))
    places = {"RUN": run, "NEW": tmp_path / "new.npz", "OUT": tmp_path / "out.npz"}
    return [places.get(word, word) for word in command]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", READING)
def test_moved_file(cli, made, tmp_path, monkeypatch, command):
    """Refused without the flag, and with other data, in lines that name a flag of the command."""
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(made / "file", tmp_path / "run")
    words, before = words_of(READING[command], run, tmp_path), contents(tmp_path / "run")
    line = f"ppl-vae: {run}: its data is not at '{made}/old/mine.npz'; say by --data where it is now.\n"
    assert cli(*words) == (2, "", line)
    other = made / "new" / "other.npz"
    line = f"the data '{other}' is not what {run} was trained on; say by --data where that is, or train again.\n"
    assert cli(*words, "--data", other) == (2, "", f"ppl-vae: {line}")
    assert contents(run) == before


@pytest.mark.parametrize("command", some_of(READING, "elbo", "resume", "generators"))
def test_moved_file_is_found(cli, made, tmp_path, monkeypatch, command):
    run = shutil.copytree(made / "file", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    place = os.path.relpath(made / "new" / "mine.npz")
    status, _, err = cli(*words_of(READING[command], run, tmp_path), "--data", place)
    assert status == 0, err
    now = yaml.safe_load((run / "config.yaml").read_text())["config"]["data"]["data"]
    there = "new" if command == "resume" else "old"  # only training writes the record
    assert os.path.normpath(now) == str(made / there / "mine.npz")


@pytest.mark.parametrize("command", some_of(sorted(set(READING) - {"holes"}), "elbo"))
def test_moved_folder_of_sets(cli, made, tmp_path, monkeypatch, command):
    """Nothing is downloaded into a folder that is gone, nor is it made again."""
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(made / "set", tmp_path / "run")
    words, before = words_of(READING[command], run, tmp_path), contents(run)
    line = (
        f"{run}: mnist is not in '{made}/old/sets'; pass --data-root FOLDER where FOLDER/MNIST/raw holds its files.\n"
    )
    assert cli(*words) == (2, "", f"ppl-vae: {line}")
    assert not (made / "old").exists()
    status, _, err = cli(*words, "--data-root", made / "new" / "others")
    assert (status, "mnist' is not what" in err, err.count("\n")) == (2, True, 1)
    assert contents(run) == before
    status, _, err = cli(*words, "--data-root", made / "new" / "sets")
    assert status == 0, err


@pytest.mark.parametrize("command", OTHER)
def test_what_needs_no_data(cli, made, tmp_path, command):
    run = shutil.copytree(made / "file", tmp_path / "run")
    status, _, err = cli(*words_of(OTHER[command], run, tmp_path))
    assert status == 0, err


@pytest.mark.slow
def test_a_comparison_goes_on_with_moved_data(cli, tmp_path, in_this_process, monkeypatch):
    for name in ("_autoguide", "_nuts"):  # seconds each
        monkeypatch.setattr(f"ppl_vae.diagnostics.references.{name}", lambda *_: torch.zeros(()))
    (tmp_path / "old").mkdir()
    np.savez(tmp_path / "old" / "mine.npz", x=images(60, 4))
    flags = ["--guides", "amortized", "mean-field", "--seeds", "1", *TINY, "--limit", "4", "--num-samples", "3"]
    words = ["compare", *flags, "--infer-steps", "3", "--infer-window", "2", "--references", "1"]
    words += ["--out", tmp_path / "out", "--data"]
    assert cli(*words, tmp_path / "old" / "mine.npz")[0] == 0
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "out" / "mean-field-seed0" / "result.json").unlink()
    (tmp_path / "out" / "references.json").unlink()
    np.savez(tmp_path / "new" / "other.npz", x=images(60, 4, seed=1))
    before = contents(tmp_path / "out")
    status, out, err = cli(*words, tmp_path / "new" / "other.npz")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "other.npz' is not what" in err
    assert "say by --data where that is" in err
    assert contents(tmp_path / "out") == before
    now = tmp_path / "new" / "mine.npz"
    status, _, err = cli(*words, now)
    assert status == 0, err
    assert f"data {now}" in (tmp_path / "out" / "table.md").read_text()


def test_a_comparison_needs_test_data(cli, tmp_path):
    status, out, err = cli("compare", "--test-fraction", "0", "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert err == "ppl-vae: a comparison needs test data and there is none; raise --test-fraction.\n"


@pytest.mark.parametrize("allowed", [True, False])
def test_opening_a_run_changes_nothing_of_the_process(trained, monkeypatch, allowed):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    opened(trained, "cpu")
    assert torch.backends.cudnn.allow_tf32 == allowed
