"""Data sets and the four binarization protocols."""

import pytest
import torch

from ppl_vae.data import Dataset, binarized

GREY = torch.linspace(0.0, 1.0, 24).reshape(4, 2, 3)
LABELS = torch.tensor([3, 1, 2, 0])


def test_rows_in_the_order_that_is_asked_for() -> None:
    data = Dataset(GREY, LABELS)
    index = torch.tensor([2, 0, 2])
    batch = data.batch(index)
    assert torch.equal(batch.x, GREY[[2, 0, 2]])
    assert torch.equal(batch.y, LABELS[[2, 0, 2]])
    assert torch.equal(batch.index, index)
    assert Dataset(GREY).batch(index).y is None
    assert (len(data), data.event_shape) == (4, (2, 3))


def test_batches_cover_the_split_in_order() -> None:
    batches = list(Dataset(GREY, LABELS).batches(3))
    assert [len(batch.x) for batch in batches] == [3, 1]
    assert torch.equal(torch.cat([batch.index for batch in batches]), torch.arange(4))
    assert torch.equal(torch.cat([batch.x for batch in batches]), GREY)


def test_rows_know_their_number_in_the_whole_data_set() -> None:
    data = Dataset(GREY, first=100)
    assert data.batch(torch.tensor([2, 0])).index.tolist() == [102, 100]
    assert torch.equal(data.batch(torch.tensor([2, 0])).x, GREY[[2, 0]])
    assert torch.cat([batch.index for batch in data.head(3).batches(2)]).tolist() == [100, 101, 102]


def test_fixed_is_binarized_once() -> None:
    data = Dataset(GREY, LABELS, dynamic=True, first=7)
    before = torch.get_rng_state()
    fixed = data.fixed(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert is_bits(fixed.x)
    assert not fixed.dynamic
    assert fixed.first == 7
    assert torch.equal(data.fixed(3).x, fixed.x)
    assert fixed.fixed(4) is fixed
    wide = Dataset(GREY.repeat(50, 1, 1), dynamic=True)
    assert not torch.equal(wide.fixed(3).x, wide.fixed(4).x)


@pytest.mark.parametrize(("limit", "rows"), [(None, 4), (2, 2), (4, 4), (100, 4)])
def test_head(limit: int | None, rows: int) -> None:
    for y in (None, LABELS):
        head = Dataset(GREY, y, dynamic=True).head(limit)
        assert torch.equal(head.x, GREY[:rows])
        assert (head.y is None) if y is None else torch.equal(head.y, LABELS[:rows])
        assert head.dynamic


def test_to_keeps_everything() -> None:
    data = Dataset(GREY, LABELS, dynamic=True).to(torch.device("cpu"))
    assert torch.equal(data.x, GREY)
    assert torch.equal(data.y, LABELS)
    assert data.dynamic


def is_bits(x: torch.Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def test_dynamic_is_drawn_at_every_visit_with_the_grey_level_as_probability() -> None:
    data = binarized(GREY, LABELS, "dynamic", seed=0)
    index = torch.arange(4).repeat(5000)
    x = data.batch(index).x.reshape(5000, 4, 2, 3)
    assert is_bits(x)
    assert not torch.equal(data.batch(index[:4]).x, data.batch(index[:4]).x)
    error = (GREY * (1 - GREY) / 5000).sqrt()
    assert ((x.mean(0) - GREY).abs() <= 5 * error).all()
    assert torch.equal(data.x, GREY)


def test_dynamic_follows_torchs_generator() -> None:
    data = binarized(GREY, None, "dynamic", seed=0)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(data.batch(torch.arange(4)).x)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_static_is_drawn_once_from_its_seed() -> None:
    grey = GREY.repeat(1000, 1, 1)
    before = torch.get_rng_state()
    data = binarized(grey, None, "static", seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert is_bits(data.x)
    index = torch.arange(4)
    assert torch.equal(data.batch(index).x, data.batch(index).x)
    torch.manual_seed(123)
    assert torch.equal(binarized(grey, None, "static", seed=4).x, data.x)
    assert not torch.equal(binarized(grey, None, "static", seed=5).x, data.x)
    error = (GREY * (1 - GREY) / 1000).sqrt()
    assert ((data.x.reshape(1000, 4, 2, 3).mean(0) - GREY).abs() <= 5 * error).all()


def test_threshold_cuts_at_one_half() -> None:
    x = torch.tensor([[0.0, 0.49, 0.5, 0.51, 1.0]])
    assert torch.equal(binarized(x, None, "threshold", seed=0).x, torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0]]))


def test_none_takes_them_as_they_are() -> None:
    data = binarized(GREY, LABELS, "none", seed=0)
    assert torch.equal(data.batch(torch.arange(4)).x, GREY)


@pytest.mark.parametrize("binarization", ["dynamic", "static", "threshold", "none"])
def test_precision_and_labels_stay(binarization: str) -> None:
    data = binarized(GREY.double(), LABELS, binarization, seed=0)
    assert data.batch(torch.arange(4)).x.dtype == torch.float64
    assert torch.equal(data.y, LABELS)
