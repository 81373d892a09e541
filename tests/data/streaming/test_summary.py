"""One pass over a file, and what it finds."""

import numpy as np
import pytest
import torch

from ppl_vae.data.streaming import stored, summary
from ppl_vae.data.streaming.stored import stored_in_npy
from ppl_vae.data.streaming.summary import summary_of
from ppl_vae.runtime.errors import UserError


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch, tmp_path):
    monkeypatch.setattr(stored, "_BLOCK", 100)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def saved(path, x):
    np.save(path / "x.npy", x)
    return stored_in_npy(path / "x.npy")


@pytest.mark.parametrize("kind", ["reals", "far from 0", "holes", "counts"])
def test_moments_are_those_of_the_training_rows(tmp_path, kind):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    if kind == "far from 0":
        x += 1e4
    if kind == "holes":
        x[rng.random(x.shape) < 0.4] = np.nan
    if kind == "counts":
        x = rng.poisson(4, size=x.shape)
    train = rng.random(300) < 0.7
    found = summary_of(saved(tmp_path, x), train, "a")
    known = x[train].astype(np.float64)
    for mine, theirs in zip(found[3:], (np.isfinite(known).sum(0), np.nanmean(known, 0), np.nanstd(known, 0),
                                        np.nanmin(known, 0), np.nanmax(known, 0)), strict=True):  # fmt: skip
        assert np.allclose(mine, theirs, rtol=1e-4)
    assert found.missing == np.isnan(x).sum()
    told = x[list(found.telling)]
    assert (np.nanmin(told), np.nanmax(told)) == (np.nanmin(x), np.nanmax(x))
    assert np.isnan(told).any() == (kind == "holes")


def test_it_is_found_once_for_a_file_and_a_split(tmp_path, monkeypatch):
    where, train = saved(tmp_path, np.eye(30, dtype=np.float32)), np.ones(30, dtype=bool)
    first = summary_of(where, train, "a")
    monkeypatch.setattr(summary, "_made", lambda *_: pytest.fail("read again"))
    again = summary_of(where, train, "a")
    assert first.digest == again.digest
    assert all(torch.equal(a, b) for a, b in zip(first[3:], again[3:], strict=True))
    with pytest.raises(pytest.fail.Exception):
        summary_of(where, train, "another split")
    with pytest.raises(pytest.fail.Exception):
        summary_of(saved(tmp_path, np.eye(31, 30, dtype=np.float32)), np.ones(31, dtype=bool), "a")


def test_a_damaged_note_is_made_again(tmp_path):
    where, train = saved(tmp_path, np.eye(30, dtype=np.float32)), np.ones(30, dtype=bool)
    first = summary_of(where, train, "a")
    (note,) = (tmp_path / "state").rglob("*.json")
    note.write_text('{"digest": 3}')
    assert summary_of(where, train, "a").digest == first.digest
    assert "mean" in note.read_text()


def test_infinity_is_refused_with_its_row(tmp_path):
    x = np.zeros((300, 5), dtype=np.float32)
    x[217, 2] = np.inf
    with pytest.raises(UserError, match=r"x\.npy: x holds infinity, first in row 217"):
        summary_of(saved(tmp_path, x), np.ones(300, dtype=bool), "a")
