"""Rows read from where they stand in their file."""

import numpy as np
import pytest

from ppl_vae.data.streaming import stored
from ppl_vae.data.streaming.stored import stored_in_npy, stored_in_npz
from ppl_vae.runtime.errors import UserError

X = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)


@pytest.fixture(params=["npy", "npz"])
def found(request, tmp_path, monkeypatch):
    """X in a file, read in blocks of 8 rows."""
    monkeypatch.setattr(stored, "_BLOCK", 8 * 48)
    path = tmp_path / f"x.{request.param}"
    if request.param == "npy":
        np.save(path, X)
        return stored_in_npy(path)
    np.savez(path, y=np.arange(50), x=X)
    return stored_in_npz(path, "x")


def test_blocks_are_the_rows(found):
    assert (found.block, found.num_blocks, found.num_bytes) == (8, 7, X.nbytes)
    assert np.array_equal(np.concatenate(list(found.blocks())), X)
    assert np.array_equal(found.read(6), X[48:])


@pytest.mark.parametrize("few", [0, 1000])  # by reading the file through, and by looking each row up
def test_rows_are_taken_in_any_order(found, monkeypatch, few):
    monkeypatch.setattr(stored, "_FEW", few)
    rows = np.array([49, 3, 3, 0, 17, 16])
    assert np.array_equal(found.take(rows), X[rows])


def test_what_does_not_stand_in_rows_is_not_taken(tmp_path):
    for name, x in {"columns": np.asfortranarray(X[:, 0]), "bytes": X.astype(">f4"), "vector": X[:, 0, 0]}.items():
        np.save(tmp_path / f"{name}.npy", x)
        assert stored_in_npy(tmp_path / f"{name}.npy") is None
    np.savez_compressed(tmp_path / "x.npz", x=X)
    assert stored_in_npz(tmp_path / "x.npz", "x") is None


def test_a_file_that_is_cut_is_refused(found, tmp_path):
    path = tmp_path / "cut.npy"
    np.save(path, X)
    whole = stored_in_npy(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="shorter"):
        whole.read(6)
    with pytest.raises(UserError, match="not a readable"):
        stored_in_npy(path)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[{}]], dtype=object))
    with pytest.raises(UserError, match="pickled"):
        stored_in_npy(tmp_path / "x.npy")
