"""What a report looks at follows from what was trained how long, not from the clock."""

from itertools import pairwise

import pytest
import torch

from ppl_vae import build_guide, build_model
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, FullRank
from ppl_vae.models import VAE
from ppl_vae.reports import effort
from ppl_vae.reports.effort import FULL, LEAST, Effort, affordable, cost_of
from tests.pairs import optimal, oracle, simulate


def pair(hidden: int, size: int = 6, family: type = Diagonal, **settings: object):
    data = Dataset((torch.rand(64, size, size, generator=torch.Generator().manual_seed(0)) > 0.5).float())
    torch.manual_seed(0)
    model = build_model(VAE, data, hidden=(hidden,), latent_dim=3, **settings)
    return model, build_guide(Amortized, model, data, family=family, hidden=(hidden,)), data


def amounts(found: Effort) -> list[float]:
    return [float("inf") if each is None else each for each in found]


def test_a_small_pair_that_was_trained_long_gets_all() -> None:
    assert affordable(*pair(8), trained_draws=10**8) == FULL


def test_a_large_one_that_was_hardly_trained_gets_less_and_the_least_is_the_end_of_what_there_is() -> None:
    model, guide, data = pair(2048, size=28)
    assert amounts(affordable(model, guide, data, 0)) < amounts(FULL)
    assert LEAST.datapoints <= affordable(model, guide, data, 0).datapoints < FULL.datapoints
    assert (LEAST.datapoints, LEAST.bound_draws, LEAST.draws) == effort._OF_BOUND[-1]
    assert (LEAST.elbo_datapoints, LEAST.elbo_draws) == effort._OF_ELBO[-1]
    assert LEAST.codes == effort._OF_CODES[-1]
    assert (LEAST.checked, LEAST.replicates) == effort._OF_CHECKS[-1]


@pytest.mark.parametrize("family", [Diagonal, FullRank])
def test_longer_training_never_means_a_look_at_less(family: type) -> None:
    model, guide, data = pair(512, size=16, family=family)
    found = [amounts(affordable(model, guide, data, 10**power)) for power in range(3, 9)]
    assert found[0] != found[-1]
    for less, more in pairwise(found):
        assert all(one <= other for one, other in zip(less, more, strict=True))


def test_it_is_the_same_every_time_and_leaves_the_generator_alone() -> None:
    """Also of a pair that is nobody's class."""
    model = oracle(size=3, latent_dim=2)
    guide, data = optimal(model, Diagonal), Dataset(simulate(model, 8))
    before = torch.get_rng_state()
    assert affordable(model, guide, data, 1000) == affordable(model, guide, data, 1000)
    assert torch.equal(torch.get_rng_state(), before)


def test_cost_counts_what_the_layers_multiply() -> None:
    """A hidden layer of twice the width costs between one and two times as much; a draw passes the decoder alone."""
    narrow, wide = (cost_of(*pair(width, size=28)) for width in (512, 1024))
    assert 1.0 < wide.draw / narrow.draw < 2.0
    assert 1.0 < wide.datapoint / narrow.datapoint < 2.0
    assert cost_of(*pair(64)).of(10, 5) == pytest.approx(10 * cost_of(*pair(64)).of(1, 5))


def test_of_a_large_table_fewer_rows_and_draws_are_checked_until_training_has_been_long() -> None:
    data = Dataset(torch.randn(3000, 100, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    model = build_model(VAE, data, hidden=(8,), latent_dim=3, likelihood="normal")
    guide = build_guide(Amortized, model, data, hidden=(8,))
    short, long = (affordable(model, guide, data, trained) for trained in (0, 10**9))
    assert (short.checked, short.replicates) < (long.checked, long.replicates) == (FULL.checked, FULL.replicates)
