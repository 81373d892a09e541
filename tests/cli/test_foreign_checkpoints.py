"""Runs whose checkpoint is of other hands: one line, exit 2, and every file of the run as it was."""

import shutil
from pathlib import Path

import pytest
import torch

from ppl_vae.runtime import checkpoint
from tests.training.test_resume import changed

RESUME = ("train", "--epochs", "6", "--resume")
USE = ("evaluate",)


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


STATES = {
    "moments of another shape": (RESUME, ("optimizer", "shared", "state", 0, "exp_avg"), torch.zeros(5)),
    "no sums": (RESUME, ("sums",), None),
    "a best epoch": (RESUME, ("best",), {"bound": 1.0}),
    "a step without an order": (RESUME, ("step",), 3),
    "other generators": (RESUME, ("rng", "cpu"), torch.zeros(5056, dtype=torch.uint8)),
    "another device": (RESUME, ("settings", "device"), torch.zeros(2)),
    "an epoch that was none": (RESUME, ("history", 1, "epoch"), 7),
    "weights, a string": (USE, ("model",), "weights"),
    "weights of half precision": (
        USE,
        ("model", "decoder.net.2.bias"),
        torch.zeros(64, dtype=torch.float16),
    ),
    "weights that are not finite": (USE, ("model", "decoder.net.2.bias"), torch.full((64,), torch.nan)),
    "a history of words": (USE, ("history", 0), "epoch 1"),
    "the best, a tensor": (USE, ("best",), torch.zeros(2, 3)),
}


@pytest.mark.parametrize("what", STATES)
def test_a_state_of_other_hands_is_refused_and_nothing_written(cli, run, what):
    command, at, value = STATES[what]
    path = run / "checkpoint.pt"
    checkpoint.save(path, changed(checkpoint.load(path), at, value))
    before = files(run)
    status, out, err = cli(*command, run)
    assert (status, out) == (2, "")
    place = ".".join(map(str, at))
    assert err.startswith(f"ppl-vae: {path}: damaged checkpoint ({place}")
    assert err.endswith("; restore it or train again.\n")
    assert err.count("\n") == 1
    assert files(run) == before


@pytest.mark.slow
def test_a_resumed_run_whose_checkpoint_is_whole_goes_on(cli, run):
    """The failing start of the tests above is their change alone."""
    path = run / "checkpoint.pt"
    checkpoint.save(path, checkpoint.load(path))
    assert cli(*RESUME, run)[0] == 0
    assert len(checkpoint.load(path)["history"]) == 6
