"""Inputs that others have changed: every command either runs, or refuses in one line and writes nothing."""

import contextlib
import copy
import io
import json
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml

from ppl_vae.cli.main import main
from ppl_vae.reports import effort, pictures

_SECONDS = 60  # for one command; it takes a few
_ODD: list[Any] = [None, -1, 0, 3, 2**40, -0.5, 1e300, float("nan"), "", "x", "../x", [], [1, 2], {}, {"a": 1}, True]


def mutated(count: int, folder: Path, seed: int, complain: Callable[[str], None]) -> int:
    """Change inputs of every kind, and hand each to a command that reads it; returns how many."""
    chance = random.Random(seed)
    files = _originals(folder)
    brief = (
        mock.patch.object(pictures, "_PICTURES", {}),
        mock.patch("ppl_vae.cli.train.effort_after_training", return_value=effort.FULL._replace(datapoints=20)),
    )
    with brief[0], brief[1]:
        for number in range(count):
            kind = chance.choice(list(_KINDS))
            work = folder / f"changed-{number}"
            work.mkdir()
            what = _KINDS[kind](work, files, chance)
            before = _contents(work)
            status, out, err = _called(what.arguments)
            where = f"change {number} of {kind} ({what.change}): "
            if "Traceback" in out + err or status not in (0, 2):
                complain(f"{where}exit {status}, {err[-800:]}")
            elif status == 2:
                if sum(line.startswith("ppl-vae: ") for line in err.splitlines()) != 1 or out:
                    complain(f"{where}more than one line: {out}{err}")
                if _contents(work) != before:
                    complain(f"{where}refused, and yet something was written: {_unlike(before, _contents(work))}")
            shutil.rmtree(work)
    return count


class _What:
    """A command and what was changed in its input."""

    def __init__(self, change: str, *arguments: object) -> None:
        self.change, self.arguments = change, [str(argument) for argument in arguments]


def _originals(folder: Path) -> Path:
    """A file of each kind, and a run of each, whole."""
    files = folder / "originals"
    files.mkdir()
    generator = np.random.default_rng(0)
    np.savez(files / "images.npz", x=generator.random((40, 4, 4), dtype=np.float32), y=np.arange(40) % 3)
    words = ["".join(generator.choice(list("abcde"), size=generator.integers(2, 8))) for _ in range(40)]
    (files / "words.txt").write_text("\n".join(words))
    pieces = [[[int(note)] for note in generator.integers(40, 80, size=5)] for _ in range(20)]
    (files / "music.json").write_text(json.dumps({"train": pieces, "valid": pieces[:4], "test": pieces[:4]}))
    small = ("--hidden", "4", "--epochs", "2", "--out")
    rows = (*small, files / "rows")
    with mock.patch.object(pictures, "_PICTURES", {}):
        for command in (
            ["train", "--data", files / "images.npz", "--latent-dim", "2", *small, files / "run"],
            ["train", "--data", files / "images.npz", "--binarization", "static", "--guide", "mean-field", *rows],
            ["baseline", "gaussian", "--data", files / "images.npz", "--dims", "3", "--out", files / "baseline"],
        ):
            status, out, err = _called([str(word) for word in command])
            assert status == 0, out + err
    return files


def _called(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _limit():
        try:
            status = main(arguments)
        except BaseException:
            return 1, out.getvalue(), err.getvalue() + traceback.format_exc()
    return status, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def _unlike(before: dict[Path, bytes], after: dict[Path, bytes]) -> list[str]:
    return sorted(str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))


# --- Changes ----------------------------------------------------------------------------------------------------------


def _bytes(path: Path, chance: random.Random) -> str:
    """Change a file's bytes."""
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    length = chance.choice([1, 1, 4, 64])
    match chance.choice(["flip", "cut", "insert", "zero", "twice", "empty"]):
        case "flip":
            data[at] ^= 1 << chance.randrange(8)
            change = f"bit flipped at {at}"
        case "cut":
            del data[at:]
            change = f"cut at {at}"
        case "insert":
            data[at:at] = chance.randbytes(length)
            change = f"{length} bytes inserted at {at}"
        case "zero":
            data[at : at + length] = bytes(len(data[at : at + length]))
            change = f"{length} bytes zeroed at {at}"
        case "twice":
            data += data[at:]
            change = f"the end from {at} written twice"
        case _:
            data.clear()
            change = "emptied"
    path.write_bytes(data)
    return change


