"""Every estimator and diagnostic against models of other shapes than the Gaussian one, within 5 standard errors."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.special import betaln, digamma
from torch import Tensor

from ppl_vae.data import Dataset
from ppl_vae.diagnostics import calibrate, diagnose
from ppl_vae.diagnostics.aggregate import aggregate
from ppl_vae.evaluation import (
    AnnealingConfig,
    annealed_importance_bound,
    bidirectional_bounds,
    elbo,
    importance_bound,
    simulate,
)
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.inference.fitting import InferConfig, infer
from ppl_vae.networks.dense import positive
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.seeding import seeded
from tests.conjugate import EXACT, INEXACT, Oracle, all_bits, beta_bernoulli, three_supports, two_latents

ANNEALING = AnnealingConfig(temperatures=20, leapfrog=3, engine="eager")


def drawn(oracle: Oracle, num: int) -> tuple[Dataset, dict[str, Tensor], Tensor]:
    """Data from the model, the latents that it was made from, and log p(x)."""
    data, truth = simulate(oracle.model, oracle.event_shape, num, seed=5)
    return data, truth, torch.as_tensor(oracle.log_px(data.x.double().numpy()))


def near(found: Tensor, expected: float) -> None:
    """The mean is within 5 standard errors of what it should be."""
    assert abs(float(found.mean()) - expected) < 5 * float(found.std()) / len(found) ** 0.5 + 1e-9


def test_the_truth_by_more_and_by_fewer_nodes() -> None:
    x = all_bits(4)
    assert np.abs(two_latents(60).log_px(x) - two_latents(40).log_px(x)).max() < 1e-6
    assert logsumexp_is_zero(two_latents().log_px(x))
    assert logsumexp_is_zero(beta_bernoulli().log_px(all_bits(6)))
    data, _ = simulate(three_supports().model, (3,), 6, seed=5)
    x = data.x.double().numpy()
    assert np.abs(three_supports(16).log_px(x) - three_supports(12).log_px(x)).max() < 1e-4


def logsumexp_is_zero(log_px: np.ndarray) -> bool:
    """Whether the probabilities of all x add up to one."""
    return bool(abs(np.exp(log_px).sum() - 1) < 1e-8)


@pytest.mark.parametrize("exact", EXACT)
def test_an_exact_posterior(exact: str) -> None:
    """One draw gives log p(x) to rounding, whatever the number of draws; nothing is wrong with it."""
    oracle = EXACT[exact]()
    data, _, log_px = drawn(oracle, 200)
    found = elbo(oracle.model, oracle.guide, data).elbo
    for estimate in (found, *(importance_bound(oracle.model, oracle.guide, data, k, engine="eager") for k in (1, 7))):
        torch.testing.assert_close(estimate.values.double(), log_px)
    report = diagnose(oracle.model, oracle.guide, data.head(40), 100)
    assert report.weights is not None
    assert bool((report.weights.khat == -math.inf).all())
    torch.testing.assert_close(report.weights.ess.values.double(), torch.full((40,), 100.0, dtype=torch.float64))


SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("flat", "beta-bernoulli", "two latents", "three supports")
]


@pytest.mark.parametrize("name", ["gamma-poisson", *SLOW])
def test_annealing_from_both_sides(name: str) -> None:
    """Of means of weights, which are without bias: E[w] / p(x) = 1 upwards, and E[1 / w] p(x) = 1 downwards."""
    oracle = {**EXACT, **INEXACT}[name]()
    data, truth, log_px = drawn(oracle, 40)
    found = bidirectional_bounds(oracle.model, None, data, truth, 4, ANNEALING)
    near((found.lower.log_px.values.double() - log_px).exp(), 1.0)
    near((log_px - found.upper.log_px.values.double()).exp(), 1.0)
    at_guide = AnnealingConfig(temperatures=10, leapfrog=3, engine="eager", start="guide")
    from_guide = annealed_importance_bound(oracle.model, oracle.guide, data, 2, at_guide).log_px
    near((from_guide.values.double() - log_px).exp(), 1.0)


@pytest.mark.parametrize("name", INEXACT)
def test_importance_weights_are_without_bias(name: str) -> None:
    oracle = INEXACT[name]()
    data, _, log_px = drawn(oracle, 60)
    bounds = [importance_bound(oracle.model, oracle.guide, data, k, engine="eager") for k in (1, 20, 400)]
    for bound in bounds:
        near((bound.values.double() - log_px).exp(), 1.0)
    assert bounds[0].mean < bounds[1].mean < bounds[2].mean
    assert bounds[2].mean < float(log_px.mean()) + 5 * bounds[2].monte_carlo_stderr
    assert not calibrate(oracle.model, oracle.guide, oracle.event_shape, 300, 15).passed  # the prior


def test_mutual_information() -> None:
    """Of x and p in the Beta-Bernoulli model: E KL(p(p | x) ‖ p(p)) over all x, which the two ends bracket."""
    a, b, size = 1.5, 3.0, 6
    oracle = beta_bernoulli(a, b, size)
    x = all_bits(size)
    up, down = a + x.sum(1), b + size - x.sum(1)
    kl = betaln(a, b) - betaln(up, down) + (up - a) * digamma(up) + (down - b) * digamma(down)
    kl -= (up - a + down - b) * digamma(up + down)
    information = float(np.exp(oracle.log_px(x)) @ kl)
    data, _, _ = drawn(oracle, 200)
    with seeded(0):
        found = aggregate(oracle.model, oracle.guide, data)
    assert found.mutual_information.mean < information + 5 * found.mutual_information.stderr
    assert found.mutual_information_upper.mean > information - 5 * found.mutual_information_upper.stderr
    assert found.mutual_information_upper.mean - found.mutual_information.mean < 0.1
    assert found.kl_to_prior is not None
    assert abs(found.kl_to_prior.mean) < 5 * found.kl_to_prior.stderr + 0.1
    near(elbo(oracle.model, oracle.guide, data, 20).kl.values, information)


def elbo_by_quadrature(lit: float, loc: float, scale: float) -> float:
    """Of q = sigmoid of N(loc, scale²) on the Beta-Bernoulli model, for one x with so many lit bits of six."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    v = loc + scale * points
    log_p, log_not = -np.logaddexp(0, -v), -np.logaddexp(0, v)
    joint = (1.5 + lit) * log_p + (3.0 + 6 - lit) * log_not - (math.lgamma(1.5) + math.lgamma(3.0) - math.lgamma(4.5))
    log_q = stats.norm.logpdf(v, loc, scale)
    return float((weights / weights.sum() * (joint - log_q)).sum())


