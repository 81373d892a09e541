"""Numbers that float32 does not tell apart, and those near 0 that are no rounding of bits."""

import numpy as np
import pytest
import torch

import ppl_vae as pv
from ppl_vae import UserError
from ppl_vae.data.kinds import kind_of

X = np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (1e9 + X, "column 0 of x runs from 9999999.* to 1000000.*, and float32 has seven digits; subtract its mean"),
        (X * [1, 1, 1e-7] + [0, 0, 1], "column 2 of x runs from 0.99999.* to 1.00000.*, and float32 has seven digits"),
        (1e-30 * X, "x runs from .* too small to add up their squares in float32; write it in smaller units"),
        (1e-300 * X, "x runs from .* too small to add up their squares in float32; write it in smaller units"),
        (np.full((50, 3), 2**63, dtype=np.uint64), "x holds integers from .* too large for float32 to count"),
    ],
)
def test_numbers_that_float32_would_lose_are_refused(x: np.ndarray, what: str) -> None:
    """They were taken for counts, for bits that are all 0, or ended in an error of ours."""
    with pytest.raises(UserError, match=what):
        pv.load(x)


def test_a_constant_and_its_rounding_are_no_loss() -> None:
    noise = np.linspace(-2e-16, 2e-16, 50)
    x = np.column_stack([X, np.full(50, 0.1), 3 + noise, np.where(noise > 0, 1e-300, 0), np.full(50, 2e9)])
    assert pv.load(x).train.event_shape == (7,)
    assert pv.load((1e9 + X).astype(np.float32)).train.event_shape == (3,)  # nobody knows what they were


@pytest.mark.parametrize("scale", [1e-6, 1e-8, 1e-11])
def test_small_numbers_below_0_are_numbers(scale: float) -> None:
    """They were taken for rounding of numbers from 0 to 1, and cut to 0."""
    x = pv.load(scale * X, validation_fraction=0.0, test_fraction=0.0).train.values()
    assert kind_of(x) == "reals"
    assert sorted(x[:, 0].tolist()) == pytest.approx(sorted(scale * X[:, 0]), rel=1e-6, abs=0)


def test_rounding_of_numbers_from_0_to_1_is_still_cut() -> None:
    grey = np.clip(X, 0, 1)
    grey[0] = [-5e-7, 1 + 5e-7, 0.5]
    x = pv.load(grey).train.values()
    assert bool(((x >= 0) & (x <= 1)).all())
    assert torch.isfinite(x).all()


def test_what_an_array_masks_is_missing() -> None:
    whole = {"validation_fraction": 0.0, "test_fraction": 0.0}
    masked = pv.load(np.ma.masked_less(np.where(X < -1, -999, X), -900), **whole).train
    holes = pv.load(np.where(X < -1, np.nan, X), **whole).train
    assert masked.mask is not None
    assert torch.equal(masked.mask, holes.mask)
    assert torch.equal(masked.values(), holes.values())
    assert pv.load(np.ma.masked_less(X, -900), **whole).train.mask is None
