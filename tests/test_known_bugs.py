"""Bugs of well-known code, each with the test that this project does not have it.

The numbers are those of section 6 of the design notes: 1 scaled weights, 2 evaluation that trains, 3 a bound that is
none, 4 dense Adam over a table, 5 grey levels, 6 a leaking store, 7 rows of other datapoints, 8 overflow on unseen
images. Beside each stands a test that the bug, where it is made, shows. tests/test_rows.py has more of 4 and 7.
"""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, RenyiELBO, Trace_ELBO
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Diagonal, FullRank, PerDatapoint
from ppl_vae.guides.unseen import fit_locally, guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.models import VAE, LinearGaussian
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.check import likelihood_label
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import log_weights
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.marks import slow_after
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


# --- 4. Dense Adam over a per-datapoint table moves rows that were not in the minibatch ------------------------


def rows_of(model: nn.Module, x: Tensor) -> PerDatapoint:
    return PerDatapoint(Latents.of(model, all_of(x[:2])), Diagonal(3), len(x)).to(x.dtype)


def test_4_a_row_moves_only_in_its_own_minibatch() -> None:
    model = oracle()
    data = Dataset(simulate(model, 6))
    guide = rows_of(model, data.x)
    optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.05))
    step = EagerStep(model, guide, TraceELBO(), optimizer, data)
    step(torch.arange(6))  # so that there is momentum
    before = guide.table.weight.detach().clone()
    step(torch.arange(3))
    moved = (guide.table.weight - before).abs().amax(1)
    assert moved[:3].min() > 0.01
    assert not moved[3:].any()


def test_4_dense_adam_moves_the_others_too() -> None:
    model = oracle()
    data = Dataset(simulate(model, 6))
    guide = rows_of(model, data.x)
    adam = torch.optim.Adam(guide.parameters(), lr=0.05)
    for index in (torch.arange(6), torch.arange(3)):
        before = guide.table.weight.detach().clone()
        adam.zero_grad()
        TraceELBO().terms(model, guide, data.batch(index)).loss.backward()
        adam.step()
    assert not guide.table.weight.grad[3:].any()
    assert (guide.table.weight - before)[3:].abs().amax(1).min() > 0.01


# --- 5. BCE on grey-level pixels is no likelihood: it drops the continuous Bernoulli's normaliser ---------------


class Constant(nn.Module):
    """A decoder that says the same of every z: logits λ for one pixel."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.logit = math.log(probability / (1 - probability))

    def forward(self, z: Tensor) -> Tensor:
        return torch.full((*z.shape[:-1], 1), self.logit, dtype=z.dtype)


def normaliser(probability: float) -> float:
    """C(λ) = 2 artanh(1 − 2λ) / (1 − 2λ), 2 at λ = ½ (Loaiza-Ganem and Cunningham 2019)."""
    return 2.0 if probability == 0.5 else 2 * math.atanh(1 - 2 * probability) / (1 - 2 * probability)


@pytest.mark.parametrize("probability", [0.5, 0.1, 0.97])
def test_5_a_bernoulli_on_grey_levels_is_no_density_and_is_labelled_so(probability: float) -> None:
    model = VAE(Constant(probability), 1).double()
    grid = torch.linspace(0.0, 1.0, 10_001, dtype=torch.float64).unsqueeze(1)
    guide = PriorGuide(1, 1.0)  # the posterior, as x says nothing about z: every draw's weight is p(x)
    weights = log_weights(model, guide, all_of(grid), 1)[0].exp()
    integral = torch.trapezoid(weights, grid.squeeze(1)).item()
    assert integral < 0.6
    assert integral == pytest.approx(1 / normaliser(probability), rel=1e-6)
    assert integral * normaliser(probability) == pytest.approx(1.0, rel=1e-6)
    assert likelihood_label(model, Dataset(grid).probe()) == "none (Bernoulli on grey levels)"


def test_5_on_bits_it_is_one_and_is_labelled_so() -> None:
    model, both = VAE(Constant(0.1), 1).double(), Dataset(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    weights = log_weights(model, PriorGuide(1, 1.0), both.batch(torch.arange(2)), 1)[0].exp()
    assert weights.sum().item() == pytest.approx(1.0)
    assert likelihood_label(model, both.probe()) == "proper"


def test_5_one_grey_pixel_anywhere_is_noticed() -> None:
    model, _ = vae_pair()
    x = bits(50)
    assert likelihood_label(model, Dataset(x).probe()) == "proper"
    x[41, 2, 3] = 0.5
    assert likelihood_label(model, Dataset(x).probe()) == "none (Bernoulli on grey levels)"


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


class PlainGuide(PyroModule):
    """A guide that is Pyro's own kind of module and no more."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(5, 2).double()

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.net(batch.x), 1.0).to_event(1))


