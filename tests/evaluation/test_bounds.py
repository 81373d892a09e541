"""Bounds against the oracle: below log p(x), as far below as the theory says, and closer with more samples."""

import math
from dataclasses import replace
from functools import partial
from importlib import import_module

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch, UserError
from ppl_vae.data import Dataset
from ppl_vae.evaluation import annealed_importance_bound, bounds, elbo, importance_bound, over_draws
from ppl_vae.evaluation.annealing import AnnealingConfig
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.models import LinearGaussian
from tests.pairs import (
    ExactGuide,
    PriorGuide,
    TwoLatents,
    all_of,
    bits,
    optimal,
    oracle,
    simulate,
    stripes_data,
    vae_pair,
)

ROUNDING = {"rtol": 0.0, "atol": 1e-10}


# Of the same name as its function, which the package exports.
LOG_WEIGHTS = import_module("ppl_vae.programs.log_weights")


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), values.std().item() / len(values) ** 0.5


# --- The oracle -------------------------------------------------------------------------------------------------------


def test_exact_guide_gives_log_px() -> None:
    model = oracle()
    data = Dataset(simulate(model, 300))  # more than one batch
    exact = model.log_px(data.x).detach()
    for guide in (ExactGuide(model), optimal(model, FullRank)):
        torch.testing.assert_close(elbo(model, guide, data).elbo.values, exact, **ROUNDING)
        for num_samples in (1, 2, 10):
            bound = importance_bound(model, guide, data, num_samples).values
            torch.testing.assert_close(bound, exact, **ROUNDING)


def test_best_diagonal_guide_loses_the_known_gap() -> None:
    model = oracle()
    data = Dataset(simulate(model, 1000))
    lost = model.log_px(data.x) - elbo(model, optimal(model, Diagonal), data, num_samples=100).elbo.values
    mean, error = mean_and_error(lost)
    gap = model.best_diagonal_gap().item()
    assert error < 0.01 * gap
    assert abs(mean - gap) < 5 * error


def test_importance_bound_rises_with_k_and_stays_below() -> None:
    """On a deliberately bad guide: the prior for a posterior, which is far narrower and elsewhere."""
    model = oracle()
    data = Dataset(simulate(model, 400))
    guide = PriorGuide(3, 1.2)
    exact = model.log_px(data.x).detach()
    below = [importance_bound(model, guide, data, k, seed=k).values for k in (1, 8, 64, 512)]
    for fewer, more in ((below[0], below[1]), (below[1], below[2])):
        mean, error = mean_and_error(more - fewer)
        assert mean > 5 * error
    for values in below:
        mean, error = mean_and_error(values - exact)
        assert mean < 5 * error
    assert mean_and_error(exact - below[0])[0] > 5  # bad indeed
    assert mean_and_error(exact - below[-1])[0] < 0.5


def test_k_1_is_the_elbo() -> None:
    model, guide = vae_pair()
    data = stripes_data(300)
    one = importance_bound(model, guide, data, 1, seed=5)
    torch.testing.assert_close(one.values, elbo(model, guide, data, 1, seed=5).elbo.values)


def test_elbos_parts() -> None:
    """Against reconstruction and KL in closed form, both known for the oracle and a Gaussian q."""
    model = oracle()
    data = Dataset(simulate(model, 400))
    guide = optimal(model, Diagonal)
    parts = elbo(model, guide, data, num_samples=200)
    torch.testing.assert_close(parts.elbo.values, parts.reconstruction.values - parts.kl.values, **ROUNDING)
    q = guide.q(all_of(data.x)).base_dist
    loc, variance = q.loc.detach(), q.scale.detach() ** 2
    kl = 0.5 * (variance + loc**2 - 1 - variance.log()).sum(-1)
    noise = model.log_scale.detach().exp() ** 2
    centred = data.x - model.mean - loc @ model.weight.mT
    squares = (centred**2).sum(-1) + variance @ (model.weight**2).sum(0)
    reconstruction = -0.5 * (squares / noise + 5 * math.log(2 * math.pi) + 5 * noise.log())
    for found, exact in ((parts.kl, kl), (parts.reconstruction, reconstruction.detach())):
        mean, error = mean_and_error(found.values - exact)
        assert error < 0.02
        assert abs(mean) < 5 * error


# --- Streaming and seeds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_call", [1, 3, 7, 100])
def test_streamed_bound_is_the_logsumexp(monkeypatch: pytest.MonkeyPatch, per_call: int) -> None:
    """However the samples are cut into calls; weights so spread that their exponentials would not fit."""
    batch_size, samples = 4, 7
    weights = 500 * torch.randn(samples, batch_size, dtype=torch.float64) - 1000
    asked: list[int] = []

    def served(_model: nn.Module, _guide: nn.Module, batch: Batch, count: int, _runs: int) -> Tensor:
        start = sum(asked)
        asked.append(count)
        return weights[start : start + count]

    data = Dataset(torch.zeros(batch_size, 3, dtype=torch.float64))
    monkeypatch.setattr(bounds, "log_weights", served)
    monkeypatch.setattr(over_draws, "check_runs", lambda data, *pair: None)  # there is none
    monkeypatch.setattr(over_draws, "runs_for", lambda guide, data: 1)
    monkeypatch.setattr(LOG_WEIGHTS, "_CALL_ELEMENTS", per_call * data.x.numel())
    found = importance_bound(nn.Identity(), nn.Identity(), data, samples).values
    torch.testing.assert_close(found, weights.logsumexp(0) - math.log(samples), **ROUNDING)
    assert sum(asked) == samples
    assert max(asked) == min(per_call, samples)


