"""Checkpoints: a crash at any moment loses nothing, and no file can run code or be half believed."""

import os
import pickle
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from ppl_vae import FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.runtime import checkpoint
from tests.fits import TRAIN, settings
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
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(UserError, match=r"checkpoint\.pt: cannot write \(No space left on device\)"):
            checkpoint.save(path, {"step": 2})
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]
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
from ppl_vae import FitConfig, fit
from ppl_vae.training import saving
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal
from ppl_vae.programs.latents import Latents
from ppl_vae.models import VAE
from ppl_vae.networks.dense import Decoder, Encoder
saving.CHECKPOINT_SECONDS = -1.0  # save after every epoch: nearly all the time goes into saving
data = Dataset(torch.bernoulli(torch.full((4, 3, 4), 0.5)))
model = VAE(Decoder(2, (3, 4), (64,), "tanh"), 2)
model.register_buffer("ballast", torch.randn(2_000_000))
guide = Amortized(Latents.of(model, data.batch(torch.arange(2))), Diagonal(2), Encoder((3, 4), 4, (64,)))
settings = FitConfig(epochs=10**6, batch_size=4, device="cpu")
beside = Path(sys.argv[2]) if len(sys.argv) > 2 else None
fit(model, guide, data, settings=settings, checkpoint_path=Path(sys.argv[1]), weights_path=beside, progress=False,
    on_epoch=lambda metrics: print(metrics.epoch, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["one file", "weights apart"])
def test_kill_9_in_training_leaves_a_checkpoint_that_loads(path: Path, apart: bool) -> None:
    """Stopped eight times, then killed, nearly always in the middle of saving: what is on disk is whole each time."""
    beside = path.with_name("model.safetensors") if apart else None
    command = [sys.executable, "-c", TRAIN_FOR_EVER, str(path), *([str(beside)] if beside else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
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
    longer = FitConfig(epochs=epochs + 1, batch_size=4, device="cpu")
    history = fit(model, guide, data, settings=longer, checkpoint_path=path, weights_path=beside, resume=True)
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


# --- Bombs ------------------------------------------------------------------------------------------------------------


def repacked(path: Path, compression: int, files: dict[str, bytes] | None = None) -> None:
    """The archive written anew, with other contents of some of its files."""
    with zipfile.ZipFile(path) as old:
        contents = {entry.filename: old.read(entry) for entry in old.infolist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in contents.items():
            new.writestr(name, (files or {}).get(name.partition("/")[2], content))


def packed(path: Path) -> None:
    """Zeros that deflate to nothing."""
    checkpoint.save(path, {"weights": torch.zeros(10_000_000)})
    repacked(path, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6


def packed_without_saying_so(path: Path) -> None:
    """Sizes in the directory that the file has not."""
    checkpoint.save(path, STATE)
    size = STATE["weights"].nbytes.to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (4 * 10**9).to_bytes(4, "little")))


def told_its_size(path: Path) -> None:
    """An object that the reader makes as large as it is told to: three gigabytes of a hundred bytes."""
    checkpoint.save(path, STATE)
    size = (3 * 10**9).to_bytes(9, "little")
    pickled = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01cbuiltins\nbytearray\nq\x02\x8a\x09" + size + b"\x85Ru."
    repacked(path, zipfile.ZIP_STORED, {"data.pkl": pickled})


@pytest.mark.parametrize("bomb", [packed, packed_without_saying_so, told_its_size])
@pytest.mark.parametrize("read", [checkpoint.load, checkpoint.outline])
def test_sizes_are_read_before_contents(path: Path, bomb: Any, read: Any) -> None:
    bomb(path)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(UserError, match=r"refused|damaged") as caught:
        read(path)
    assert time.process_time() - start < 1.0
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_outline_has_shapes_and_numbers_and_no_contents(path: Path) -> None:
    checkpoint.save(path, STATE)
    state = checkpoint.outline(path)
    assert (state["history"], state["step"]) == (STATE["history"], STATE["step"])
    assert (state["weights"].shape, state["weights"].dtype) == (STATE["weights"].shape, torch.float32)
    assert state["weights"].is_meta


@pytest.mark.slow
def test_a_checkpoint_of_far_more_than_the_pair_is_refused_by_its_outline(path: Path) -> None:
    """Eight gigabytes of zeros, of which the disk holds none: what they are is known before they are read."""
    fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path)
    state = checkpoint.load(path)
    state["model"]["decoder.net.0.weight"] = torch.empty(2 * 10**9)
    with torch.serialization.skip_data():
        torch.save(state, path)
    assert path.stat().st_size > 8 * 10**9
    start = time.process_time()
    with pytest.raises(UserError, match=r"of another model or guide \(model\.decoder\.net\.0\.weight has shape"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path, resume=True)
    assert time.process_time() - start < 1.0


# --- What torch says --------------------------------------------------------------------------------------------------


def scripted(path: Path) -> None:
    """An archive that torch takes for a program of its own."""
    checkpoint.save(path, STATE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/constants.pkl", pickle.dumps(()))


def of_a_class(path: Path) -> None:
    torch.save({"format": checkpoint._FORMAT, "path": Malicious(path)}, path)


@pytest.mark.parametrize("make", [scripted, of_a_class])
@pytest.mark.parametrize("read", [checkpoint.load, checkpoint.outline])
def test_torch_s_advice_to_run_the_code_reaches_nobody(path: Path, make: Any, read: Any) -> None:
    make(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="refused") as caught:
            read(path)
    for advice in ("weights_only", "Re-running", "re-running", "jit"):
        assert advice not in str(caught.value)
    assert "\n" not in str(caught.value)
