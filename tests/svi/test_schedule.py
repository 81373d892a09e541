"""How step sizes go on."""

import itertools
import math

import pytest

from ppl_vae.svi.schedule import PLATEAU_EPOCHS, Schedule, halvings, rate_factor


def factors(schedule: Schedule, warmup_steps: int = 0, halved: int = 0) -> list[float]:
    return [rate_factor(schedule, step, warmup_steps, 100, halved) for step in range(100)]


def test_constant() -> None:
    assert set(factors("constant")) == {1.0}


def test_cosine_falls_to_zero() -> None:
    found = factors("cosine")
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.5)
    assert found == [pytest.approx(0.5 * (1 + math.cos(math.pi * step / 100))) for step in range(100)]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_a_warm_up_rises_in_equal_steps_and_the_schedule_begins_after_it(schedule: Schedule) -> None:
    found = factors(schedule, warmup_steps=20)
    assert found[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert found[20] == 1.0
    assert all(later <= earlier for earlier, later in itertools.pairwise(found[20:]))
    assert (found[-1] < 1e-3) == (schedule == "cosine")
    assert rate_factor(schedule, 7, 200, 100) == 8 / 200  # longer than the training


def test_a_plateau_halves() -> None:
    assert factors("plateau", halved=3) == [0.125] * 100


def test_plateaus_are_counted_in_epochs_without_a_better_bound() -> None:
    flat = [-5.0] * PLATEAU_EPOCHS
    assert halvings([]) == halvings(flat) == 0
    assert halvings([*flat, -5.0]) == 1  # the first of them was the best
    assert halvings([*flat, -4.0, *flat[1:]]) == 0
    assert halvings([-4.0, *flat, *flat]) == 2
    assert halvings([-4.0, *flat[1:], -3.9, *flat]) == 1
