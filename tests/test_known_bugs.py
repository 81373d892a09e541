"""Bugs of well-known code, each with the test that this project does not have it.

The numbers are those of section 6 of the design notes: 1 scaled weights, 2 evaluation that trains, 3 a bound that is
none, 6 a leaking store, 8 overflow on unseen images. Beside each stands a test that the bug, where it is made, shows.
"""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, RenyiELBO, Trace_ELBO
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound, log_weights
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.models import LinearGaussian
from ppl_vae.objectives import TraceELBO
from ppl_vae.seeding import seeded, stream
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.pairs import PriorGuide, all_of, amortized, bits, optimal, oracle, simulate, stripes_data, vae_pair


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), values.std().item() / len(values) ** 0.5


# --- 1. A plate that is subsampled multiplies every log-density by N / B, and logsumexp of that is no bound ----


class Subsampled(PyroModule):
    """The oracle or a guide of it in a plate of a thousand rows, of which the batch is a part."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, batch: Batch) -> object:
        rows = len(batch.x)
        with pyro.poutine.scale(scale=1000 / rows):
            return self.program(batch)


def test_1_importance_bound_does_not_take_weights_that_a_plate_has_scaled() -> None:
    model = oracle()
    data = Dataset(simulate(model, 100))
    guide = optimal(model, Diagonal)
    exact = model.log_px(data.x).detach()
    scaled = importance_bound(Subsampled(model), Subsampled(guide), data, 50)
    assert torch.equal(scaled.values, importance_bound(model, guide, data, 50).values)
    mean, error = mean_and_error(scaled.values - exact)
    assert -0.5 < mean < 5 * error


def test_1_pyros_renyi_elbo_does() -> None:
    """The bug itself: scaled back to the batch, what Pyro calls a bound is above log p by more than a hundred nats."""
    model = oracle()
    data = Dataset(simulate(model, 100))
    guide = PriorGuide(3, 1.2)
    evidence = model.log_px(data.x).sum().item()
    renyi = RenyiELBO(alpha=0, num_particles=50, vectorize_particles=True, max_plate_nesting=1)
    assert -renyi.loss(model, guide, all_of(data.x)) < evidence
    assert -renyi.loss(Subsampled(model), Subsampled(guide), all_of(data.x)) / 10 > evidence + 100
    assert importance_bound(Subsampled(model), Subsampled(guide), data, 50).values.sum().item() < evidence


def test_1_the_elbo_is_per_datapoint_under_a_scaled_plate() -> None:
    model = oracle()
    data = Dataset(simulate(model, 100))
    guide = optimal(model, Diagonal)
    scaled = elbo(Subsampled(model), Subsampled(guide), data).elbo
    torch.testing.assert_close(scaled.values, elbo(model, guide, data).elbo.values)


# --- 2. Evaluating with svi.step under no_grad still moves the weights, by Adam's momentum ---------------------


def test_2_evaluation_moves_no_weights() -> None:
    model, guide = vae_pair()
    data = stripes_data(60)
    params = [*model.parameters(), *guide.parameters()]
    optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.01))
    step = EagerStep(model, guide, TraceELBO(), optimizer, data)
    for _ in range(3):
        step(torch.arange(32))  # so that there is momentum
    before = [param.detach().clone() for param in params]
    elbo(model, guide, data, num_samples=3)
    importance_bound(model, guide, data, 3)
    log_weights(model, guide, data.batch(torch.arange(5)), 2)
    assert all(torch.equal(a, b) for a, b in zip(before, params, strict=True))
    optimizer.step([])  # what a "step without gradients" comes to
    assert not all(torch.equal(a, b) for a, b in zip(before, params, strict=True))


# --- 3. Σ w̃ · log w is not the bound; logsumexp(log w) − log K is ---------------------------------------------


def test_3_the_bound_is_logsumexp_and_not_the_weighted_mean() -> None:
    model = oracle()
    data = Dataset(simulate(model, 1000))
    guide, num_samples = PriorGuide(3, 1.2), 32
    exact = model.log_px(data.x).detach()
    with seeded(stream(0, "draws")):
        weights = torch.cat([log_weights(model, guide, batch, num_samples) for batch in data.batches(256)], dim=1)
    found = importance_bound(model, guide, data, num_samples).values
    torch.testing.assert_close(found, weights.logsumexp(0) - math.log(num_samples))
    mean, error = mean_and_error(found - exact)
    assert mean < -5 * error
    optimistic, error = mean_and_error((weights.softmax(0) * weights).sum(0) - exact)
    assert optimistic > 5 * error


# --- 6. Parameters in one global store leak from one guide to the next -----------------------------------------


def test_6_a_second_guide_starts_from_its_own_parameters() -> None:
    x = simulate(oracle(), 40)

    def fresh(seed: int) -> tuple[LinearGaussian, nn.Module]:
        torch.manual_seed(seed)
        model = LinearGaussian((5,), 2).double()
        return model, amortized(model, x)

    settings = FitConfig(epochs=2, batch_size=20, device="cpu", optimizer=OptimizerConfig(learning_rate=0.05))
    alone = fresh(2)
    start = elbo(*alone, Dataset(x)).elbo.mean
    fit(*fresh(1), Dataset(x), settings=settings)
    second = fresh(2)
    assert elbo(*second, Dataset(x)).elbo.mean == start
    fit(*second, Dataset(x), settings=settings)
    fit(*alone, Dataset(x), settings=settings)
    for a, b in zip(second, alone, strict=True):
        assert all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())
    assert not list(pyro.get_param_store().keys())


def test_6_pyros_default_does_leak() -> None:
    """With the global store the second pair is not trained: the optimizer is handed the first one's parameters."""
    x = simulate(oracle(), 40)

    def moves(seed: int) -> bool:
        torch.manual_seed(seed)
        model = LinearGaussian((5,), 2).double()
        guide = amortized(model, x)
        before = guide.encoder.net[0].weight.detach().clone()
        with pyro.settings.context(module_local_params=local):
            SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()).step(all_of(x))
        return not torch.equal(before, guide.encoder.net[0].weight)

    local = True
    assert [moves(1), moves(2)] == [True, True]
    local = False
    assert [moves(1), moves(2)] == [True, False]
    pyro.clear_param_store()


