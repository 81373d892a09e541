"""What Python has already is data too."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils.data import TensorDataset

from ppl_vae import UserError, load

X = np.random.default_rng(0).integers(0, 256, size=(40, 6, 6)).astype(np.uint8)
Y = np.array(["cat", "dog"])[np.arange(40) % 2]


class Items(torch.utils.data.Dataset):
    """Map-style, as torchvision's are."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


def same(found, x=X, y=Y):
    """Whether all of x is there, split as a file of it would be."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    rows = torch.cat([part.kept for part in (found.test, found.validation, found.train)])
    assert torch.equal(rows, torch.from_numpy(x)[order])
    if y is not None:
        names = torch.cat([part.y for part in (found.test, found.validation, found.train)])
        assert [found.class_names[label] for label in names] == list(y[order.numpy()])


def test_arrays_with_and_without_labels(tmp_path):
    same(load(X, Y))
    same(load((X, Y)))
    same(load(torch.from_numpy(X)), y=None)
    np.savez(tmp_path / "x.npz", x=X, y=Y)
    assert load(X, Y).fingerprint() == load(tmp_path / "x.npz").fingerprint()
    assert load(X, Y, test_fraction=0.5).test.x.shape == (20, 6, 6)


def test_holes_and_counts():
    x = np.where(np.eye(30) > 0, np.nan, np.arange(30.0))
    assert load(x).holes
    counts = np.random.default_rng(0).poisson(3, size=(40, 5))
    assert torch.equal(load(sparse.csr_array(counts)).train.x, load(counts).train.x)


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_a_sparse_matrix_is_taken_as_its_file_is(tmp_path, dtype):
    counts = sparse.coo_array(np.random.default_rng(0).poisson(3, size=(40, 5)).astype(dtype))
    sparse.save_npz(tmp_path / "x.npz", counts)
    found, read = load(counts), load(tmp_path / "x.npz")
    assert found.kinds == read.kinds == ("counts",)
    assert found.fingerprint() == read.fingerprint()
    assert load(counts, Y).class_names == ("cat", "dog")
    with pytest.raises(UserError, match=r"y has shape \(39,\) where x has 40 rows"):
        load(counts, Y[1:])


def test_levels_in_a_sparse_matrix_are_divided_by_what_is_said(tmp_path):
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(X.reshape(40, 36)))
    for given in (sparse.csr_array(X.reshape(40, 36)), tmp_path / "x.npz"):
        found = load(given, integer_scale=255, binarization="none")
        assert torch.equal(found.train.x, load(X.reshape(40, 36), integer_scale=255, binarization="none").train.x)
        assert "levels, divided by 255" in found.notes[0]


def test_data_sets_of_torch():
    same(load(Items(*zip(X, Y, strict=True))))
    same(load(Items(*({"image": image, "label": label} for image, label in zip(X, Y, strict=True)))))
    same(load(TensorDataset(torch.from_numpy(X))), y=None)
    numbers = load(TensorDataset(torch.from_numpy(X), torch.arange(40) % 2))
    assert numbers.classes == (0, 1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Items(), "has no items"),
        (Items(X[0], X[1][:3]), r"item 1 has shape \(3, 6\), and item 0 \(6, 6\)"),
        (Items((X[0], 1), X[1]), "all with labels or none"),
        (Items((X[0], X[1])), "2 arrays and 0 other values"),
        (Items("words"), "0 arrays and 1 other values"),
        (np.zeros(3), r"x has shape \(3,\)"),
        (np.array([["a", "b"]]), "x is <U1"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(value, words):
    with pytest.raises(UserError, match=words) as refused:
        load(value)
    assert "\n" not in str(refused.value)


def test_labels_are_for_arrays():
    with pytest.raises(UserError, match="`y` is for arrays"):
        load("digits", Y)
    with pytest.raises(UserError, match="`y` is for arrays"):
        load(TensorDataset(torch.from_numpy(X)), Y)
    with pytest.raises(UserError, match=r"y has shape \(40,\) where x has 39 rows"):
        load(X[:39], Y)


def test_hugging_faces(tmp_path):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"picture": [Image.fromarray(each) for each in X], "kind": list(Y)}
    made = datasets.Dataset.from_dict(rows, features=features)
    same(load(made))
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "saved")
    same(load(tmp_path / "saved"))
    table = datasets.Dataset.from_dict({"age": [1.5, 2.5, None] * 10, "city": ["Bern", "Oslo", "Rome"] * 10})
    found = load(table)
    assert found.columns == ("age", "city=Bern", "city=Oslo", "city=Rome")
    assert found.holes


@pytest.mark.parametrize("value", [X, TensorDataset(torch.from_numpy(X))])
def test_a_setting_that_is_not_read_is_refused(value):
    with pytest.raises(UserError, match=r"`columns`: nothing in .* reads it; it is for tables"):
        load(value, columns={"age": "real"})
