"""A user's own file: what it may hold, and a table of what is wrong with others."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.data.binarization import binarized
from ppl_vae.data.files.npz import read_npz
from ppl_vae.data.kinds import LARGEST, as_float

X = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "input.npz"


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (X, X),
        (X.astype(np.float64), X),
        (X.astype(np.float16), X.astype(np.float16)),
        (X.reshape(2, 2, 3), X.reshape(2, 2, 3)),
        (X.reshape(2, 1, 2, 3), X.reshape(2, 1, 2, 3)),
        (X > 0.5, X > 0.5),
        (np.arange(256, dtype=np.uint8).reshape(16, 16), np.arange(256).reshape(16, 16) / 255),
        (np.asfortranarray(X), X),
        (X[::2], X[::2]),
    ],
)
def test_observations(path: Path, x: np.ndarray, expected: np.ndarray) -> None:
    np.savez(path, x=x)
    found, labels, scale, *_ = read_npz(path)
    assert found.dtype == (torch.bool if x.dtype == bool else torch.float32 if x.dtype.kind == "f" else torch.uint8)
    np.testing.assert_array_equal(as_float(found, scale).numpy(), expected.astype(np.float32))
    assert labels is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
@pytest.mark.parametrize(
    ("high", "scale"), [(0, 1), (1, 1), (2, 2), (16, 16), (100, 100), (127, 127), (128, 255), (254, 255), (255, 255)]
)
def test_integers_are_scaled_by_what_they_go_to(path: Path, dtype: type, high: int, scale: int) -> None:
    x = np.minimum(np.arange(12).reshape(4, 3, 1) * 24, high).astype(dtype)
    np.savez(path, x=x)
    found = read_npz(path)
    np.testing.assert_array_equal(as_float(found.x, found.scale).numpy(), x.astype(np.float32) / np.float32(scale))
    assert found.scale == scale
    how = "taken as bits" if scale == 1 else f"divided by {scale}"
    assert found.notes == (f"input.npz: x holds integers ({x.dtype}) from 0 to {high}, {how}.",)


@pytest.mark.parametrize(
    ("x", "scale", "expected"),
    [
        (np.eye(3, dtype=np.uint8), 1, np.eye(3)),  # bits, of a run on float or on bits
        (np.eye(3, dtype=np.int64), 1, np.eye(3)),
        (np.eye(3, dtype=bool), 255, np.eye(3)),
        (np.eye(3) / 2, 255, np.eye(3) / 2),  # float is what it is
        (np.zeros((3, 3), np.uint8), 255, np.zeros((3, 3))),  # black either way
        (100 * np.eye(3, dtype=np.uint8), 255, np.eye(3) * (100 / 255)),  # dark images stay dark
        (16 * np.eye(3, dtype=np.uint8), 16, np.eye(3)),
    ],
)
def test_a_later_file_is_scaled_as_the_first(path: Path, x: np.ndarray, scale: int, expected: np.ndarray) -> None:
    np.savez(path, x=x)
    found = read_npz(path, scale, (3,))
    np.testing.assert_allclose(as_float(found.x, found.scale).numpy(), expected, atol=1e-7)
    assert (found.scale, found.notes) == (scale, ())


@pytest.mark.parametrize(
    ("high", "scale", "message"),
    [
        (
            255,
            1,
            r"integers from 0 to 255, where they are to go from 0 to 1; scale x as that of training was, and store",
        ),
        (17, 16, r"integers from 0 to 17, where they are to go from 0 to 16"),
        (1, 255, r"0 and 1 alone, where this run's go to 255.*store bits as bool, and levels as float, x / 255"),
    ],
)
def test_a_later_file_of_another_scale(path: Path, high: int, scale: int, message: str) -> None:
    np.savez(path, x=high * np.eye(3, dtype=np.uint8))
    refused(path, message, scale, (3,))


def test_what_scaling_rounds_to_is_cut_off(path: Path) -> None:
    np.savez(path, x=np.array([[-1e-17, 0.25], [1.0000000000000002, 1.0000005]]))
    assert read_npz(path).x.tolist() == [[0.0, 0.25], [1.0, 1.0]]


IMAGES = np.random.default_rng(0).random((5, 3, 6, 7), dtype=np.float32)


def test_channels_first_are_brought_behind(path: Path) -> None:
    np.savez(path, x=IMAGES)
    last = np.moveaxis(IMAGES, 1, -1)
    for found in (read_npz(path), read_npz(path, 1, (6, 7, 3))):
        np.testing.assert_array_equal(found.x.numpy(), last)
        assert found.x.is_contiguous()
        assert found.notes == ("input.npz: x (5, 3, 6, 7) has its channels first; taken as (N, H, W, C).",)
    assert read_npz(path, 1, (3, 6, 7)).x.shape == (5, 3, 6, 7)  # a run that was trained on such
    np.savez(path, x=IMAGES[:, :1])
    assert read_npz(path).x.shape == (5, 6, 7, 1)
    refused(path, r"observations of shape \(1, 6, 7\), not the run's \(6, 7, 3\)", 1, (6, 7, 3))


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (5, 3, 8, 3), (5, 1, 2, 3), (5, 3, 8, 2)])
def test_channels_that_could_be_first_or_last_are_said(path: Path, shape: tuple[int, ...]) -> None:
    np.savez(path, x=np.zeros(shape))
    found = read_npz(path)
    assert found.x.shape == shape
    (note,) = found.notes
    assert f"taken as {shape[1]} × {shape[2]} pixels of {shape[3]} channels" in note
    assert "numpy.moveaxis(x, 1, -1)" in note


@pytest.mark.parametrize("shape", [(5, 8, 8, 3), (5, 8, 8, 1), (5, 2, 8, 8), (5, 8, 8), (5, 3, 8), (5, 3, 8, 8, 8)])
def test_other_shapes_are_left(path: Path, shape: tuple[int, ...]) -> None:
    np.savez(path, x=np.zeros(shape))
    found = read_npz(path)
    assert (tuple(found.x.shape), found.notes) == (shape, ())


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int32])
def test_labels(path: Path, dtype: type) -> None:
    np.savez_compressed(path, x=X, y=np.array([2, 0, 1, 2], dtype=dtype), other=np.zeros(3))
    labels = read_npz(path).y
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 0, 1, 2]


@pytest.mark.parametrize(
    ("y", "labels", "names"),
    [
        ([10, 20, -1, 3.0], [10, 20, -1, 3], ()),
        ([True, False, True, True], [1, 0, 1, 1], ("False", "True")),
        ([2.5, 10.0, -1.0, 2.5], [1, 2, 0, 1], ("-1", "2.5", "10")),
        ([0, 1, 2, 10**9], [0, 1, 2, 10**9], ()),
        (["b", "a", "c", "b"], [1, 0, 2, 1], ("a", "b", "c")),
    ],
)
def test_odd_labels(path: Path, y: list[Any], labels: list[int], names: tuple[str, ...]) -> None:
    np.savez(path, x=X, y=np.array(y))
    found = read_npz(path)
    assert (found.y.tolist(), found.class_names) == (labels, names)
    if names:  # as a later file has them
        known = {name: 5 * label for label, name in enumerate(names)}
        np.savez(path, x=X[:2], y=np.array(y[1:3]))
        assert read_npz(path, known=known).y.tolist() == [5 * label for label in labels[1:3]]


def test_identifiers_are_no_labels(path: Path) -> None:
    np.savez(path, x=np.zeros((10_001, 1), np.float32), y=np.arange(10_001))
    refused(path, "y holds 10,001 different labels, at most 10,000 are classes")


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no x": ({"images": X}, r"no array 'x' \(found: images\)"),
    "nothing": ({}, r"no array 'x' \(found: nothing\)"),
    "a number": ({"x": np.float32(1)}, r"x has shape \(\); it must be \(N, D\) or \(N, H, W\)"),
    "one row": ({"x": X[0]}, r"x has shape \(3,\)"),
    "no rows": ({"x": X[:0]}, r"x is empty, shape \(0, 3\)"),
    "no columns": ({"x": X[:, :0]}, r"x is empty, shape \(4, 0\)"),
    "wide integers": (
        {"x": np.arange(0, 1200, 100).reshape(4, 3, 1)},
        r"x holds integers from 0 to 1100; divide it by",
    ),
    "negative integers": (
        {"x": np.full((4, 3), -1)},
        r"from -1 to -1, .* grey levels begin at 0; store x.astype",
    ),
    "complex": ({"x": X.astype(complex)}, r"x is complex128"),
    "text": ({"x": np.array([["a"]])}, r"x is <U1"),
    "objects": ({"x": np.array([[{}]], dtype=object)}, r"pickled objects, which are never loaded"),
    "nan": ({"x": X * np.nan}, r"all of x is missing"),
    "a flat mask": ({"x": X, "mask": X[:, 0] > 0}, r"mask is bool of shape \(4,\); it must be bool and of x's"),
    "mask": ({"x": X, "mask": X}, r"mask is float32 of shape \(4, 3\); it must be bool"),
    "infinity": ({"x": np.where(X > 0.95, np.inf, X)}, r"x holds infinity, first in row 3"),
    "too few labels": ({"x": X, "y": np.arange(3)}, r"y has shape \(3,\) where x has 4 rows"),
    "one-hot labels": ({"x": X, "y": np.eye(4, dtype=int)}, r"y has shape \(4, 4\)"),
    "labels that nobody knows": ({"x": X, "y": np.array([0, 1, np.nan, 1])}, r"y holds nan, first in row 2; a label"),
    "labels beyond float": ({"x": X, "y": np.array([0, 1, 2, 2**60])}, r"y holds 1152921504606846976, too large"),
    "object labels": ({"x": X, "y": np.array([{}, 1, 2, 3], dtype=object)}, r"pickled objects"),
    "complex labels": ({"x": X, "y": np.zeros(4, complex)}, r"y is complex128; it must hold classes: numbers"),
    "a mask of words": ({"x": X, "mask": (X > 0).astype(str)}, r"mask is <U5 .* must be bool and of x's"),
    "an integer mask": ({"x": X, "mask": np.ones(X.shape, np.uint8)}, r"mask is uint8 .* store mask.astype\(bool\)"),
    "squares beyond float32": (
        {"x": X * np.array([1, 1e30, 1])},
        "squares in float32, first in column 1; write it in",
    ),
    "huge": ({"x": X.astype(np.float64) * 1e300}, r"x runs from 0 to 1e\+300"),
}


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (np.random.default_rng(0).poisson(4.0, (200, 3)), 0),
        (np.arange(0, 1200, 100).reshape(4, 3), 0),
        (np.random.default_rng(0).poisson(4.0, (200, 3)).astype(np.uint8), 0),
        (np.random.default_rng(0).poisson(4.0, (200, 64)).astype(np.uint8), 0),  # they thin out
        (np.random.default_rng(0).poisson(90.0, (200, 3)), 0),
        (np.random.default_rng(0).integers(0, 17, (200, 64)), 16),  # digits in a row
        (np.random.default_rng(0).integers(0, 200, (200, 20), dtype=np.uint8), 255),  # images in a row, whatever sides
        (np.random.default_rng(0).poisson(4.0, (200, 3, 1)), None),  # images: levels
        (np.random.default_rng(0).integers(0, 6, (200, 3)), 0),  # codes, ratings
        (np.random.default_rng(0).integers(0, 2, (200, 3)), 1),
    ],
)
def test_counts_and_levels(path: Path, x: Any, scale: int | None) -> None:
    np.savez(path, x=x)
    found = read_npz(path)
    expected = int(x.max()) if scale is None else scale
    assert found.scale == expected
    np.testing.assert_allclose(as_float(found.x, found.scale).numpy(), x / max(1, expected), rtol=1e-6)
    assert ("counts" in found.notes[0]) == (scale == 0)
    if scale == 0:  # a later file's are too, whatever they go to
        np.savez(path, x=x[:2] * 7)
        np.testing.assert_array_equal(read_npz(path, 0, x.shape[1:]).x.numpy(), x[:2] * 7)
        np.savez(path, x=-x.astype(int) - 1)
        refused(path, r"where they are to be counts", 0, x.shape[1:])


@pytest.mark.parametrize("kind", ARRAYS)
def test_wrong_arrays(path: Path, kind: str) -> None:
    arrays, message = ARRAYS[kind]
    np.savez(path, **arrays)
    refused(path, message)


def refused(path: Path, message: str, scale: int | None = None, event_shape: tuple[int, ...] | None = None) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_npz(path, scale, event_shape)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def saved(path: Path) -> bytes:
    np.savez_compressed(path, x=np.random.default_rng(0).random((50, 50), dtype=np.float32))
    return path.read_bytes()


def npy(path: Path) -> bytes:
    single = path.with_suffix(".npy")
    np.save(single, X)
    return single.read_bytes()


def damaged(path: Path) -> bytes:
    """The first bytes of the compressed array: a stream that cannot be inflated."""
    data = saved(path)
    return data[:60] + b"\xff" * 40 + data[100:]


FILES: dict[str, Any] = {
    "empty": lambda _: b"",
    "text": lambda _: b"x,y\n1,2\n",
    "pickle": lambda _: pickle.dumps({"x": X}),
    "npy": npy,
    "truncated": lambda path: saved(path)[:5000],
    "wrong checksum": lambda path: saved(path).replace(saved(path)[5000:5010], bytes(10)),
    "damaged": damaged,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # numpy's, when it meets no zip
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_not_an_npz(path: Path, kind: str) -> None:
    path.write_bytes(FILES[kind](path))
    refused(path, "not a readable .npz|pickled objects")


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["missing", "folder"])
def test_no_file(path: Path, make: Any) -> None:
    make(path)
    refused(path, "no such file")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)


def test_nothing_is_unpickled(path: Path) -> None:
    marker = path.with_name("it-ran")
    for name in ("x", "y"):
        array = np.empty((1, 1), dtype=object)
        array[0, 0] = Malicious(marker)
        np.savez(path, **{"x": np.zeros((1, 1)), name: array})
        refused(path, "pickled objects, which are never loaded")
        assert not marker.exists()
    with np.load(path, allow_pickle=True) as file:
        _ = file["y"]
    assert marker.exists()  # it would have


def test_names_of_classes_and_columns(path: Path) -> None:
    x, words = np.zeros((4, 2), dtype=np.float32), np.array(["tree", "cat", "tree", "bird"])
    np.savez(path, x=x, y=words, columns=np.array(["age", "height"]))
    found = read_npz(path)
    assert [found.class_names[label] for label in found.y.tolist()] == words.tolist()
    assert found.columns == ("age", "height")
    assert read_npz(path, known={"bird": 5, "cat": 3, "tree": 9}).y.tolist() == [9, 3, 9, 5]  # those of a run
    with pytest.raises(UserError, match="y holds 'cat', the run's labels are bird, tree"):
        read_npz(path, known={"bird": 5, "tree": 9})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"class_names": ["a"], "y": [0, 1]}, "1 classes are named, and y has others"),
        ({"class_names": ["a", "b"]}, "2 classes are named, and y has others"),
        ({"class_names": ["a", "a"], "y": [0, 1]}, "class_names holds a name twice"),
        ({"class_names": [1, 2], "y": [0, 1]}, "class_names is int64"),
        ({"y": ["a", " "]}, "y holds ' '; a name has 1 to 60 characters"),
        ({"y": ["a", "b" * 61]}, "a name has 1 to 60 characters"),
        ({"y": ["a", "\x1b[31m"]}, "a name has 1 to 60 characters"),
        ({"columns": ["a"]}, "1 columns are named, and x has shape"),
        ({"columns": ["a", "b", "a"]}, "columns holds a name twice"),
    ],
)
def test_names_that_are_none_are_refused(path: Path, arrays: dict[str, list[Any]], message: str) -> None:
    np.savez(path, x=np.zeros((2, 3), dtype=np.float32), **{name: np.array(value) for name, value in arrays.items()})
    with pytest.raises(UserError, match=re.escape(message)):
        read_npz(path)


REALS = {
    "a little above": (np.array([[0.0, 1.5]], np.float32), "from 0 to 1.5"),
    "a little below": (np.array([[-2e-6, 1.0]], np.float32), "from -2e-06 to 1"),
    "negative": (X - 0.5, "from -0.5 to 0.5"),
    "0 to 255": (X * 255, "from 0 to 255"),
}


@pytest.mark.parametrize("kind", REALS)
def test_real_numbers_are_what_they_are_and_bits_of_them_are_refused(path: Path, kind: str) -> None:
    x, words = REALS[kind]
    np.savez(path, x=x)
    found = read_npz(path)
    assert np.array_equal(found.x.numpy(), x)
    assert found.notes == (f"input.npz: x runs {words}, real numbers, taken as they are.",)
    with pytest.raises(UserError, match=r"scale it into \[0, 1\], as this run's data was"):
        read_npz(path, scale=255)
    for binarization in ("dynamic", "static", "threshold"):
        with pytest.raises(
            UserError, match=rf"x runs {words} and leaves .*`binarization` none and `likelihood` normal"
        ):
            binarized(found.x, None, binarization, 0).probe()


def test_the_largest_real_numbers_have_a_spread(path: Path) -> None:
    x = np.random.default_rng(0).choice([-LARGEST, LARGEST], (1000, 2))
    np.savez(path, x=x)
    assert Dataset(read_npz(path).x).spread().isfinite().all()
    np.savez(path, x=2 * x)
    refused(path, "too large to add up their squares in float32")


def test_rows_and_columns_that_nothing_is_known_of_are_said(path: Path) -> None:
    seen = np.ones((5, 3), dtype=bool)
    seen[1] = seen[2] = seen[:, 0] = False
    np.savez(path, x=np.random.default_rng(0).random((5, 3)), mask=seen)
    assert read_npz(path).notes[0].endswith("the rest inferred (2 rows and 1 column without any).")


def test_holes_are_masked_and_filled_with_what_x_takes(path: Path) -> None:
    x = np.array([[1.0, np.nan, 5.0], [2.0, 7.0, np.nan], [9.0, np.nan, np.nan]])
    np.savez(path, x=x)
    found = read_npz(path)
    assert found.mask is not None
    assert found.mask.tolist() == (~np.isnan(x)).tolist()
    assert found.x.tolist() == [[1.0, 7.0, 5.0], [2.0, 7.0, 5.0], [9.0, 7.0, 5.0]]
    assert "44.4% of the numbers in x are missing" in found.notes[0]
    few = np.random.default_rng(0).normal(size=(60, 50))
    few[3, 4] = np.nan
    np.savez(path, x=few)
    assert "less than 0.1% of the numbers in x are missing" in read_npz(path).notes[0]
    seen = np.array([[True, False], [True, True], [False, False]])
    np.savez(path, x=np.array([[0, 9], [1, 1], [9, 0]], dtype=np.uint8), mask=seen)
    found = read_npz(path)  # what was not seen has no say in what the integers are
    assert (found.scale, found.x.tolist(), found.mask.tolist()) == (1, [[0, 1], [1, 1], [0, 1]], seen.tolist())