@pytest.mark.parametrize("local", [True, False])
def test_6_pyros_default_does_leak_and_our_programs_never(local: bool) -> None:
    """With the global store the second pair is not trained: the optimizer is handed the first one's parameters."""
    x = simulate(oracle(), 40)

    def moves(plain: bool) -> bool:
        model = LinearGaussian((5,), 2).double()
        with pyro.settings.context(module_local_params=local):
            guide = PlainGuide() if plain else amortized(model, x)
            weight = guide.net.weight if plain else guide.encoder.net[0].weight
            before = weight.detach().clone()
            SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()).step(all_of(x))
        return not torch.equal(before, guide.net.weight if plain else guide.encoder.net[0].weight)

    try:
        assert [moves(plain=False), moves(plain=False)] == [True, True]
        assert not list(pyro.get_param_store().keys())
        if not local:  # under the setting SVI asks the parameters of a plain module for what they have not
            assert [moves(plain=True), moves(plain=True)] == [True, False]
    finally:
        pyro.clear_param_store()


# --- 7. Rows of a per-datapoint guide, taken for those of other datapoints --------------------------------------


@pytest.mark.parametrize(
    "unseen", slow_after(1, [3, 18])
)  # more than the rows: an index fails; fewer: the wrong rows are read
def test_7_rows_are_not_taken_for_unseen_data_but_inferred_anew(unseen: int) -> None:
    model = oracle()
    x = simulate(model, 12 + unseen)
    guide = rows_of(model, x[:12])
    with torch.no_grad():
        guide.table.weight.normal_(std=3.0)
    test = Dataset(x[12:], first=12)
    for estimate in (elbo, importance_bound):
        with pytest.raises(UserError, match=r"rows for datapoints 0 to 11, not for 12 to .* infer"):
            estimate(model, guide, test, 2)
    local = guide_for(model, guide, test, InferConfig(infer_window=20, infer_halvings=4))
    assert (local.table.first, *local.table.weight.shape) == (12, unseen, 6)
    gap = model.log_px(test.x).detach() - elbo(model, local, test, 1000).elbo.values
    mean, error = mean_and_error(gap)
    # Above 0, the local optimum lacks the steps that a last window left; a wrong row loses tens of nats.
    assert -5 * error < mean - model.best_diagonal_gap().item() < 0.1 + 5 * error


def test_7_rows_by_position_are_the_wrong_ones() -> None:
    """The bug itself: what the first three training rows say of three unseen datapoints is far off."""
    model = oracle()
    x = simulate(model, 15)
    rows = rows_of(model, x[:12])
    settings = InferConfig(infer_window=20, infer_halvings=1)
    fitted = fit_locally(model, rows.family, rows.latents, Dataset(x[:12]), settings).guide
    own = elbo(model, fitted, Dataset(x[:3]), 200).elbo
    others = elbo(model, fitted, Dataset(x[12:]), 200).elbo  # as if they were rows 0 to 2
    assert others.mean < own.mean - 5


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
