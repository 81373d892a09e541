"""Data sets and the four binarization protocols."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae import UserError
from ppl_vae.data import Dataset, binarized
from ppl_vae.data.kinds import kind_of

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


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (GREY.numpy(), None, r"x is a ndarray; make it a tensor, torch.as_tensor\(x\)"),
        ([[0.0]], None, r"x is a list; make it a tensor"),
        (GREY, [1, 2, 3, 4], r"y is a list; make it a tensor, torch.as_tensor\(y\)"),
        (torch.zeros(4), None, r"x has shape \(4,\); it must be \(N, \*event\)"),
        ((255 * GREY).byte(), None, r"x is uint8; say what it is divided by: `scale` 255 of 8-bit"),
        (GREY.long(), None, r"x is int64; say what"),
        (GREY.to(torch.complex64), None, r"x is complex64; make it float"),
        (GREY.bfloat16(), None, r"x is bfloat16; make it float"),
        (GREY.to_sparse(), None, r"x is sparse; make it dense: x.to_dense\(\)"),
        (GREY, LABELS[:3], r"y has shape \(3,\) where x has 4 rows; it must be \(4,\)"),
        (GREY, LABELS[:, None], r"y has shape \(4, 1\) where x has 4 rows"),
        (GREY, LABELS.float(), r"y is float32; it must hold integer classes 0, 1, 2, ...: y.long\(\)"),
        (GREY, LABELS > 1, r"y is bool; it must hold integer classes"),
    ],
)
def test_what_is_no_data(x: Any, y: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        Dataset(x, y)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": [[True]]}, r"mask is a list; make it a tensor, torch.as_tensor\(mask\).bool\(\)"),
        ({"mask": np.ones(GREY.shape, bool)}, r"mask is a ndarray; make it a tensor"),
        ({"mask": torch.ones(GREY.shape).byte()}, r"mask is uint8 of shape .*; make it mask.bool\(\)"),
        ({"mask": torch.ones(3).bool()}, r"must be bool and of x's, \(4, 2, 3\)"),
        ({"scale": -1}, "`scale`: must be greater than or equal to 0"),
        ({"scale": 0.5}, "`scale`: must be a valid integer"),
        ({"scale": "a"}, "`scale`: must be a valid integer"),
    ],
)
def test_a_mask_and_a_scale_that_are_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        Dataset(GREY, **arguments)
    assert "\n" not in str(refused.value)


def test_what_stands_in_for_a_hole_counts_for_nothing() -> None:
    x = torch.tensor([[5.0, 2.0, -999.0], [-999.0, 4.0, -999.0], [7.0, -999.0, -999.0]])
    data = Dataset(x, mask=x != -999)
    least, largest = data.ends()
    assert (least.tolist(), largest.tolist()) == ([5.0, 2.0, 0.0], [7.0, 4.0, 0.0])
    assert data.mean().tolist() == [6.0, 3.0, 0.0]
    assert kind_of(data.some()) == "counts"
    assert kind_of(Dataset(x).some()) == "reals"


@pytest.mark.parametrize(
    ("value", "kind"), [(1.0, "bits"), (0.5, "grey levels"), (3.0, "counts"), (2.5, "reals"), (-1.0, "reals")]
)
@pytest.mark.parametrize("size", [5, 2001, 6001])
def test_a_single_number_tells_what_all_are(size: int, value: float, kind: str) -> None:
    x = torch.zeros(size, 4, 4)
    x[3, 1, 2], x[4, 0, 0] = 1, value
    data = Dataset(x)
    assert kind_of(data.some()) == kind_of(x) == kind
    assert len(data.some()) < 4005
    assert torch.equal(torch.stack(data.ends()), torch.stack(x.aminmax(dim=0)))
    assert torch.equal(Dataset(torch.tensor([[7, 2], [3, 9]]), scale=10).ends()[1], torch.tensor([0.7, 0.9]))


def test_x_is_held_without_its_history() -> None:
    assert not Dataset(GREY.clone().requires_grad_()).kept.requires_grad


def test_bits_and_short_labels_are_taken() -> None:
    data = Dataset(GREY > 0.5, LABELS.to(torch.uint8))
    assert data.x.dtype == torch.get_default_dtype()
    assert torch.equal(data.x, (GREY > 0.5).float())
    assert (data.y.dtype, data.y.tolist()) == (torch.int64, LABELS.tolist())


@pytest.mark.parametrize("how", ["transposed", "every other", "channels last"])
def test_memory_layout_changes_nothing(how: str) -> None:
    x = torch.rand(6, 4, 5)
    strided = {
        "transposed": x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        "every other": x.repeat_interleave(2, 0)[::2],
        "channels last": x[..., None].to(memory_format=torch.channels_last)[..., 0],
    }[how]
    assert torch.equal(strided, x)
    drawn = []
    for each in (x, strided):
        torch.manual_seed(0)
        drawn.append(Dataset(each, dynamic=True).batch(torch.arange(6)).x)
    assert torch.equal(*drawn)
    assert torch.equal(Dataset(x, dynamic=True).fixed(1).x, Dataset(strided, dynamic=True).fixed(1).x)


def test_the_probe_has_the_telling_rows() -> None:
    x = torch.zeros(3000, 400)  # more than is looked at in one go
    x[2900, 7] = 0.5
    x[2950, 7] = -3
    y = torch.ones(3000, dtype=torch.long)
    y[2800], y[2700] = -1, 12
    data = Dataset(x, y, first=100)
    probe = data.probe()
    assert (probe.index - 100).tolist() == [0, 1, 2900, 2950, 2800, 2700]
    assert data.probe().index.tolist() == probe.index.tolist()
    assert (Dataset(x[:5], y[:5]).probe().index).tolist() == [0, 1]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dynamic", [False, True])
def test_what_is_not_finite_is_named_by_its_row(bad: float, dynamic: bool) -> None:
    x = 3 * GREY.clone() if not dynamic else GREY.clone()  # the first row outside [0, 1] is another one
    x[3, 1, 1] = bad
    data = Dataset(x, dynamic=dynamic)
    message = "x holds NaN or infinity, first in row 3; remove those values, or say"
    for refused in (data.probe, *([lambda: data.fixed(0)] if dynamic else [])):
        with pytest.raises(UserError, match=message):
            refused()


def test_what_is_no_probability_is_not_binarized() -> None:
    data = Dataset(2 * GREY, dynamic=True)
    message = r"x runs from 0 to 2 and leaves \[0, 1\] first in row 2; scale it into \[0, 1\] to binarize it"
    for refused in (data.probe, lambda: data.fixed(0)):
        with pytest.raises(UserError, match=message):
            refused()
    assert Dataset(2 * GREY).probe().x.max() > 1  # densities may go where they like
    rounded = Dataset(GREY.double() * (1 + 2**-52), dynamic=True)  # what MinMaxScaler rounds to
    assert rounded.x.max() > 1
    assert is_bits(rounded.fixed(0).x)
    assert is_bits(rounded.probe().x)


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


@pytest.mark.parametrize("limit", [-1, -7, 1.5])
def test_a_limit_that_is_no_number_of_rows_is_refused(limit: Any) -> None:
    data = Dataset(GREY, LABELS)
    assert [len(data.head(each)) for each in (None, 0, 3, 9)] == [4, 0, 3, 4]
    with pytest.raises(UserError, match=r"^`limit`: must be"):
        data.head(limit)


class Frame:
    """As pandas' and polars' tables: it gives its values as NumPy's."""

    def to_numpy(self) -> np.ndarray:
        return np.ones((3, 2))


