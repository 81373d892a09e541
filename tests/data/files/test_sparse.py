"""Sparse matrices are the dense ones that they stand for."""

import numpy as np
import pytest
import torch
from scipy import sparse

from ppl_vae import UserError, load
from ppl_vae.data.files import sparse as reader
from ppl_vae.data.info import DataInfo
from ppl_vae.data.streaming.streamed import Streamed

N, D = 300, 40
COUNTS = np.random.default_rng(0).poisson(0.4, size=(N, D)) * np.random.default_rng(1).integers(1, 100, size=(N, D))


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "coo_array"])
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_counts_are_counts_whatever_their_type(tmp_path, kind, dtype):
    sparse.save_npz(tmp_path / "x.npz", getattr(sparse, kind)(COUNTS.astype(dtype)))
    found = load(tmp_path / "x.npz", test_fraction=0, validation_fraction=0)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.train.x, torch.from_numpy(COUNTS)[order].float())
    assert found.train.kept.dtype == torch.int16
    assert found.kinds == ("counts",)
    assert DataInfo.of(found).scale == 0


def test_bits_and_reals(tmp_path):
    for x, kind in ((COUNTS > 0, ("bits",)), (np.log1p(COUNTS), ("reals",)), (-COUNTS, ("reals",))):
        sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(x))
        assert load(tmp_path / "x.npz").kinds == kind


def test_what_is_larger_than_memory_is_laid_out(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(reader, "_AT_ONCE", 2**16)
    x = np.random.default_rng(0).poisson(0.1, size=(9000, 200))
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(x))
    how = {"test_fraction": 0.005, "validation_fraction": 0.005}
    far, near = load(tmp_path / "x.npz", data_memory=1, **how), load(tmp_path / "x.npz", **how)
    assert isinstance(far.train, Streamed)
    rows = torch.tensor([3, 8000])
    assert torch.equal(far.train.batch(rows).x, near.train.batch(rows).x)
    assert torch.equal(far.test.x, near.test.x)
    assert far.kinds == near.kinds == ("counts",)
    assert torch.allclose(far.train.mean(), near.train.mean())


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (sparse.csr_array(np.array([[1.0, np.inf]])), "NaN or infinity"),
        (sparse.csr_array((0, 3)), "needs a row"),
        (sparse.csr_array(np.array([[2.0**24]])), "float32 counts to"),
        (sparse.csr_array(np.array([[1j]])), "must hold numbers"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, x, words):
    sparse.save_npz(tmp_path / "x.npz", x)
    with pytest.raises(UserError, match=rf"x\.npz: .*{words}"):
        load(tmp_path / "x.npz")
