"""The error of an estimate on its own datapoints: known formulas, and the spread over many seeds."""

import math
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from ppl_vae.data import Dataset
from ppl_vae.estimates import Estimate
from ppl_vae.estimates.streams import NUM_STREAMS, Streams, dealt, log_mean_over_draws, mean_over_draws
from ppl_vae.evaluation import AnnealingConfig, annealed_importance_bound, elbo, importance_bound
from ppl_vae.guides import Diagonal, Family, SemiAmortized
from ppl_vae.models import LinearGaussian
from tests.pairs import PriorGuide, optimal, oracle, simulate

SEEDS = 30
ROUNDING = {"rtol": 0.0, "atol": 1e-6}


def variances(estimate: Estimate) -> Tensor:
    return estimate.noise.double().square().sum(0)


# --- Formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [2, 5, NUM_STREAMS])
def test_of_a_mean_it_is_the_usual_one(num_samples: int) -> None:
    draws = torch.randn(num_samples, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = mean_over_draws(dealt(draws, log=False), num_samples)
    torch.testing.assert_close(found.values, draws.mean(0))
    torch.testing.assert_close(variances(found), draws.var(0) / num_samples, **ROUNDING)
    assert found.monte_carlo_stderr == pytest.approx(float((draws.var(0) / num_samples).sum().sqrt() / 7), rel=1e-6)
    assert found.rise is None


@pytest.mark.parametrize("num_samples", [5, NUM_STREAMS])
def test_of_a_log_mean_it_is_the_jackknifes(num_samples: int) -> None:
    """(K − 1) / K Σₖ (θ₍ₖ₎ − mean of them)², each draw left out in turn."""
    log_w = np.random.default_rng(0).normal(scale=2.0, size=(num_samples, 7))
    left_out = [np.log(np.exp(np.delete(log_w, k, 0)).mean(0)) for k in range(num_samples)]
    found = log_mean_over_draws(dealt(torch.from_numpy(log_w), log=True), num_samples)
    np.testing.assert_allclose(found.values, np.log(np.exp(log_w).mean(0)))
    expected = (num_samples - 1) * np.var(left_out, axis=0)
    np.testing.assert_allclose(variances(found), expected, rtol=1e-5)


@pytest.mark.parametrize("num_samples", [2, 3, 37, 500])
def test_rise_is_that_from_its_halves(num_samples: int) -> None:
    log_w = np.random.default_rng(0).normal(scale=2.0, size=(num_samples, 7))
    halves = [np.log(np.exp(log_w[parity::2]).mean(0)) for parity in (0, 1)]
    rise = log_mean_over_draws(dealt(torch.from_numpy(log_w), log=True), num_samples).rise
    np.testing.assert_allclose(rise.values, np.log(np.exp(log_w).mean(0)) - (halves[0] + halves[1]) / 2)
    assert math.isnan(rise.monte_carlo_stderr) == (num_samples < 4)  # half of two draws less one is none
    if num_samples % 2 == 0:
        assert (rise.values >= 0).all()


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_error_of_a_rise_is_the_spread_over_draws(spread: float) -> None:
    """The halves' difference has no first order, so that the jackknife's variance is up to twice as large."""
    torch.manual_seed(0)
    found = [log_mean_over_draws(dealt(spread * torch.randn(64, 200), log=True), 64).rise for _ in range(60)]
    means, errors = torch.tensor([(rise.mean, rise.monte_carlo_stderr) for rise in found if rise]).T
    assert 0.9 < errors.mean() / means.std() < 2.2  # of 60 the standard deviation is known to a tenth
    assert abs(means - means.mean()).max() < 4 * errors.mean()


def test_chunks_deal_the_same_draws_to_the_same_streams() -> None:
    draws = torch.randn(41, 2, 7, dtype=torch.float64)
    for log in (True, False):
        streams = Streams(log=log)
        for chunk in draws.split([16, 1, 3, 20, 1]):
            streams.add(dealt(chunk, log=log), len(chunk))
        torch.testing.assert_close(streams.sums, dealt(draws, log=log))


def test_a_single_draw_does_not_tell() -> None:
    draws = torch.randn(1, 7)
    for found in (mean_over_draws(dealt(draws, log=False), 1), log_mean_over_draws(dealt(draws, log=True), 1)):
        torch.testing.assert_close(found.values, draws[0])
        assert math.isnan(found.monte_carlo_stderr)
        assert found.to_dict()["monte_carlo_stderr"] is None
        assert found.rise is None


def test_no_weight_at_all_has_no_error() -> None:
    found = log_mean_over_draws(torch.full((NUM_STREAMS, 3), -math.inf), 100)
    assert found.mean == -math.inf
    assert set(found.to_dict().values()) == {None}


# --- Differences ------------------------------------------------------------------------------------------------------


def test_what_two_estimates_share_is_no_part_of_their_difference() -> None:
    draws = torch.randn(10, 500, dtype=torch.float64)
    one = mean_over_draws(dealt(draws, log=False), 10)
    shifted = mean_over_draws(dealt(draws + 3.0, log=False), 10)
    other = mean_over_draws(dealt(torch.randn(10, 500, dtype=torch.float64), log=False), 10)
    assert (shifted - one).monte_carlo_stderr < 1e-6
    both = math.hypot(one.monte_carlo_stderr, other.monte_carlo_stderr)
    # 500 sums of 9 products of independent terms: √(2 / 4500) of the variance, half of that of its root.
    assert (one - other).monte_carlo_stderr == pytest.approx(both, rel=5 * 0.5 * (2 / 4500) ** 0.5 * 2)
    assert math.isnan((one - Estimate(torch.zeros(500))).monte_carlo_stderr)
    assert (-one).monte_carlo_stderr == one.monte_carlo_stderr


# --- The spread over seeds --------------------------------------------------------------------------------------------

Once = Callable[[int], Estimate]


def by_elbo(model: LinearGaussian, guide: nn.Module, data: Dataset) -> Once:
    return lambda seed: elbo(model, guide, data, 10, seed).elbo


def by_importance(num_samples: int) -> Callable[[LinearGaussian, nn.Module, Dataset], Once]:
    return lambda model, guide, data: lambda seed: importance_bound(model, guide, data, num_samples, seed)


def by_annealing(model: LinearGaussian, guide: nn.Module, data: Dataset) -> Once:
    settings = AnnealingConfig(temperatures=3, leapfrog=1, engine="eager")
    return lambda seed: annealed_importance_bound(model, None, data, 16, settings, seed=seed).log_px


def refined(model: LinearGaussian, family: type[Family]) -> SemiAmortized:
    """It draws in its refinement, as long steps as tell."""
    return SemiAmortized(optimal(model, family), model, refinement_steps=2, refinement_rate=0.2)


CASES = {
    "elbo": (by_elbo, optimal, {}),
    "importance": (by_importance(64), optimal, {}),
    "importance, fewer draws than streams": (by_importance(7), optimal, {}),
    "importance, a bad proposal": (by_importance(200), lambda *_: PriorGuide(3, 1.0), {}),
    "elbo, q found by draws": (by_elbo, refined, {}),
    "importance, q found by draws": (by_importance(64), refined, {}),
    "annealing": (by_annealing, optimal, {"latent_dim": 2, "scale": 3.0}),
}


SLOW = ("elbo, q found by draws", "importance, q found by draws")


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] * (c in SLOW)) for c in CASES])
def test_error_is_the_spread_over_seeds(case: str) -> None:
    """Within 20 % of the spread over 30 seeds, as far as 30 seeds tell it.

    That of 30 means is known to 13 %. Draws of different datapoints are independent, so their own spreads tell far
    more: the 100 ratios of the variance over seeds to the reported one, each χ² of 29 degrees of freedom over 29.
    """
    make, guide, settings = CASES[case]
    model = oracle(**settings)
    once = make(model, guide(model, Diagonal), Dataset(simulate(model, 100)))
    found = [once(seed) for seed in range(SEEDS)]
    reported = torch.stack([variances(each) for each in found]).mean(0)  # (N,)
    values = torch.stack([each.values for each in found]).double()  # (seeds, N)
    ratios = values.var(0) / reported
    error = float(ratios.std()) / 100**0.5
    assert error < 0.05
    assert 1 / (float(ratios.mean()) + 5 * error) > 0.8**2
    assert 1 / (float(ratios.mean()) - 5 * error) < 1.2**2
    means = float(values.mean(1).std()) / (float(reported.sum()) ** 0.5 / 100)
    low, high = (stats.chi2.ppf(tail, SEEDS - 1) / (SEEDS - 1) for tail in (5e-6, 1 - 5e-6))
    assert low**0.5 / 1.2 < means < high**0.5 / 0.8
    assert found[0].monte_carlo_stderr == pytest.approx(float(variances(found[0]).sum().sqrt()) / 100)