def test_elbo_over_several_calls_is_the_mean_over_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    model = oracle()
    data = Dataset(simulate(model, 200))
    guide = optimal(model, Diagonal)
    monkeypatch.setattr(LOG_WEIGHTS, "_CALL_ELEMENTS", 7 * data.x.numel())
    parts = elbo(model, guide, data, num_samples=100)  # 14 calls of 7 and one of 2
    mean, error = mean_and_error(model.log_px(data.x) - parts.elbo.values)
    gap = model.best_diagonal_gap().item()
    assert error < 0.03 * gap
    assert abs(mean - gap) < 5 * error


@pytest.mark.parametrize("estimate", [lambda *a, **k: elbo(*a, **k).elbo, importance_bound], ids=["elbo", "iwae"])
class TestBoth:
    def test_a_seed_repeats_it(self, estimate) -> None:
        pair, data = vae_pair(), stripes_data(20)
        torch.manual_seed(8)
        before = torch.get_rng_state()
        first = estimate(*pair, data, num_samples=3, seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(9)
        assert torch.equal(estimate(*pair, data, num_samples=3, seed=1).values, first.values)
        assert not torch.equal(estimate(*pair, data, num_samples=3, seed=2).values, first.values)

    def test_one_value_for_each_datapoint_in_order(self, estimate) -> None:
        model = oracle()
        x = simulate(model, 300)
        exact = model.log_px(x).detach()
        values = estimate(model, ExactGuide(model), Dataset(x), num_samples=2).values
        torch.testing.assert_close(values, exact, **ROUNDING)
        assert values.dtype == torch.float64
        assert values.device.type == "cpu"

    def test_progress(self, estimate) -> None:
        done: list[int] = []
        estimate(*vae_pair(), stripes_data(600), num_samples=1, advance=done.append)
        assert done == [256, 256, 88]

    def test_precision_follows_the_data(self, estimate) -> None:
        values = estimate(*vae_pair(), Dataset(bits(4)), num_samples=2).values
        assert values.dtype == torch.float32
        assert values.isfinite().all()

    def test_modules_are_left_as_they_were(self, estimate) -> None:
        model, guide = vae_pair()
        model.eval()
        before = [param.detach().clone() for param in (*model.parameters(), *guide.parameters())]
        estimate(model, guide, stripes_data(20), num_samples=2)
        assert not model.training
        assert guide.training
        after = [*model.parameters(), *guide.parameters()]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert all(param.grad is None for param in after)

    def test_evaluation_mode_is_on_inside(self, estimate) -> None:
        """Dropout would otherwise make another, worse model of it."""
        model, guide = vae_pair()
        seen: list[bool] = []
        model.decoder.register_forward_hook(lambda module, *_: seen.append(module.training or torch.is_grad_enabled()))
        estimate(model, guide, stripes_data(20), num_samples=1)
        assert seen
        assert not any(seen)


def test_a_wrong_model_is_lower() -> None:
    """E log p(x) under the true model is the highest there is: bounds of other models stay below it."""
    truth = oracle()
    data = Dataset(simulate(truth, 500))
    other = LinearGaussian((5,), 3).double()
    found = importance_bound(other, optimal(other, FullRank), data, 5).values
    mean, error = mean_and_error(truth.log_px(data.x).detach() - found)
    assert mean > 5 * error


# --- Points -----------------------------------------------------------------------------------------------------------


class HalfPoint(PyroModule):
    """q(rate, mix | x) with a density of the one and a point for the other."""

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("rate", dist.LogNormal(torch.zeros(()), 1.0))
            pyro.sample("mix", dist.Delta(torch.full((3,), 1 / 3), event_dim=1))


AT_A_POINT = r"^site 'mix': the guide puts a point there.*gives no importance weights; take the ELBO, or annealing"


def test_of_a_point_there_is_no_bound_by_weights() -> None:
    model, guide, data = TwoLatents(), HalfPoint(), Dataset(bits(5)[:, 0])
    for function in (importance_bound, partial(over_draws.sums_over_draws, values=lambda *_: None, log=True)):
        with pytest.raises(UserError, match=AT_A_POINT):
            function(model, guide, data, num_samples=2)
    short = AnnealingConfig(temperatures=3, leapfrog=1)
    with pytest.raises(UserError, match=AT_A_POINT):
        annealed_importance_bound(model, guide, data, 2, replace(short, start="guide"))
    assert annealed_importance_bound(model, guide, data, 2, short).log_px.values.isfinite().all()
    assert elbo(model, guide, data).elbo.values.isfinite().all()
