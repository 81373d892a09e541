"""What is beyond chance: how often chance alone says so, and that what is there is said."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ppl_vae.estimates import Estimate
from ppl_vae.estimates.significance import (
    IMPOSSIBLE,
    LEVEL,
    ONE_ERROR,
    beyond_chance,
    each_beyond_chance,
    errors_of_chance,
    freedom_of_draws,
    more_than_chance,
    still_rising,
)
from ppl_vae.evaluation.prior_draws import LeftOut


@pytest.mark.parametrize("freedom", [1, 3, 15, 199])
@pytest.mark.parametrize("level", [LEVEL, IMPOSSIBLE, ONE_ERROR])
def test_standard_errors_are_students(freedom: int, level: float) -> None:
    assert float(errors_of_chance(freedom, level)) == pytest.approx(stats.t.isf(level, freedom), rel=1e-6)
    assert float(errors_of_chance(freedom, level, 200)) == pytest.approx(stats.t.isf(level / 200, freedom), rel=1e-6)


def test_levels_are_those_of_so_many_gaussian_errors() -> None:
    for level, errors in ((LEVEL, 3.1), (IMPOSSIBLE, 4.0), (ONE_ERROR, 1.0)):
        assert float(errors_of_chance(1e9, level)) == pytest.approx(errors, abs=0.02)


@pytest.mark.parametrize("freedom", [3, 15])
def test_chance_is_held_to_the_level_of_each_datapoint(freedom: int) -> None:
    """Two estimates of the same, one of few streams and one of 15 degrees of freedom, of unlike variances."""
    num, level, generator = 100_000, 0.01, np.random.default_rng(0)
    off, variances = np.zeros(num), []
    for spread, degrees in ((1.0, freedom), (0.3, 15)):
        off += spread * generator.standard_normal(num)
        variances.append(torch.from_numpy(spread**2 * generator.chisquare(degrees, num) / degrees))
    difference, variance = torch.from_numpy(off), torch.stack(variances).sum(0)
    found = each_beyond_chance(difference, variance, freedom, level).double().mean()
    assert 0.25 * level < found < level + 5 * (level / num) ** 0.5
    known = (difference > stats.norm.isf(level) * variance.sqrt()).double().mean()  # as if the error were known
    assert (known > 3 * level) == (freedom == 3)


def noise(num: int, streams: int, spread: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means of so many draws, and the terms whose squares add up to their variance."""
    draws = spread * torch.randn(streams, num, generator=generator, dtype=torch.float64)
    mean = draws.mean(0)
    terms = torch.zeros(16, num, dtype=torch.float64)
    terms[:streams] = (draws - mean) / (streams * (streams - 1)) ** 0.5
    return mean, terms


def test_freedoms() -> None:
    mean, terms = noise(5, 4, 1.0, torch.Generator().manual_seed(0))
    assert freedom_of_draws(Estimate(mean, terms)) == 3
    assert freedom_of_draws(Estimate(mean)) == 0


@pytest.mark.parametrize("num", [1, 2, 6])
def test_of_few_datapoints_chance_is_said_no_oftener(num: int) -> None:
    """With 3 or 4 standard errors, as of a Gaussian, a mean of two is beyond them in one of ten."""
    generator = torch.Generator().manual_seed(1)
    said = sum(
        beyond_chance(Estimate(*noise(num, 8, 1.0, generator)), looks=2)
        + beyond_chance(-Estimate(*noise(num, 8, 1.0, generator)), looks=2)
        for _ in range(2000)
    )
    assert said <= 8  # 2 are expected
    assert beyond_chance(Estimate(*noise(num, 8, 1e-5, generator)) - Estimate(torch.full((num,), -1.0))) == (num > 1)


def test_many_datapoints_are_more_than_chance() -> None:
    """A mode lost on a tenth of them, of four chains each, is told; of none of them alone it is certain."""
    assert not more_than_chance(0, 200, 0.01)
    least = next(count for count in range(200) if more_than_chance(count, 200, 0.01))
    assert stats.binom.sf(least - 1, 200, 0.01) < LEVEL <= stats.binom.sf(least - 2, 200, 0.01)
    generator = torch.Generator().manual_seed(2)
    for lost, said in ((0.0, False), (np.log(2), True)):
        mean, terms = noise(200, 4, 0.15, generator)
        mean[:20] += lost
        variance = terms.square().sum(0)
        where = each_beyond_chance(mean, variance, 3, 0.01)
        assert LeftOut(Estimate(mean), Estimate(mean), where, 0.01).telling == said
        assert not each_beyond_chance(mean, variance, 3, LEVEL / 200).any()


def test_a_rise_is_held_to_what_few_datapoints_tell() -> None:
    def bound(values: list[float], rise: float) -> Estimate:
        num = len(values)
        terms = torch.full((16, num), 0.01)
        return Estimate(torch.tensor(values), terms, Estimate(torch.full((num,), rise), terms))

    assert still_rising(bound([0.0, 2.0] * 50, 0.2))  # ± 0.1
    assert not still_rising(bound([0.0, 2.0] * 50, 0.05))
    assert not still_rising(bound([0.0, 2.0], 1.5))  # ± 1.0 of two values, which is ± 1.8 of a Gaussian's
    assert still_rising(bound([0.0, 2.0], 2.5))
    assert still_rising(bound([0.0], 1.0))
    assert not still_rising(Estimate(torch.zeros(3)))


def test_rounding_is_no_difference() -> None:
    """Under an exact posterior nothing varies, and the two estimates differ in their last digits."""
    more = torch.tensor([1e-6, 5e-5, 0.01])
    assert each_beyond_chance(more, torch.zeros(3), 15, 1e-4).tolist() == [False, False, True]
