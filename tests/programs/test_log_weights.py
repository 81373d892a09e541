"""Log importance weights: log p(x, z) − log q(z | x), nothing added, nothing scaled."""

import math
from math import inf, nan

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from ppl_vae import Batch
from ppl_vae.guides import FullRank
from ppl_vae.programs.log_weights import log_sum_exp, log_weights
from tests.pairs import (
    ExactGuide,
    PriorGuide,
    TwoLatents,
    all_of,
    amortized,
    bits,
    optimal,
    oracle,
    simulate,
    vae_pair,
)


@pytest.mark.parametrize("num_samples", [1, 7])
def test_are_the_densities_ratio(num_samples: int) -> None:
    model, guide = vae_pair()
    batch = all_of(bits(5))
    torch.manual_seed(1)
    found = log_weights(model, guide, batch, num_samples)
    assert found.shape == (num_samples, 5)
    torch.manual_seed(1)
    q = guide.q(batch)
    z = q.expand((num_samples, 5)).sample() if num_samples > 1 else q.sample()[None]
    expected = (
        Normal(0.0, 1.0).log_prob(z).sum(-1)
        + Bernoulli(logits=model.decoder(z)).log_prob(batch.x).sum((-1, -2))
        - q.log_prob(z)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("num_samples", [1, 5])
def test_exact_guides_weights_are_all_log_px(num_samples: int) -> None:
    model = oracle()
    x = simulate(model, 6)
    exact = model.log_px(x).expand(num_samples, 6)
    for guide in (ExactGuide(model), optimal(model, FullRank)):
        torch.testing.assert_close(log_weights(model, guide, all_of(x), num_samples), exact, rtol=0.0, atol=1e-10)
    wrong = log_weights(model, PriorGuide(3, 1.0), all_of(x), num_samples)
    assert (wrong - exact).abs().max() > 1


def test_mean_weight_is_px() -> None:
    """E_q[w] = p(x) on each datapoint within 5 standard errors; q is wider than the prior, so that w is bounded."""
    model = oracle(5, 2)
    x = simulate(model, 8)
    weights = (log_weights(model, PriorGuide(2, 1.2), all_of(x), 100_000) - model.log_px(x)).detach().exp()
    error = weights.std(0) / len(weights) ** 0.5
    assert error.max() < 0.05
    assert ((weights.mean(0) - 1).abs() < 5 * error).all()


def test_mean_weight_is_px_with_constrained_latents() -> None:
    """Against p(x) by brute force: draws from the prior. The Jacobians of both maps are in the weights."""
    model = TwoLatents().double()
    x = torch.tensor([[0.3, -0.2, 0.5, 1.1], [1.0, 0.2, 0.9, 2.0]], dtype=torch.float64)
    guide = amortized(model, x)
    with torch.no_grad():
        guide.encoder.net[0].weight.zero_()
        guide.encoder.net[0].bias.copy_(torch.tensor([0.3, -0.4, -0.2, 0.2, 0.3, 0.4]))
        count = 400_000
        rate = dist.Gamma(2.0, 1.0).sample((count,)).double()
        mix = dist.Dirichlet(model.concentration).sample((count,))
        loc = rate[:, None] * (mix @ model.weight)
        brute = dist.Normal(loc[:, None], 0.5).to_event(1).log_prob(x).exp()
        weights = log_weights(model, guide, all_of(x), 200_000).exp()
    error = (brute.var(0) / len(brute) + weights.var(0) / len(weights)).sqrt()
    assert (error < 0.02 * brute.mean(0)).all()
    assert ((weights.mean(0) - brute.mean(0)).abs() < 5 * error).all()


class Handled(PyroModule):
    """A pair's program under an effect handler."""

    def __init__(self, program: torch.nn.Module, handler: object) -> None:
        super().__init__()
        self.program, self.handler = program, handler

    def forward(self, batch: Batch) -> object:
        return self.handler(self.program)(batch)


def test_scales_are_left_out() -> None:
    model, guide = vae_pair()
    batch = all_of(bits(5))
    torch.manual_seed(1)
    plain = log_weights(model, guide, batch, 3)
    torch.manual_seed(1)
    scaled = log_weights(Handled(model, poutine.scale(scale=20.0)), Handled(guide, poutine.scale(scale=20.0)), batch, 3)
    torch.testing.assert_close(scaled, plain)


def test_masks_are_honoured() -> None:
    """A masked datapoint has no evidence and no latents: log w = 0."""
    model, guide = vae_pair()
    batch = all_of(bits(5))
    mask = torch.tensor([True, False, True, True, False])
    torch.manual_seed(1)
    plain = log_weights(model, guide, batch, 3)
    torch.manual_seed(1)
    masked = log_weights(Handled(model, poutine.mask(mask=mask)), Handled(guide, poutine.mask(mask=mask)), batch, 3)
    torch.testing.assert_close(masked, plain * mask)
    assert plain.abs().min() > 0.1


def test_an_observation_that_ignores_its_latents_is_counted_for_every_sample() -> None:
    class Idle(PyroModule):
        def forward(self, batch: Batch) -> None:
            with pyro.plate("data", len(batch.x), dim=-1):
                pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Bernoulli(torch.full((3, 4), 0.5)).to_event(2), obs=batch.x)

    class Prior(PyroModule):
        def forward(self, batch: Batch) -> None:
            with pyro.plate("data", len(batch.x), dim=-1):
                pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    found = log_weights(Idle(), Prior(), all_of(bits(5)), 3)
    torch.testing.assert_close(found, torch.full((3, 5), 12 * math.log(0.5)))


def _spread(dtype: torch.dtype) -> Tensor:
    """Terms of three sums: all alike, over 300 nats, and far apart."""
    return torch.stack([torch.linspace(0, end, 64, dtype=dtype) for end in (1.0, -300.0, -3e4)], dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_sum_exp_is_torchs_to_rounding_and_so_is_its_gradient(dtype: torch.dtype) -> None:
    terms, same = _spread(dtype).requires_grad_(), _spread(dtype).requires_grad_()
    log_sum_exp(terms).sum().backward()
    same.logsumexp(0).sum().backward()
    assert torch.equal(log_sum_exp(terms), same.logsumexp(0))
    torch.testing.assert_close(terms.grad, same.grad, rtol=1e-6, atol=1e-19)


def test_no_gradient_of_log_sum_exp_is_denormal_though_torchs_is() -> None:
    def smallest(gradient: Tensor) -> float:
        return gradient[gradient != 0].abs().min().item()

    terms, same = _spread(torch.float32).requires_grad_(), _spread(torch.float32).requires_grad_()
    log_sum_exp(terms).sum().backward()
    same.logsumexp(0).sum().backward()
    assert smallest(same.grad) < torch.finfo(torch.float32).tiny
    assert smallest(terms.grad) > 1e-21


def test_log_sum_exp_takes_infinite_terms() -> None:
    nothing = torch.full((4,), -inf)
    assert log_sum_exp(nothing) == -inf
    assert log_sum_exp(torch.tensor([-inf, 1.0, -inf])) == 1.0
    assert log_sum_exp(torch.tensor([inf, 1.0])) == inf
    assert log_sum_exp(torch.tensor([nan, 1.0])).isnan()
