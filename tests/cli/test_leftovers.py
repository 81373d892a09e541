"""A run that learned nothing does not stand in the way of the same command; anything else does, and stays as it was."""

import errno
import os
import shutil

import numpy as np
import pytest
import torch
import yaml

from ppl_vae.cli.main import main
from ppl_vae.runs.baseline import BaselineRun
from ppl_vae.runs.leftovers import refuse_existing_run
from ppl_vae.runs.run import Run
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.checkpoint import Apart
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.folders import locked
from tests.marks import slow_after

TRAIN = ["train", "--hidden", "8", "--latent-dim", "2", "--epochs", "1", "--batch-size", "512"]
BASELINE = ["baseline", "gaussian", "--data", "data.npz", "--dims", "5"]


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of what baselines are fitted to."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((60, 2, 3), dtype=np.float32), y=np.arange(60) % 2)
    return folder


@pytest.fixture(autouse=True)
def _beside_the_data(data, monkeypatch):
    monkeypatch.chdir(data)


@pytest.fixture(scope="module")
def record(trained):
    return (trained / "config.yaml").read_text()


# What stops a run before it has learned anything, and what it leaves there.
def killed_at_once(path, record):
    pass


def killed_in_its_record(path, record):
    (path / "config.yaml.0123456789ab.partial").write_text(record[:50])


def killed_before_the_first_checkpoint(path, record):
    (path / "config.yaml").write_text(record)
    (path / "metrics.csv").write_text("epoch,elbo\r\n")


def killed_in_the_first_checkpoint(path, record):
    killed_before_the_first_checkpoint(path, record)
    (path / "checkpoint.pt.0123456789ab.partial").write_bytes(b"PK")
    (path / "checkpoint.pt.partial").write_bytes(b"PK")  # as an older version named it


def killed_before_the_first_checkpoint_has_its_name(path, record):
    killed_before_the_first_checkpoint(path, record)
    checkpoint.save(
        path / "checkpoint.pt", {"history": [], "step": 0, "w": {}}, Apart(path / "model.safetensors", (), "w")
    )
    (path / "checkpoint.pt").rename(path / "checkpoint.pt.next")
    (path / "model.safetensors.0123456789ab.partial").write_bytes(b"")


def killed_in_the_first_step(path, record):
    killed_before_the_first_checkpoint(path, record)
    checkpoint.save(path / "checkpoint.pt", {"history": [], "step": 0})


def killed_in_the_first_frame(path, record):
    killed_in_the_first_step(path, record)
    (path / "film").mkdir()
    (path / "film" / "step-00000000.npz").write_bytes(b"")
    (path / "film" / "step-00000001.npz.0123456789ab.partial").write_bytes(b"")
    (path / "tensorboard").mkdir()
    (path / "tensorboard" / "events.out.tfevents.1.host.2.0").write_bytes(b"")


def killed_in_its_classifier(path, record):
    (path / "config.yaml").write_text(record)
    (path / "baseline.npz.0123456789ab.partial").write_bytes(b"PK")


CAME_TO_NOTHING = [each for name, each in sorted(globals().items()) if name.startswith("killed_")]


@pytest.mark.parametrize("left", CAME_TO_NOTHING, ids=lambda each: each.__name__)
def test_it_is_not_in_the_way_and_is_cleared_away(tmp_path, trained, record, left):
    path = tmp_path / "run"
    path.mkdir()
    left(path, record)
    refuse_existing_run(path)
    with Run.created(Run.open(trained).record, path) as run:
        assert set(snapshot(path)) == {"config.yaml"}
        assert run.record == Run.open(path).record


@pytest.mark.parametrize(
    ("left", "command"),
    slow_after(
        2,
        [
            (killed_in_the_first_frame, TRAIN),
            (killed_in_its_classifier, BASELINE),
            (killed_in_the_first_frame, BASELINE),
            (killed_in_its_classifier, TRAIN),
        ],
    ),
    ids=lambda each: each.__name__ if callable(each) else each[0],
)
def test_the_command_runs(cli, tmp_path, record, command, left):
    path = tmp_path / "run"
    path.mkdir()
    left(path, record)
    status, out, err = cli(*command, "--out", path)
    assert status == 0, err
    assert f"run      {path}" in out
    assert not list(path.rglob("*.partial"))
    assert not (path / "film").exists()


def trained_for_a_step(path, record):
    killed_before_the_first_checkpoint(path, record)
    checkpoint.save(path / "checkpoint.pt", {"history": [], "step": 1})


def trained_and_damaged(path, record):
    (path / "config.yaml").write_text(record)
    (path / "checkpoint.pt").write_bytes(b"PK")


def a_file_of_the_users(path, record):
    killed_in_the_first_step(path, record)
    (path / "notes.txt").write_text("mine")


def a_file_of_the_users_among_the_frames(path, record):
    killed_in_the_first_frame(path, record)
    (path / "film" / "notes.txt").write_text("mine")


def a_folder_of_the_users_by_a_link(path, record):
    killed_before_the_first_checkpoint(path, record)
    (path.parent / "precious").mkdir()
    (path.parent / "precious" / "step-1").write_text("mine")
    (path / "film").symlink_to(path.parent / "precious")


