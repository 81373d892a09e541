"""Random numbers that can be repeated and that leave everybody else's alone."""

import random

import numpy as np
import pytest
import torch

from ppl_vae.runtime.seeding import rng_state, seeded, set_rng_state


def test_a_seed_repeats_its_draws() -> None:
    def draw(seed: int) -> torch.Tensor:
        with seeded(seed):
            return torch.randn(5)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_draws_outside_go_on_as_if_it_had_not_been() -> None:
    torch.manual_seed(1)
    expected = torch.randn(4)
    torch.manual_seed(1)
    first = torch.randn(2)
    others = random.getstate(), np.random.get_state()[1].tolist()
    with seeded(99):
        torch.randn(1000)
    assert torch.equal(torch.cat([first, torch.randn(2)]), expected)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others


def test_put_back_after_an_error() -> None:
    before = torch.get_rng_state()

    def fail() -> None:
        with seeded(1):
            torch.randn(3)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_nested() -> None:
    with seeded(1):
        expected = torch.randn(3)
    with seeded(1):
        with seeded(2):
            torch.randn(7)
        assert torch.equal(torch.randn(3), expected)


def test_state_can_be_kept_and_put_back() -> None:
    state = rng_state("cpu")
    assert list(state) == ["cpu"]
    first = torch.randn(3)
    set_rng_state(state, "cpu")
    assert torch.equal(torch.randn(3), first)
    assert not torch.equal(torch.randn(3), first)


@pytest.mark.cuda
def test_cuda_draws_too() -> None:
    before = torch.cuda.get_rng_state()
    found = []
    for _ in range(2):
        with seeded(3, "cuda"):
            found.append((torch.randn(5, device="cuda"), torch.randn(5)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert torch.equal(torch.cuda.get_rng_state(), before)
