"""Checkpoints: a crash at any moment loses nothing, and no file can run code or be half believed."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ppl_vae import FitConfig, UserError, checkpoint, fit
from ppl_vae.data import Dataset
from tests.pairs import vae_pair

STATE = {
    "weights": torch.arange(300_000, dtype=torch.float32),
    "order": torch.tensor([2, 0, 1]),
    "history": [{"epoch": 1, "elbo": -3.5, "validation_bound": None}],
    "step": 3,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def test_round_trip(path: Path) -> None:
    checkpoint.save(path, STATE)
    state = checkpoint.load(path)
    for name in ("weights", "order"):
        assert torch.equal(state[name], STATE[name])
        assert state[name].dtype == STATE[name].dtype
    assert (state["history"], state["step"]) == (STATE["history"], STATE["step"])
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_saving_again_replaces(path: Path) -> None:
    checkpoint.save(path, {"step": 1})
    checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path)["step"] == 2


# --- Crashes ----------------------------------------------------------------------------------------------------------


def test_a_crash_while_writing_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(path, {"step": 1})

    def half(_: object, file: Any) -> None:
        file.write(b"half of a checkpoint")
        file.flush()
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path)["step"] == 1
    checkpoint.save(path, {"step": 3})  # what the crash left behind is not in the way
    assert checkpoint.load(path)["step"] == 3


def test_a_crash_before_the_rename_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(path, {"step": 1})

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(path, {"step": 2})
    assert checkpoint.load(path)["step"] == 1


def test_on_disk_before_it_is_renamed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut after the rename could leave the new name on an empty file."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("fsync"), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda old, new: (done.append("rename"), rename(old, new)))
    checkpoint.save(path, STATE)
    assert done[:2] == ["fsync", "rename"]


TRAIN_FOR_EVER = """
import sys, torch
from pathlib import Path
from ppl_vae import FitConfig, fit, training
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, Latents
from ppl_vae.models import VAE
from ppl_vae.nets import Decoder, Encoder
training._CHECKPOINT_SECONDS = -1.0  # save after every epoch: nearly all the time goes into saving
data = Dataset(torch.bernoulli(torch.full((4, 3, 4), 0.5)))
model = VAE(Decoder(2, (3, 4), (64,), "tanh"), 2)
model.register_buffer("ballast", torch.randn(2_000_000))
guide = Amortized(Latents.of(model, data.batch(torch.arange(2))), Diagonal(2), Encoder((3, 4), 4, (64,)))
settings = FitConfig(epochs=10**6, batch_size=4, device="cpu")
fit(model, guide, data, settings=settings, checkpoint_path=Path(sys.argv[1]), progress=False,
    on_epoch=lambda metrics: print(metrics.epoch, flush=True))
"""


def test_kill_9_in_training_leaves_a_checkpoint_that_loads(path: Path) -> None:
    """Stopped eight times, then killed, nearly always in the middle of saving: what is on disk is whole each time."""
    process = subprocess.Popen([sys.executable, "-c", TRAIN_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        try:
            for line in process.stdout:
                if int(line) == 20:
                    break
            time.sleep(0.1)
            # Stopped is as good as killed for what is on disk, and can be looked at more than once.
            for _ in range(8):
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.05)
                assert len(checkpoint.load(path)["history"]) >= 19
                process.send_signal(signal.SIGCONT)
                time.sleep(0.037)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    state = checkpoint.load(path)
    epochs = len(state["history"])
    assert epochs >= 19

    model, guide = vae_pair(hidden=(64,))
    model.register_buffer("ballast", torch.zeros(2_000_000))
    data = Dataset(torch.bernoulli(torch.full((4, 3, 4), 0.5)))
    settings = FitConfig(epochs=epochs + 1, batch_size=4, device="cpu")
    history = fit(model, guide, data, settings=settings, checkpoint_path=path, resume=True)
    assert [metrics.epoch for metrics in history] == list(range(1, epochs + 2))
    assert torch.equal(model.ballast, state["model"]["ballast"])


# --- Foreign, damaged and malicious files -----------------------------------------------------------------------------


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("kind", ["torch", "torch-legacy", "pickle-2", "pickle-default"])
def test_a_malicious_file_is_refused_and_does_not_run(path: Path, kind: str) -> None:
    marker = path.with_name("it-ran")
    state = {"format": checkpoint._FORMAT, "model": Malicious(marker)}
    match kind:
        case "torch":
            torch.save(state, path)
        case "torch-legacy":
            torch.save(state, path, _use_new_zipfile_serialization=False)
        case "pickle-2":
            path.write_bytes(pickle.dumps(state, protocol=2))
        case _:
            path.write_bytes(pickle.dumps(state))
    with pytest.raises(UserError, match="refused" if kind == "torch" else "damaged") as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()


def test_the_malicious_file_would_have_run(path: Path) -> None:
    marker = path.with_name("it-ran")
    torch.save({"model": Malicious(marker)}, path)
    torch.load(path, weights_only=False)
    assert marker.exists()


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_its_end(data: bytes) -> bytes:
    return data[:-10]


def flipped(data: bytes) -> bytes:
    """A few bytes in the middle of the weights."""
    middle = len(data) // 2
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 8]) + data[middle + 8 :]


DAMAGE = {
    "truncated": truncated,
    "without its end": without_its_end,
    "empty": lambda _: b"",
    "text": lambda _: b"this is no checkpoint\n",
    "zeros": lambda data: bytes(len(data)),
    "another zip": lambda _: b"PK\x05\x06" + bytes(18),
    "four bytes": lambda _: b"PK\x03\x04",
    "pickle garbage": lambda _: b"\x80\x02" + b"}q\x00ee.",
    "weights flipped": flipped,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_an_error_in_one_line(path: Path, kind: str) -> None:
    checkpoint.save(path, STATE)
    assert checkpoint.load(path)["step"] == 3
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    with pytest.raises(UserError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [{"weights": torch.zeros(3)}, {"format": "ppl_vae checkpoint 0"}, [1, 2], 7, "text"])
def test_a_foreign_file_is_not_believed(path: Path, state: object) -> None:
    torch.save(state, path)
    with pytest.raises(UserError, match="not a checkpoint of this version"):
        checkpoint.load(path)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["missing", "folder"])
def test_no_file(path: Path, make: Any) -> None:
    make(path)
    with pytest.raises(UserError, match="no checkpoint there"):
        checkpoint.load(path)