def somebody_elses_record(path, record):
    (path / "config.yaml").write_text("server: example\n")
    (path / "metrics.csv").write_text("mine")


def names_like_ours_and_no_record(path, record):
    (path / "metrics.csv").write_text("mine")


def a_link_that_leads_nowhere(path, record):
    path.rmdir()
    path.symlink_to("nowhere")


IN_THE_WAY = {
    trained_for_a_step: "holds a run already; go on with it by 'ppl-vae train --resume",
    trained_and_damaged: "holds a run already; go on with it by 'ppl-vae train --resume",
    a_file_of_the_users: "exists and is not empty; choose another --out.",
    a_file_of_the_users_among_the_frames: "exists and is not empty; choose another --out.",
    a_folder_of_the_users_by_a_link: "exists and is not empty; choose another --out.",
    somebody_elses_record: "exists and is not empty; choose another --out.",
    names_like_ours_and_no_record: "exists and is not empty; choose another --out.",
    a_link_that_leads_nowhere: "exists and is not empty; choose another --out.",
}


@pytest.mark.parametrize("command", [TRAIN, BASELINE], ids=["train", "baseline"])
@pytest.mark.parametrize("left", IN_THE_WAY, ids=lambda each: each.__name__)
def test_anything_else_is_in_the_way_and_stays(cli, tmp_path, record, command, left):
    path = tmp_path / "run"
    path.mkdir()
    left(path, record)
    before = snapshot(tmp_path)
    status, out, err = cli(*command, "--out", path)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"ppl-vae: {path} {IN_THE_WAY[left]}")
    assert snapshot(tmp_path) == before


def test_a_run_that_another_process_has_just_begun_is_left_alone(cli, tmp_path, record):
    """It has learned nothing yet, but it lives."""
    for command in (TRAIN, BASELINE):
        path = tmp_path / command[0]
        path.mkdir()
        killed_in_the_first_frame(path, record)
        before = snapshot(path)
        with locked(path):
            status, out, err = cli(*command, "--out", path)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert f"{path}: another process is writing there; wait" in err
        assert snapshot(path) == before


# --- Stopped by an error, which leaves nothing ------------------------------------------------------------------------


def out_of_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


STOPS = {
    "out of memory at the first step": (
        "ppl_vae.svi.EagerStep.__call__",
        out_of_memory,
        "out of memory; take smaller batches, fewer samples",
    ),
    "disk full at the first checkpoint": (
        "torch.save",
        full,
        "checkpoint.pt.next: cannot write (No space left on device); make",
    ),
    "disk full at the record": ("os.fsync", full, "config.yaml: cannot write (No space left on device); make room"),
}


@pytest.mark.parametrize(
    "made", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["new folder", "the user's folder"]
)
@pytest.mark.parametrize("stop", STOPS)
def test_what_failed_leaves_nothing_and_can_be_repeated(cli, tmp_path, monkeypatch, stop, made):
    path = tmp_path / "run"
    if not made:
        path.mkdir()
    where, fault, message = STOPS[stop]
    with monkeypatch.context() as patch:
        patch.setattr(where, fault)
        status, _, err = cli(*TRAIN, "--engine", "eager", "--out", path)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert "--resume" not in err  # there is nothing to go on with
    assert path.exists() is not made
    assert not made or not list(tmp_path.iterdir())
    assert cli(*TRAIN, "--out", path)[0] == 0


# --- Baselines --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def baseline(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        assert main([*BASELINE, "--out", "baseline"]) == 0
    return data / "baseline"


@pytest.mark.slow
def test_a_baseline_killed_in_its_pictures_is_made_again_by_the_same_command(cli, tmp_path, baseline):
    path = tmp_path / "run"
    shutil.copytree(baseline, path)
    for name in ("report.html", "figures/confusion.svg", "samples.npz"):
        (path / name).unlink()
    (path / "figures" / "confusion.svg.0123456789ab.partial").write_text("<svg")
    before = snapshot(path)
    for other in ([*BASELINE[:-1], "4"], TRAIN):
        status, out, err = cli(*other, "--out", path)
        assert (status, out) == (2, "")
        assert err == f"ppl-vae: {path} holds a baseline already; choose another --out.\n"
    assert snapshot(path) == before
    assert cli(*BASELINE, "--out", path)[0] == 0
    assert set(snapshot(path)) == set(snapshot(baseline))


def test_a_finished_baseline_is_in_the_way(baseline):
    with pytest.raises(UserError, match="holds a baseline already; choose another `out`"):
        refuse_existing_run(baseline, (baseline / "config.yaml").read_text())


def test_a_record_is_as_it_is_written(baseline, trained):
    """The rule for baselines compares texts."""
    for kind, path in ((BaselineRun, baseline), (Run, trained)):
        text = (path / "config.yaml").read_text()
        kind.open(path).write_record()
        assert (path / "config.yaml").read_text() == text
        assert yaml.safe_load(text)["versions"]["ppl_vae"]
