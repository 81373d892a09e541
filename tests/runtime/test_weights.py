"""Weights in a file of their own: anybody's reader takes them, and with the rest they are one checkpoint, however it
ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from ppl_vae import UserError, fit
from ppl_vae.runtime import checkpoint, weights
from ppl_vae.runtime.checkpoint import Apart, next_to
from ppl_vae.svi import OptimizerConfig
from tests.fits import TRAIN, VALIDATION, assert_same, settings
from tests.fits import weights as weights_of
from tests.pairs import vae_pair

TIED = torch.arange(6.0).reshape(2, 3)


def state(step: int) -> checkpoint.State:
    model = {"a.w": torch.full((200, 3), float(step)), "a.turned": TIED.T, "a.tied": TIED, "scale": torch.tensor(step)}
    odd = {"half": torch.ones(2, dtype=torch.bfloat16), "none": torch.zeros(0), "mask": torch.tensor([True, False])}
    return {"model": model, "guide": {**odd, "wave": torch.tensor([1j])}, "best": None, "step": step, "history": []}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def save(path: Path, step: int) -> None:
    checkpoint.save(path, state(step), Apart(path.with_name("model.safetensors"), (), ("model", "guide")))


def test_what_is_saved_comes_back_and_the_weights_are_anybodys(path: Path) -> None:
    given = state(3)
    save(path, 3)
    for found in (checkpoint.load(path), given):  # which has not been changed
        assert (found["step"], found["history"], found["best"]) == (3, [], None)
        for of in ("model", "guide"):
            assert_same(found[of], given[of])
    alone = safetensors.torch.load_file(path.with_name("model.safetensors"))
    assert_same(
        alone,
        {f"{of}.{name}": value for of in ("model", "guide") for name, value in given[of].items() if name != "wave"},
    )
    assert len(alone) == 7  # complex numbers the format has not always had: they stay in the checkpoint
    assert not next_to(path).exists()
    outline = checkpoint.outline(path)
    assert outline["step"] == 3
    assert outline["model"]["a.w"].is_meta
    assert outline["model"]["a.w"].shape == (200, 3)
    assert outline["guide"]["half"].dtype == torch.bfloat16


class KilledError(BaseException):
    """Nothing runs after it."""


@contextmanager
def killed_after(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside the block so many files get their names, and no more."""
    rename, done = Path.replace, 0

    def replace_or_die(old: Path, new: Path) -> None:
        nonlocal done
        if done == count:
            raise KilledError
        done += 1
        rename(old, new)

    with monkeypatch.context() as patch, suppress(KilledError):
        patch.setattr(Path, "replace", replace_or_die)
        yield


def test_killed_between_any_two_steps_of_saving_it_is_the_old_one_or_the_new(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is whole before it has its name, so that renamings are all that a kill can come between."""
    seen = []
    for last in range(4):
        save(path, 1)
        with killed_after(last, monkeypatch):
            save(path, 2)
        for read in (checkpoint.load, checkpoint.outline):
            found = read(path)
            assert found["step"] in (1, 2)
        found = checkpoint.load(path)
        assert found["model"]["scale"] == found["step"]
        assert (found["model"]["a.w"] == found["step"]).all()
        seen.append(found["step"])
        save(path, 1)  # what is left behind is not in the way
        assert checkpoint.load(path)["step"] == 1
        assert {file.name for file in path.parent.iterdir()} == {"checkpoint.pt", "model.safetensors"}
    assert seen == [1, 1, 2, 2]


def test_killed_the_first_time_there_is_nothing_or_all_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(weights, "write", killed)
        with pytest.raises(KilledError):
            save(path, 1)
    assert next_to(path).exists()
    with pytest.raises(UserError, match=r"checkpoint\.pt: no checkpoint there"):
        checkpoint.load(path)


def test_one_that_has_all_in_it_becomes_one_that_has_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of an earlier version that goes on, killed before its first new weights are there and after."""
    for last, step in ((0, 1), (1, 1), (2, 2)):
        for file in path.parent.iterdir():
            file.unlink()
        checkpoint.save(path, state(1))
        with killed_after(last, monkeypatch):
            save(path, 2)
        found = checkpoint.load(path)
        assert (found["step"], int(found["model"]["scale"])) == (step, step)


def test_a_full_disk_leaves_the_old_one_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, 1)
    sync, count = os.fsync, 0

    def full(number: int) -> None:
        nonlocal count
        count += 1
        if count == 2:  # that of the weights
            raise OSError(28, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"model\.safetensors: cannot write \(No space left on device\)"):
        save(path, 2)
    assert {file.name for file in path.parent.iterdir()} == {"checkpoint.pt", "model.safetensors"}
    assert checkpoint.load(path)["step"] == 1