def _leaf(tree: Any, chance: random.Random) -> str:
    """Change one value somewhere in nested dictionaries and lists, or leave it out."""
    keys: list[Any] = []
    while True:
        key = chance.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        keys.append(key)
        inner = tree[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.1:
            break
        tree = inner
    name = ".".join(map(str, keys))
    if chance.random() < 0.15:
        del tree[key]
        return f"{name} left out"
    tree[key] = value = _other(tree[key], chance)
    return f"{name} is {value if not isinstance(value, torch.Tensor) else f'a tensor {tuple(value.shape)}'!r}"


def _other(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, torch.Tensor) or chance.random() < 0.3:
        return copy.deepcopy(chance.choice(_ODD))
    match chance.choice(["longer", "type", "nan", "negative", "scalar"]):
        case "longer":
            return torch.cat([value.flatten(), value.flatten(), torch.ones(1, dtype=value.dtype)])
        case "type":
            return value.to(torch.int16)
        case "nan":
            return torch.full_like(value, float("nan")) if value.is_floating_point() else value + 2**30
        case "negative":
            return -torch.ones_like(value)
        case _:
            return torch.tensor(5.0)


def _arrays(path: Path, chance: random.Random) -> str:
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    name = chance.choice(list(arrays))
    value = arrays[name]
    odd: dict[str, Callable[[], Any]] = {
        "strings": lambda: value.astype(str),
        "of another shape": lambda: value.ravel()[:-1],
        "with a dimension more": lambda: value[None],
        "scaled": lambda: value * 1000,
        "negative": lambda: -1 - value.astype(float),
        "NaN": lambda: np.full(value.shape, np.nan),
        "empty": lambda: value[..., :0] if value.ndim else np.zeros(0),
        "complex": lambda: value.astype(complex),
        "int8": lambda: np.nan_to_num(value.astype(float)).astype(np.int8),
    }
    if chance.random() < 0.1:
        del arrays[name]
        change = f"{name} left out"
    else:
        kind = chance.choice(list(odd))
        with contextlib.suppress(TypeError, ValueError):  # of strings there is no negative
            arrays[name] = odd[kind]()
        change = f"{name} {kind}"
    np.savez(path, **arrays)
    return change


def _changed(path: Path, chance: random.Random) -> str:
    """Change a file: its bytes, or half of the time what they stand for."""
    if chance.random() < 0.5 and path.suffix not in (".txt", ".safetensors"):
        if path.suffix == ".npz":
            return _arrays(path, chance)
        if path.suffix == ".pt":
            state = torch.load(path, weights_only=True)
            change = _leaf(state, chance)
            torch.save(state, path)
            return change
        tree = yaml.safe_load(path.read_text())  # JSON is YAML
        change = _leaf(tree, chance)
        path.write_text(json.dumps(tree) if path.suffix == ".json" else yaml.safe_dump(tree))
        return change
    return _bytes(path, chance)


def _file(name: str) -> Callable[[Path, Path, random.Random], _What]:
    def make(work: Path, files: Path, chance: random.Random) -> _What:
        path = Path(shutil.copy(files / name, work / name))
        change = _changed(path, chance)
        if chance.random() < 0.3 and name.endswith(".npz"):
            return _What(change, "infer", files / "run", "--input", path, "--out", work / "latents.npz")
        small = ("--hidden", "4", "--latent-dim", "2", "--epochs", "1", "--out", work / "out")
        kind = ("--model", "sequence") if not name.endswith(".npz") else ()
        return _What(change, "train", "--data", path, *kind, *small)

    return make


def _run(run: str, name: str) -> Callable[[Path, Path, random.Random], _What]:
    def make(work: Path, files: Path, chance: random.Random) -> _What:
        path = Path(shutil.copytree(files / run, work / run))
        change = _changed(path / name, chance)
        if run == "baseline":
            return _What(change, "generators", path, "--out", work / "drawn.npz")
        if name in ("checkpoint.pt", "model.safetensors") and chance.random() < 0.6:
            return _What(change, "train", "--resume", path, "--epochs", "3")
        return _What(change, "evaluate", path, "--limit", "4", "--num-samples", "2")

    return make


_KINDS: dict[str, Callable[[Path, Path, random.Random], _What]] = {
    "an .npz": _file("images.npz"),
    "a text": _file("words.txt"),
    "music": _file("music.json"),
    "a run's config.yaml": _run("run", "config.yaml"),
    "a checkpoint": _run("run", "checkpoint.pt"),
    "weights": _run("run", "model.safetensors"),
    "a checkpoint with rows": _run("rows", "checkpoint.pt"),
    "a baseline": _run("baseline", "baseline.npz"),
    "a baseline's config.yaml": _run("baseline", "config.yaml"),
}
