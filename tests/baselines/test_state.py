"""A baseline's file may come from other hands: whatever is wrong in it is one line that names the array."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae.baselines.bayes import BayesClassifier, fit_classifier
from ppl_vae.cli.main import main
from ppl_vae.runs.baseline import BaselineRun

Arrays = dict[str, Any]


def fitted(kind: Any = "mixture") -> BayesClassifier:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 2, 3, generator=generator)
    y = torch.arange(60) % 2
    return fit_classifier(kind, x + 0.3 * y[:, None, None], y, dims=3, num_components=2)


@pytest.fixture(scope="module")
def state() -> Arrays:
    return fitted().state()


def test_round_trip(state: Arrays) -> None:
    x = torch.rand(5, 2, 3)
    for kind in ("gaussian", "mixture"):
        classifier = fitted(kind)
        assert torch.equal(BayesClassifier.from_state(classifier.state()).log_density(x), classifier.log_density(x))


# What can be done to any array, and to those of numbers.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "text": lambda array: np.array("text"),
    "objects": lambda array: np.array([None, {}], dtype=object),
    "complex": lambda array: array.astype(complex),
    "float32": lambda array: array.astype(np.float32),
    "int8": lambda array: array.astype(np.int8),
    "other bytes first": lambda array: array.astype(array.dtype.newbyteorder()),
    "structured": lambda array: np.zeros(array.shape, dtype=[("a", "f8")]),
    "another dimension": lambda array: array[None],
    "empty": lambda array: array[..., None][..., :0],
    "twice": lambda array: np.concatenate([np.atleast_1d(array)] * 2),
    "NaN": lambda array: np.full_like(array, np.nan),
    "infinity": lambda array: np.full_like(array, np.inf),
    "one NaN": lambda array: np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array),
    "negative": lambda array: -1 - abs(array),
    "zeros": np.zeros_like,
    "huge": lambda array: np.full_like(array, 10**18),
}
# What leaves an array as good as another: they are not wrong.
GOOD = {("zeros", "means"), ("zeros", "center"), ("zeros", "converged"), ("huge", "means"), ("huge", "center")}
GOOD |= {("negative", "means"), ("negative", "center"), ("huge", "converged"), ("huge", "noise")}
GOOD |= {("twice", "center"), ("another dimension", "center")}  # of another shape, which the record would know


def mutations(state: Arrays) -> Iterator[tuple[str, str, Arrays]]:
    for name, array in state.items():
        yield name, "missing", {other: value for other, value in state.items() if other != name}
        for change, make in CHANGES.items():
            kind = name.rpartition("_")[0] or name
            if array.dtype.kind == "U" and change not in ("text", "objects", "another dimension", "empty"):
                continue
            if array.dtype.kind in "bi" and change in ("NaN", "infinity"):
                continue
            if change == "other bytes first" and array.dtype.itemsize == 1:
                continue
            if (change, kind) not in GOOD:
                with np.errstate(all="ignore"):
                    yield name, change, {**state, name: make(array)}


def test_every_array_by_every_change(state: Arrays) -> None:
    count = 0
    for name, change, arrays in mutations(state):
        if name in arrays and arrays[name].dtype == state[name].dtype and np.array_equal(arrays[name], state[name]):
            continue
        with pytest.raises(ValueError, match=r"\w") as caught:
            BayesClassifier.from_state(arrays)
        named = name if name not in ("center", "labels") else ""  # a shape of another makes the next one wrong
        assert named in str(caught.value), (name, change, str(caught.value))
        assert "\n" not in str(caught.value)
        count += 1
    assert count > 180


# What only one of them can be.
PARTICULAR: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "labels descend": ("labels", lambda a: a[::-1].copy(), "labels are not ascending"),
    "labels repeat": ("labels", lambda a: np.zeros_like(a), "labels are not ascending"),
    "a prior above one": ("prior", lambda a: 2 * a, "prior are no probabilities"),
    "weights above one": ("weights_0", lambda a: 1.1 * a, "weights_0 are no probabilities"),
    "no directions": ("basis", lambda a: a[:, :0], "orthonormal"),
    "longer directions": ("basis", lambda a: 1.01 * a, "orthonormal"),
    "no variance": ("noise", lambda a: 0 * a, "noise is no variance"),
    "not symmetric": ("covariances_1", lambda a: a + np.triu(np.ones(a.shape[1:]), 1), "covariances_1 are not symm"),
    "not definite": ("covariances_1", lambda a: a - 10 * np.eye(a.shape[-1]), "covariances_1 are not positive"),
    "another format": ("format", lambda a: np.array("ppl_vae baseline 0"), "its format is not 'ppl_vae baseline 1'"),
}


@pytest.mark.parametrize("row", PARTICULAR)
def test_what_only_one_of_them_can_be(state: Arrays, row: str) -> None:
    name, change, message = PARTICULAR[row]
    with pytest.raises(ValueError, match=message):
        BayesClassifier.from_state({**state, name: change(state[name])})


def test_an_array_that_no_baseline_has(state: Arrays) -> None:
    with pytest.raises(ValueError, match="it has an array 'weights_2', which no baseline has"):
        BayesClassifier.from_state({**state, "weights_2": state["weights_1"]})


# --- The file ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((60, 2, 3), dtype=np.float32), y=np.arange(60) % 2)
    arguments = ["baseline", "gaussian", "--data", str(folder / "data.npz"), "--dims", "3"]
    assert main([*arguments, "--out", str(folder / "run")]) == 0
    return folder / "run"


def other_shape(state: Arrays) -> Arrays:
    return {**state, "center": state["center"].reshape(3, 2)}


def other_label(state: Arrays) -> Arrays:
    return {**state, "labels": np.array([0, 7])}


FILES: dict[str, tuple[Callable[[Path, Arrays], object], str]] = {
    "damaged": (lambda path, state: path.write_bytes(b"PK\x03\x04" + bytes(90)), "BadZipFile: File is not a zip file"),
    "a folder": (lambda path, state: path.mkdir(), "IsADirectoryError"),
    "a number": (lambda path, state: np.savez(path, **{**state, "noise": np.array(np.nan)}), "noise holds NaN"),
    "objects": (
        lambda path, state: np.savez(path, **{**state, "noise": np.array([{}])}),
        "it holds pickled objects, which are never loaded",
    ),
    "a bomb": (
        lambda path, state: np.savez_compressed(path, **{**state, "means_0": np.zeros((1, 10**7))}),
        "it unpacks to more than its size",
    ),
    "of another shape": (
        lambda path, state: np.savez(path, **other_shape(state)),
        "it is of data of shape (3, 2), the record of (2, 3)",
    ),
    "of other labels": (
        lambda path, state: np.savez(path, **other_label(state)),
        "label 7 is not one of the record's 2",
    ),
}


def test_labels_are_those_of_the_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((60, 2, 3), dtype=np.float32), y=2019 + np.arange(60) % 2)
    arguments = ["baseline", "gaussian", "--data", str(tmp_path / "data.npz"), "--dims", "3"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert BaselineRun.open(tmp_path / "run").load().labels.tolist() == [2019, 2020]


@pytest.mark.parametrize("row", FILES)
def test_a_changed_file_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    state = BaselineRun.open(run).load().state()
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    change, message = FILES[row]
    change(copy / "baseline.npz", state)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["generators", str(copy)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith(f"ppl-vae: {copy}/baseline.npz: not a baseline of this version (")
    assert message in err
    assert err.endswith("; fit it again.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
