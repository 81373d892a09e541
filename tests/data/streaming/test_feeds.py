"""Data that stays in its file is the data that memory would hold: the same rows, each once an epoch."""

import numpy as np
import pytest
import torch

from ppl_vae import UserError, load
from ppl_vae.data.info import DataInfo
from ppl_vae.data.streaming import stored
from ppl_vae.data.streaming.feeds import Windows, feed_of
from ppl_vae.data.streaming.streamed import Streamed

_N = 11_000


def _kinds():
    rng = np.random.default_rng(2)
    reals = rng.normal(3, 2, size=(_N, 30)).astype(np.float32)
    holes = np.where(rng.random(reals.shape) < 0.3, np.nan, reals)
    levels = (rng.random((_N, 1, 12, 12)) ** 4 * 255).astype(np.uint8)
    return {"reals": reals, "holes": holes, "channels first": levels, "counts": rng.poisson(3, size=(_N, 30))}


KINDS = _kinds()


@pytest.fixture(params=KINDS)
def both(request, tmp_path, monkeypatch):
    """The same file, streamed and held."""
    monkeypatch.setattr(stored, "_BLOCK", 2**13)
    y = np.arange(_N) % 3
    np.savez(tmp_path / "x.npz", x=KINDS[request.param], y=np.array(["a", "b", "c"])[y])
    how = {"test_fraction": 0.005, "validation_fraction": 0.005}
    return load(tmp_path / "x.npz", data_memory=1, **how), load(tmp_path / "x.npz", **how)


def same(mine, theirs):
    """Whether two batches are one, apart from what stands in a hole."""
    seen = torch.ones_like(mine.x, dtype=torch.bool) if mine.mask is None else mine.mask
    assert torch.equal(mine.x * seen, theirs.x * seen)
    assert torch.equal(mine.y, theirs.y)
    assert torch.equal(mine.index, theirs.index)
    assert mine.mask is None or torch.equal(mine.mask, theirs.mask)


def test_the_parts_are_those_of_data_that_is_held(both):
    far, near = both
    assert isinstance(far.train, Streamed)
    assert len(far.train) == len(near.train)
    for name in ("validation", "test"):
        parts = (getattr(each, name).replace(dynamic=False) for each in both)
        same(*(part.batch(torch.arange(len(part))) for part in parts))
    rows = torch.tensor([7, 3, 10_000])
    same(far.train.replace(dynamic=False).batch(rows), near.train.replace(dynamic=False).batch(rows))
    assert torch.allclose(far.train.mean(), near.train.mean(), atol=1e-5)
    assert torch.allclose(far.train.spread(), near.train.spread(), atol=1e-5)
    mine, theirs = DataInfo.of(far), DataInfo.of(near)
    assert mine.fingerprint != theirs.fingerprint  # the one is of the file, the other of the rows
    for name in ("event_shape", "num_data", "kinds", "scale", "class_names", "holes", "photographs"):
        assert getattr(mine, name) == getattr(theirs, name), name


def test_data_of_other_labels_is_other_data(both):
    far, _ = both
    other = far._replace(train=far.train.replace(y=far.train.y.roll(1)))
    assert other.fingerprint() != far.fingerprint()


def test_an_epoch_visits_each_row_once_and_can_be_begun_anywhere(both):
    far, near = both
    train = far.train.replace(dynamic=False)
    feed = feed_of(train, 64)
    assert isinstance(feed, Windows)
    assert feed.size < 0.5 * len(train)
    order, visited = feed.order(), []
    for index in feed.batches(order, 64, 0, 5):
        batch = feed.data.batch(index)
        same(batch, near.train.replace(dynamic=False).batch(batch.index))
        visited.append(batch.index.clone())
    assert [len(each) for each in visited[:-1]] == [64] * (len(visited) - 1)
    rows = torch.cat(visited)
    assert torch.equal(rows.sort().values, torch.arange(len(train)))
    assert (rows[:64].diff() != 1).all()  # shuffled
    for done in (1, feed.size // 64, len(visited) - 1):
        rest = [feed.data.batch(index).index.clone() for index in feed.batches(order, 64, done, 5)]
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(rest, visited[done:], strict=True))


def test_what_would_have_to_be_held_is_refused(tmp_path):
    x = np.random.default_rng(0).random((5000, 100), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    for protocol in ("static", "threshold"):
        with pytest.raises(UserError, match="`data_memory`"):
            load(tmp_path / "x.npy", data_memory=1, binarization=protocol)
    train = load(tmp_path / "x.npy", data_memory=1, binarization="none").train
    with pytest.raises(UserError, match="more than memory is to hold"):
        train.values()
    assert len(train.head(10)) == 10
    with pytest.raises(UserError, match="`limit`: must be greater than or equal to 0"):
        train.head(-1)
    np.savez(tmp_path / "x.npz", x=x, mask=x > 0.5)
    with pytest.raises(UserError, match="a mask would have to be held"):
        load(tmp_path / "x.npz", data_memory=1)