@pytest.mark.parametrize("x", [Frame(), np.ones((3, 2)), [[1.0, 2.0], [3.0, 4.0]]])
def test_the_advice_for_what_is_no_tensor_makes_it_a_data_set(x: Any) -> None:
    with pytest.raises(UserError) as caught:
        Dataset(x)
    advice = re.search(r"torch\.as_tensor\(x.*?\)\.float\(\)", str(caught.value))
    assert advice
    assert Dataset(eval(advice[0], {"torch": torch, "x": x})).x.dtype == torch.float32
    assert len(str(caught.value)) < 150


def test_integers_are_kept_and_mean_the_same() -> None:
    levels = torch.arange(256).byte().reshape(4, 64)
    kept, floats = Dataset(levels, LABELS, scale=255), Dataset(levels.float() / 255, LABELS)
    assert kept.kept.nbytes * 4 == floats.kept.nbytes
    assert torch.equal(kept.x, floats.x)
    assert torch.equal(kept.batch(torch.tensor([2, 0])).x, floats.batch(torch.tensor([2, 0])).x)
    assert torch.equal(kept.mean(), floats.mean())
    bits = [data.replace(dynamic=True).fixed(3) for data in (kept, floats)]
    assert torch.equal(bits[0].x, bits[1].x)
    assert bits[0].kept.dtype == torch.bool
    assert kept.head(2).scale == 255
    assert torch.equal(Dataset(levels > 100, scale=255).x, (levels > 100).float())  # bits are bits under any scale