def test_a_reader_between_two_renamings_reads_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process saves just when the state has been read and the weights have not."""
    save(path, 1)
    read, waiting = weights.read, [2, 3]

    def late(*arguments: Any) -> Any:
        if waiting:
            save(path, waiting.pop(0))
        return read(*arguments)

    monkeypatch.setattr(weights, "read", late)
    found = checkpoint.load(path)
    assert (found["step"], int(found["model"]["scale"])) == (3, 3)


def damaged(path: Path, change: Any) -> None:
    file = path.with_name("model.safetensors")
    file.write_bytes(change(file.read_bytes()))


def flipped(data: bytes) -> bytes:
    return data[:-100] + bytes(255 - byte for byte in data[-100:])


OTHERS = {
    "gone": (lambda path: path.with_name("model.safetensors").unlink(), "missing or damaged"),
    "flipped": (lambda path: damaged(path, flipped), "missing or damaged"),
    "cut": (lambda path: damaged(path, lambda data: data[:-7]), "model.safetensors: damaged"),
    "empty": (lambda path: damaged(path, lambda data: b""), "model.safetensors: damaged"),
    "a header without end": (lambda path: damaged(path, lambda data: b"\xff" * 9), "model.safetensors: damaged"),
    "of another moment": (lambda path: damaged(path, lambda _: other_moment(path)), "of the same moment"),
}


def other_moment(path: Path) -> bytes:
    (path.parent / "other").mkdir()
    save(path.parent / "other" / "checkpoint.pt", 7)
    return (path.parent / "other" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("what", OTHERS)
def test_weights_that_are_not_the_checkpoint_s_are_refused_in_one_line(path: Path, what: str) -> None:
    save(path, 1)
    change, words = OTHERS[what]
    change(path)
    with pytest.raises(UserError, match=words) as caught:
        checkpoint.load(path)
    assert str(path.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        {"file": "../model.safetensors"},
        {"file": "/etc/passwd"},
        {"file": ".."},
        {"file": ""},
        {"file": 3},
        {"at": ["nowhere"]},
        {"at": "best"},
        {"at": ["step"]},
        {"other": 1},
    ],
    ids=str,
)
def test_where_the_weights_are_is_held_to_what_we_write(path: Path, told: dict[str, Any]) -> None:
    save(path, 1)
    found = torch.load(path, weights_only=True)
    found["apart"] |= told
    torch.save(found, path)
    with pytest.raises(UserError, match=r"damaged checkpoint \(") as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


# --- Of a fit ---------------------------------------------------------------------------------------------------------


def test_a_fit_writes_the_weights_that_it_ends_with(tmp_path: Path) -> None:
    """Under early stopping the best epoch's; and it goes on from the last one's, as if it had never stopped."""
    plain = settings(epochs=12, patience=11, kl_warmup=0, optimizer=OptimizerConfig(learning_rate=0.2))
    whole = vae_pair()
    history = fit(*whole, TRAIN, VALIDATION, plain)
    assert 4 < history.best.epoch < 12  # so that the last ones are not the best, and the best are new ones
    paths = {"checkpoint_path": tmp_path / "run.pt", "weights_path": tmp_path / "run.safetensors"}
    parts = vae_pair()
    fit(*parts, TRAIN, VALIDATION, replace(plain, epochs=4), **paths)
    assert_same(safetensors.torch.load_file(paths["weights_path"]), named(*parts))
    again = vae_pair(seed=5)
    fit(*again, TRAIN, VALIDATION, plain, **paths, resume=True)
    assert_same(weights_of(*again), weights_of(*whole))
    assert_same(safetensors.torch.load_file(paths["weights_path"]), named(*whole))


def named(model: nn.Module, guide: nn.Module) -> dict[str, torch.Tensor]:
    programs = {"model": model, "guide": guide}.items()
    return {f"{of}.{name}": value for of, program in programs for name, value in program.state_dict().items()}


def test_weights_stand_beside_the_checkpoint_and_over_nothing(tmp_path: Path) -> None:
    taken = tmp_path / "w.safetensors"
    taken.write_bytes(b"mine")
    for paths, words in (
        ({"checkpoint_path": 3}, "`checkpoint_path` is an int; give a path"),
        ({"weights_path": b"w"}, "`weights_path` is a bytes; give a path"),
        ({"weights_path": taken}, "`weights_path` .* name another file in the folder of `checkpoint_path`"),
        ({"weights_path": taken, "checkpoint_path": tmp_path / "a" / "run.pt"}, "name another file in the folder"),
        ({"weights_path": taken, "checkpoint_path": tmp_path / "run.pt"}, "w.safetensors exists; resume it"),
    ):
        with pytest.raises(UserError, match=words):
            fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=1), **paths)
    assert taken.read_bytes() == b"mine"