@pytest.mark.slow
def test_a_gaussian_q_of_a_beta_and_its_optimum() -> None:
    """The ELBO of a given q, and of the best one, which local inference finds, by Gauss and Hermite's rule."""
    oracle = beta_bernoulli()
    x = torch.tensor([[1.0] * lit + [0.0] * (6 - lit) for lit in range(7)], dtype=torch.float64)
    data = Dataset(x)
    latents, family = Latents.of(oracle.model, data.probe()), Diagonal(1).double()
    params = torch.tensor([[0.3, -0.4]], dtype=torch.float64).expand(7, -1)
    scale = float(positive(params[:1, 1]))

    def program(rows: Tensor) -> PerDatapoint:
        guide = PerDatapoint(latents, family, 7).double()
        guide.table.weight.data = rows
        return guide

    given = elbo(oracle.model, program(params), data, 4000).elbo
    expected = np.array([elbo_by_quadrature(lit, 0.3, scale) for lit in range(7)])
    assert abs(given.mean - expected.mean()) < 5 * given.monte_carlo_stderr
    best = np.array(
        [
            -optimize.minimize(
                lambda at, lit=lit: -elbo_by_quadrature(lit, at[0], math.exp(at[1])), [0.0, 0.0], tol=1e-10
            ).fun
            for lit in range(7)
        ]
    )
    fitted = infer(oracle.model, family, data, latents, settings=InferConfig(infer_particles=20))
    reached = elbo(oracle.model, program(fitted.params), data, 4000).elbo
    assert bool(fitted.converged.all())
    # No q is better than the best one, and the fit's own noise costs it less than a hundredth of a nat.
    assert -0.01 - 5 * reached.monte_carlo_stderr < reached.mean - best.mean() < 5 * reached.monte_carlo_stderr
    gap = torch.as_tensor(oracle.log_px(x.numpy())).mean() - best.mean()
    assert gap > 1e-3  # a Gaussian is no Beta
