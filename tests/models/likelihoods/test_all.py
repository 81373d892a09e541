"""What every likelihood is held to: mass one, moments of its draws, gradients, holes, starts, compiled steps."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from ppl_vae.data import Dataset
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import (
    Bernoulli,
    Blocks,
    Categorical,
    Columns,
    ContinuousBernoulli,
    Likelihood,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
)
from ppl_vae.networks.dense import Decoder
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.holes import hold_to_mask
from ppl_vae.testing import likelihood_case
from tests.pairs import amortized
from tests.svi.test_traced import assert_equal

D = 4
MEAN, STD = torch.tensor([3.0, 0.4, 20.0, 1.0]).double(), torch.tensor([4.0, 0.5, 9.0, 0.0]).double()
KINDS = ("reals", "category", "counts", "category")
BITS = torch.tensor([0.0, 1.0]).double()
WHOLE = torch.arange(4001).double()
REALS = torch.linspace(-2000, 2000, 400_001, dtype=torch.float64)
_CATEGORIES = torch.tensor([[0.3, 1, 4, 0], [-2.0, 0, 0, 1], [9.0, 1, 7, 0], [1.1, 0, 30, 1]]).double()
_COUNTED = torch.tensor([[0, 1, 17, 0], [3, 0, 25, 1], [9, 0, 20, 2], [1, 2, 4, 1]]).double()
_ONE_HOT = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]]).double()


class Kind(NamedTuple):
    """A likelihood to be held to it.

    Args:
        make: it.
        x: observations that it has, ``(4, D)``.
        grid: all that a number can be, finely.
        step: between them, of a density.
    """

    make: Callable[[], Likelihood]
    x: Tensor
    grid: Tensor | None = None
    step: float | None = None


_DENSITY: dict[str, Any] = {"x": _CATEGORIES, "grid": REALS, "step": 1e-2}
_MASS: dict[str, Any] = {"x": _COUNTED, "grid": WHOLE}
LIKELIHOODS = {
    "bernoulli": Kind(Bernoulli, _ONE_HOT, BITS),
    "continuous-bernoulli": Kind(ContinuousBernoulli, _COUNTED / 30, torch.linspace(0, 1, 100_001).double(), 1e-5),
    "normal": Kind(Normal, **_DENSITY),
    "normal, a feature": Kind(partial(Normal, MEAN, STD, noise_scale="feature"), **_DENSITY),
    "normal, decoder": Kind(partial(Normal, MEAN, STD, noise_scale="decoder"), **_DENSITY),
    "student-t": Kind(partial(StudentT, MEAN, STD, degrees_of_freedom=12.0), **_DENSITY),
    "student-t, decoder": Kind(partial(StudentT, MEAN, STD, noise_scale="decoder"), **_DENSITY),
    "poisson": Kind(Poisson, **_MASS),
    "negative-binomial": Kind(partial(NegativeBinomial, MEAN, STD), **_MASS),
    "zero-inflated": Kind(partial(ZeroInflatedNegativeBinomial, MEAN, STD), **_MASS),
    "negative-binomial, sized": Kind(partial(NegativeBinomial, MEAN, STD, size_factors="total"), **_MASS),
    "zero-inflated, sized": Kind(partial(ZeroInflatedNegativeBinomial, MEAN, STD, size_factors="total"), **_MASS),
    "categorical": Kind(partial(Categorical, (25.0,)), _COUNTED, torch.arange(26).double()),
    "blocks": Kind(partial(Blocks, torch.tensor([0, 0, 1, 1])), _ONE_HOT),
    "columns": Kind(partial(Columns, MEAN, STD, ("reals", "bits", "counts", "bits")), _CATEGORIES),
}


def made(name: str) -> Likelihood:
    return LIKELIHOODS[name].make().double()


def outputs(likelihood: Likelihood) -> Tensor:
    """The start, and off it."""
    start = likelihood.start(MEAN.clamp(max=0.9) if isinstance(likelihood, ContinuousBernoulli | Bernoulli) else MEAN)
    return start + 0.3 * torch.linspace(-1, 1, start.numel()).double().reshape(start.shape)


@pytest.mark.parametrize("name", [name for name, kind in LIKELIHOODS.items() if kind.grid is not None])
def test_it_adds_up_to_one(name: str) -> None:
    likelihood, (_, _, grid, step) = made(name), LIKELIHOODS[name]
    density = likelihood(outputs(likelihood), 0).log_prob(grid.unsqueeze(-1)).exp()
    mass = torch.trapezoid(density, dx=step, dim=0) if step else density.sum(0)
    torch.testing.assert_close(mass, torch.ones(D).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_have_its_mean_and_variance_and_are_in_its_support(name: str) -> None:
    likelihood = made(name)
    q = likelihood(outputs(likelihood), 1)
    torch.manual_seed(0)
    draws = q.sample((100_000,))
    assert draws.shape == (100_000, D)
    assert draws.dtype == torch.float64
    assert q.support.check(draws).all()
    if name == "categorical":
        shares = torch.stack([(draws == code).double().mean(0) for code in range(26)], -1)
        assert ((shares - q.base_dist.probs).abs() < 5 * (q.base_dist.probs / 100_000).sqrt() + 1e-4).all()
        return
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - q.mean).abs() <= 5 * error + 1e-12).all()
    if isinstance(likelihood, ContinuousBernoulli):  # it has a mean alone
        return
    squares = (draws - q.mean) ** 2
    assert ((squares.mean(0) - q.variance).abs() <= 5 * squares.std(0) / len(draws) ** 0.5 + 1e-12).all()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_finite_at_extremes_in_float32(name: str) -> None:
    likelihood = LIKELIHOODS[name].make().float()
    start = likelihood.start(MEAN.float().clamp(max=0.9))
    x = LIKELIHOODS[name].x.float()
    for size in (-1e4, -30.0, 30.0, 1e4):
        output = (start + size * torch.tensor([1.0, -1.0]).repeat(start.numel() // 2).reshape(start.shape)).detach()
        output.requires_grad_()
        log_prob = likelihood(output, 1).log_prob(x).sum()
        gradients = torch.autograd.grad(log_prob, [output, *likelihood.parameters()], allow_unused=True)
        assert log_prob.isfinite()
        assert all(each is None or each.isfinite().all() for each in gradients)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_what_is_missing_counts_for_nothing(name: str) -> None:
    likelihood, x = made(name), LIKELIHOODS[name].x
    mask = torch.tensor([[True, True, False, False], [False, False, True, True], [True] * 4, [False] * 4])
    torch.manual_seed(0)
    model = VAE(Decoder(2, likelihood.start(MEAN).shape, (8,)), 2, likelihood).double()
    hold_to_mask(model, Batch(x, None, torch.arange(4), mask))
    output = outputs(likelihood).expand(4, *outputs(likelihood).shape)
    sized = "sized" in name  # a row's size is of what was seen of it
    found = likelihood.of(output, Batch(x, None, torch.arange(4), mask)).log_prob(x)
    if not sized:
        each = likelihood(output, 0).log_prob(x)
        torch.testing.assert_close(found, (each * mask).sum(-1))
    assert found[3] == 0


_QUICK = "negative-binomial"  # one that has it all: parameters of its own, counts, a mask


@pytest.mark.parametrize(
    "name", [name if name == _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LIKELIHOODS]
)
def test_a_compiled_step_is_the_eager_one(name: str) -> None:
    likelihood, x = made(name), LIKELIHOODS[name].x.repeat(3, 1)
    torch.manual_seed(0)
    model = VAE(Decoder(2, likelihood.start(MEAN).shape, (4,)), 2, likelihood).double()
    assert_equal((model, amortized(model, x, hidden=(4,))), Dataset(x), count=12, tolerance=1e-8)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_start_is_at_the_mean(name: str) -> None:
    likelihood = made(name)
    mean = {"bernoulli": MEAN / 30, "blocks": torch.tensor([0.2, 0.8, 0.5, 0.5]).double()}.get(name, MEAN)
    if name == "columns":
        mean = torch.tensor([3.0, 0.4, 20.0, 0.7]).double()
    if name in ("continuous-bernoulli", "categorical"):
        pytest.skip("E[x] is on the mean's side, or there is none")
    share = 0.95 if name.startswith("zero-inflated") else 1.0
    torch.testing.assert_close(likelihood(likelihood.start(mean), 1).mean, share * mean, rtol=5e-3, atol=0)


def test_the_suite_for_likelihoods_of_ones_own_takes_one_with_two_outputs() -> None:
    x = torch.randn(6, 3, 4)
    case = likelihood_case(lambda: Normal(x.mean(0), x.std(0), noise_scale="decoder"), x)
    model, _ = case.pair()
    assert model.decoder.event_shape == (3, 4, 2)