def test_error_over_datapoints_holds_that_of_the_draws() -> None:
    """With draws of their own the means of other datapoints spread as far as the error over datapoints says."""
    model = oracle()
    guide = optimal(model, Diagonal)
    found = [elbo(model, guide, Dataset(simulate(model, 200, seed)), 10, seed).elbo for seed in range(100, 130)]
    spread = torch.tensor([each.mean for each in found]).std()
    error = float(np.mean([each.stderr for each in found]))
    low, high = (stats.chi2.ppf(tail, SEEDS - 1) / (SEEDS - 1) for tail in (5e-6, 1 - 5e-6))
    assert 0.95 * low**0.5 < spread / error < 1.05 * high**0.5
    assert found[0].monte_carlo_stderr < 0.5 * found[0].stderr


def test_streams_cost_no_memory_for_more_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk smaller than the streams: the draws still go to all of them."""
    monkeypatch.setattr(import_module("ppl_vae.programs.log_weights"), "_CALL_DRAWS", 3 * 5)
    model = oracle()
    found = importance_bound(model, PriorGuide(3, 1.0), Dataset(simulate(model, 5)), 100)
    assert (found.noise.abs() > 0).all()


def test_chains_that_start_from_one_drawn_q_do_not_tell_their_error() -> None:
    model = oracle()
    settings = AnnealingConfig(temperatures=2, leapfrog=1, start="guide", engine="eager")
    data = Dataset(simulate(model, 5))
    for guide, known in ((refined(model, Diagonal), False), (optimal(model, Diagonal), True)):
        found = annealed_importance_bound(model, guide, data, 4, settings).log_px
        assert math.isfinite(found.monte_carlo_stderr) == known