# --- 8. Unclamped scales overflow on images unlike the training data -------------------------------------------


class Unclamped(Diagonal):
    """The usual head: scale = exp(raw)."""

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        loc, raw = params.chunk(2, dim=-1)
        return dist.Normal(loc, raw.exp(), validate_args=False).to_event(1)


def extreme_pair(family: type[Diagonal] | type[FullRank], latent_dim: int) -> tuple[nn.Module, nn.Module]:
    """An encoder whose outputs on these images are in the thousands, of both signs."""
    model, guide = vae_pair(family, latent_dim=latent_dim)
    with torch.no_grad():
        for param in guide.encoder.parameters():
            param.mul_(100.0)
    return model, guide


EXTREME = torch.cat([torch.zeros(1, 3, 4), torch.ones(1, 3, 4), bits(6), 1 - bits(6)])


@pytest.mark.parametrize(
    ("family", "latent_dim"),
    [
        (Diagonal, 2),
        (Diagonal, 20),
        (FullRank, 2),
        (FullRank, 20),
    ],
)
def test_8_extreme_images_have_a_finite_elbo(family: type, latent_dim: int) -> None:
    model, guide = extreme_pair(family, latent_dim)
    assert guide.params(all_of(EXTREME)).abs().max() > 1000
    terms = TraceELBO().terms(model, guide, all_of(EXTREME))
    terms.loss.backward()
    assert terms.elbo.isfinite().all()
    assert (terms.kl >= -100).all()  # a sampled KL can be below 0, but not without limit
    assert all(param.grad.isfinite().all() for param in (*model.parameters(), *guide.parameters()))
    assert elbo(model, guide, Dataset(EXTREME)).elbo.values.isfinite().all()
    assert importance_bound(model, guide, Dataset(EXTREME), 5).values.isfinite().all()


def test_8_an_unclamped_scale_has_none() -> None:
    model, guide = extreme_pair(Diagonal, 2)
    guide.family = Unclamped(2)
    assert not elbo(model, guide, Dataset(EXTREME)).elbo.values.isfinite().all()
