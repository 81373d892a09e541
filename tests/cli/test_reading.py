"""What commands say of the data that they read, and later files held against it."""

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

from ppl_vae.data import loading
from ppl_vae.data.files.how import DROP
from ppl_vae.data.tables import settling
from ppl_vae.data.tables.guessing import Guess
from ppl_vae.runs.run import Run

LEVELS = load_digits().images[:40]  # 0 to 16, float64
SMALL = ["--latent-dim", "2", "--hidden", "8", "--epochs", "1"]


def means(cli, npz, tmp_path, run, x):
    """The latents of a file, what was said, and the exit status."""
    out = tmp_path / "latents.npz"
    out.unlink(missing_ok=True)
    status, text, err = cli("infer", run, "--input", npz(x=x), "--out", out)
    if status:
        assert not out.exists()
        return None, status, err
    with np.load(out) as arrays:
        return arrays["z_mean"], status, text


def test_the_scale_of_integers_is_said_recorded_and_kept(cli, npz, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_LARGE", 1000)
    runs = {}
    for name, x in (("integers", LEVELS.astype(np.uint8)), ("float", LEVELS / 16)):
        runs[name] = tmp_path / name
        status, out, err = cli("train", "--data", npz(x=x), *SMALL, "--out", runs[name])
        assert status == 0
        assert err == f"data     reading {tmp_path / 'input.npz'}, 0 MiB\n"
        said = "data     input.npz: x holds integers (uint8) from 0 to 16, divided by 16.\n"
        assert out.count("data     ") == (name == "integers") == (said in out)
    infos = {name: Run.open(path).record.info for name, path in runs.items()}
    assert (infos["integers"].scale, infos["float"].scale) == (16, 1)
    assert infos["integers"].fingerprint == infos["float"].fingerprint  # the same data, whatever it was stored as
    old = yaml.safe_load((runs["integers"] / "config.yaml").read_text())
    assert old["info"].pop("scale") == 16
    expected, *_ = means(cli, npz, tmp_path, runs["integers"], LEVELS / 16)
    for x in (LEVELS.astype(np.uint8), LEVELS.astype(np.int64), np.asfortranarray(LEVELS / 16)):
        found, status, _ = means(cli, npz, tmp_path, runs["integers"], x)
        assert status == 0
        np.testing.assert_array_equal(found, expected)
    (runs["integers"] / "config.yaml").write_text(yaml.safe_dump(old))  # as an older version wrote it
    assert Run.open(runs["integers"]).record.info.scale == 1


def test_later_files_of_another_scale_are_refused(cli, npz, tmp_path, trained):
    """The digits go to 16."""
    expected, *_ = means(cli, npz, tmp_path, trained, LEVELS / 16)
    found, *_ = means(cli, npz, tmp_path, trained, LEVELS.astype(np.uint8))
    np.testing.assert_array_equal(found, expected)
    for x, part in (
        ((LEVELS > 8).astype(np.uint8), "0 and 1 alone, where this run's go to 16"),
        ((15 * LEVELS).astype(np.uint8), "integers from 0 to 240, where they are to go from 0 to 16"),
        (LEVELS, "x runs from 0 to 16; scale it into [0, 1]"),
    ):
        _, status, err = means(cli, npz, tmp_path, trained, x)
        assert status == 2
        assert part in err
        assert err.count("\n") == 1
    assert means(cli, npz, tmp_path, trained, LEVELS > 8)[1] == 0


def test_what_is_too_little_is_said(cli, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("anna\n")
    arguments = ["--model", "sequence", "--data", path, *SMALL, "--out", tmp_path / "run"]
    status, _, err = cli("train", *arguments)
    assert status == 0
    warning = "warning: 1 training observation, no validation and no test split: too few to learn anything from"
    assert err.count(warning) == 1


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("command", [["train"], ["compare"], ["baseline", "gaussian"]], ids=" ".join)
def test_every_command_that_trains_says_what_was_decided(cli, npz, tmp_path, command, monkeypatch):
    """Before it writes anything."""
    data = npz(x=np.moveaxis(np.tile(LEVELS[..., None], 3), -1, 1).astype(np.uint8), y=np.arange(40) % 2)
    said = []

    def say(splits):
        said.append(splits)
        raise StoppedError

    for place in ("train", "compare", "baseline"):
        monkeypatch.setattr(f"ppl_vae.cli.{place}.say_what_was_read", say)
    with pytest.raises(StoppedError):
        cli(*command, "--data", data, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (splits,) = said
    assert splits.train.event_shape == (8, 8, 3)
    assert [note.split(": ", 1)[1][:20] for note in splits.notes] == ["x (40, 3, 8, 8) has ", "x holds integers (ui"]


def test_a_run_that_held_what_would_now_stay_in_its_file_opens(cli, npz, tmp_path):
    """Records of earlier versions do not say how much memory data might take."""
    x = np.random.default_rng(0).random((4000, 80), dtype=np.float32)
    run = tmp_path / "run"
    assert cli("train", "--data", npz(x=x), *SMALL, "--likelihood", "normal", "--out", run)[0] == 0
    record = yaml.safe_load((run / "config.yaml").read_text())
    record["config"]["data"]["data_memory"] = 1
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    status, out, err = cli("evaluate", run, "--num-samples", 1, "--no-diagnose")
    assert (status, err) == (0, "")
    assert "on all 800 test datapoints" in out


@pytest.mark.parametrize("kind", ["csv", "hugging-face"])
def test_a_table_is_read_again_as_it_was_whatever_would_be_guessed_now(cli, tmp_path, monkeypatch, kind):
    rows = [(n % 7 / 3, ["no", "yes"][n % 2], ["red", "green", "blue"][n % 3], n % 9) for n in range(60)]
    names, run, other = ("a", "on", "colour", "number"), tmp_path / "run", tmp_path / "other"
    table = tmp_path / ("table.csv" if kind == "csv" else "table")
    if kind == "csv":
        table.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")
    else:
        datasets = pytest.importorskip("datasets")
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        datasets.Dataset.from_dict(columns).save_to_disk(str(table))
    assert cli("train", "--data", table, *SMALL, "--no-report", "--out", run)[0] == 0
    assert "number" in Run.open(run).record.info.columns
    monkeypatch.setattr(settling, "guessed", lambda *_: Guess(DROP, "by another rule"))
    status, _, err = cli("evaluate", run, "--num-samples", 1, "--no-diagnose")
    assert (status, err) == (0, "")
    only = ("--columns", "a=real,*=drop")
    assert cli("train", "--data", table, *only, *SMALL, "--no-report", "--out", other)[0] == 0
    assert Run.open(other).record.info.columns == ("a",)
