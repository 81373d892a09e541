"""A Parquet file larger than memory is the table that memory would hold."""

import numpy as np
import pytest
import torch

from ppl_vae import UserError, load
from ppl_vae.data.info import DataInfo
from ppl_vae.data.streaming import stored
from ppl_vae.data.streaming.streamed import Streamed
from ppl_vae.data.tables import large_tables

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

_N = 30_000
HOW = {"test_fraction": 0.005, "validation_fraction": 0.005, "label_column": "site"}


def table(rare=True, holes=True):
    rng = np.random.default_rng(0)
    gone = (rng.random((3, _N)) < 0.1) & holes
    city = rng.choice(["Bern", "Oslo", "Rome"], _N).astype(object)
    if rare:
        city[17_777] = "Ulm"  # once, and far from the beginning
    return pa.table({
        "age": pa.array(np.where(gone[0], np.nan, rng.normal(40, 9, _N)), from_pandas=True),
        "visits": pa.array(rng.poisson(3, _N), mask=gone[1]),
        "member": pa.array(rng.random(_N) < 0.3),
        "city": pa.array(city, mask=gone[2]),
        "site": pa.array(rng.choice(["north", "south"], _N)),
        **{f"r{number}": rng.normal(size=_N) for number in range(6)},
    })  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(large_tables, "_BATCH", 999)
    monkeypatch.setattr(stored, "_BLOCK", 2**13)


def test_the_same_numbers_come_of_it(tmp_path):
    path = tmp_path / "people.parquet"
    parquet.write_table(table(), path, row_group_size=4_000)
    far, near = load(path, data_memory=1, **HOW), load(path, **HOW)
    assert isinstance(far.train, Streamed)
    assert "city=Ulm" in far.columns
    rows = torch.tensor([0, 12, 20_000])
    for mine, theirs in ((far.train.batch(rows), near.train.batch(rows)), (far.test.probe(), near.test.probe())):
        assert torch.equal(mine.mask, theirs.mask)
        assert torch.equal(mine.x[mine.mask], theirs.x[theirs.mask])
        assert torch.equal(mine.y, theirs.y)
    assert torch.equal(far.test.y, near.test.y)
    mine, theirs = DataInfo.of(far), DataInfo.of(near)
    for name in ("kinds", "columns", "blocks", "class_names", "holes", "scale"):
        assert getattr(mine, name) == getattr(theirs, name), name
    block = far.train.batch(torch.arange(500)).x[:, [far.columns.index(f"city={name}") for name in ("Bern", "Oslo")]]
    assert set(block.unique().tolist()) == {0.0, 1.0}  # in holes too


def test_it_is_laid_out_once(tmp_path, monkeypatch):
    path = tmp_path / "people.parquet"
    parquet.write_table(table(), path)
    first = load(path, data_memory=1, **HOW)
    monkeypatch.setattr(large_tables, "_decoded", lambda *_: (pytest.fail("again") for _ in range(1)))
    assert load(path, data_memory=1, **HOW).fingerprint() == first.fingerprint()


def test_a_cell_that_its_column_cannot_hold_is_named(tmp_path):
    found = table().set_column(1, "visits", pa.array([3] * 29_000 + [-1] + [2] * 999))
    parquet.write_table(found, tmp_path / "people.parquet", row_group_size=4_000)
    with pytest.raises(UserError, match=r"people\.parquet: column 'visits' holds -1 in row 29001, and counts are"):
        load(tmp_path / "people.parquet", data_memory=1, columns={"visits": "count"}, **HOW)
    assert not list((tmp_path / "cache").rglob("*.*"))
