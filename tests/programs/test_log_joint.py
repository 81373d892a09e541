"""Densities as functions of one flat vector: the change of variables, what counts in them and what does not."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule
from scipy.stats import norm
from torch import Tensor, nn
from torch.distributions import Dirichlet, Gamma, Normal

from ppl_vae import Batch, UserError
from ppl_vae.guides import Diagonal, Family, FullRank, InverseAutoregressive, LowRank, PerDatapoint, Planar
from ppl_vae.models import ConditionalVAE
from ppl_vae.networks.dense import Decoder
from ppl_vae.predictive.draws import expected_reconstruction
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_joint import (
    draw,
    draw_with_likelihood,
    log_guide,
    log_likelihood,
    log_prior_and_likelihood,
)
from ppl_vae.programs.pair import frozen
from tests.pairs import PriorGuide, TwoLatents, all_of, amortized, oracle, simulate

X = torch.linspace(-1.0, 4.0, 20, dtype=torch.float64).reshape(5, 4)


def two_latents() -> tuple[TwoLatents, Latents]:
    model = TwoLatents().double()
    return model, Latents.of(model, all_of(X))


def vectors(*shape: int) -> Tensor:
    return 1.5 * torch.randn(*shape, dtype=torch.float64)


def local_guide(latents: Latents, family: Family, num: int = 5) -> PerDatapoint:
    """A guide of constrained latents with a q of its own for each datapoint."""
    guide = PerDatapoint(latents, family, num).double()
    with torch.no_grad():
        guide.table.weight.normal_(std=0.4)
        for param in family.parameters():
            param.normal_(std=0.05)
    return guide


# --- The model's densities --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num", [1, 7])
def test_draws_of_the_prior_come_with_their_likelihood(num: int) -> None:
    """Those that are drawn alone, constrained latents too, and the density that is worked out of them afterwards."""
    model, latents = two_latents()
    torch.manual_seed(3)
    vector, likelihood = draw_with_likelihood(model, latents, all_of(X), num)
    torch.manual_seed(3)
    assert torch.equal(vector, draw(model, latents, all_of(X), num))
    torch.testing.assert_close(likelihood, log_prior_and_likelihood(model, latents, all_of(X), vector)[1])
    assert likelihood.shape == (num, 5)
    assert likelihood.std() > 0.1


@pytest.mark.parametrize("num_samples", [1, 5, 7])  # as many as datapoints: the one is not taken for the other
def test_prior_and_likelihood_are_the_change_of_variables(num_samples: int) -> None:
    """By hand, the Jacobian from autodiff."""
    model, latents = two_latents()
    vector = vectors(num_samples, 5, 3)
    prior, likelihood = log_prior_and_likelihood(model, latents, all_of(X), vector)
    assert prior.shape == likelihood.shape == (num_samples, 5)

    def free(row: Tensor) -> Tensor:
        values, _ = latents.mapped(row)
        return torch.cat([values["rate"].reshape(1), values["mix"][:2]])  # the third part of the mix follows

    volume = torch.stack(
        [torch.linalg.slogdet(torch.autograd.functional.jacobian(free, row))[1] for row in vector.reshape(-1, 3)]
    ).reshape(num_samples, 5)
    values, _ = latents.mapped(vector)
    rate, mix = values["rate"], values["mix"]
    by_hand = Gamma(torch.tensor(2.0).double(), torch.tensor(1.0).double()).log_prob(rate)
    by_hand = by_hand + Dirichlet(model.concentration).log_prob(mix) + volume
    assert volume.abs().max() > 1
    torch.testing.assert_close(prior, by_hand)
    explained = Normal(rate.unsqueeze(-1) * (mix @ model.weight), 0.5).log_prob(X).sum(-1)
    torch.testing.assert_close(likelihood, explained)


def test_prior_of_the_vector_integrates_to_one() -> None:
    model, latents = two_latents()
    proposal = Normal(torch.zeros((), dtype=torch.float64), 2.5)
    vector = proposal.sample((40_000, 1, 3))
    prior, _ = log_prior_and_likelihood(model, latents, all_of(X[:1]), vector)
    weights = (prior - proposal.log_prob(vector).sum(-1)).exp().flatten()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.02
    assert abs(weights.mean() - 1) < 5 * error


def test_one_real_latent_needs_no_jacobian() -> None:
    model = oracle()
    x = simulate(model, 6)
    latents = Latents.of(model, all_of(x))
    vector = vectors(4, 6, 3)
    prior, likelihood = log_prior_and_likelihood(model, latents, all_of(x), vector)
    torch.testing.assert_close(prior, Normal(torch.zeros(3).double(), 1.0).log_prob(vector).sum(-1))
    exact = model.log_px(x) + model.posterior(x).log_prob(vector)  # Bayes' rule
    torch.testing.assert_close(prior + likelihood, exact)


class Handled(PyroModule):
    """A program under a handler."""

    def __init__(self, program: nn.Module, handler: object) -> None:
        super().__init__()
        self.program, self.handler = program, handler

    def forward(self, batch: Batch) -> object:
        with self.handler:
            return self.program(batch)


def test_scales_are_ignored_and_masks_are_honoured() -> None:
    model, latents = two_latents()
    guide = local_guide(latents, FullRank(3))
    vector = vectors(4, 5, 3)
    plain = torch.stack([*log_prior_and_likelihood(model, latents, all_of(X), vector)])
    scaled = Handled(model, poutine.scale(scale=200.0))
    assert torch.equal(torch.stack([*log_prior_and_likelihood(scaled, latents, all_of(X), vector)]), plain)
    log_q = log_guide(guide, latents, all_of(X), vector)
    assert torch.equal(log_guide(Handled(guide, poutine.scale(scale=200.0)), latents, all_of(X), vector), log_q)
    kept = torch.tensor([True, False, True, True, False])
    _, likelihood = log_prior_and_likelihood(Handled(model, poutine.mask(mask=kept)), latents, all_of(X), vector)
    assert plain[1].abs().min() > 0.1
    assert torch.equal(likelihood, torch.where(kept, plain[1], 0.0))


class Masked(PyroModule):
    """z ~ N(0, 1); each x_j ~ N(z, 1), of which only the first ones of a row are seen."""

    def forward(self, batch: Batch) -> None:
        seen = torch.arange(4) < torch.arange(1, 6)[:, None]  # (5, 4): more in each row
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0))
            pyro.sample("x", dist.Normal(z[..., None].expand(*z.shape, 4), 1.0).mask(seen).to_event(1), obs=batch.x)


@pytest.mark.parametrize("num_samples", [1, 3])
def test_what_is_masked_is_no_part_of_the_likelihood_wherever_it_is_asked_for(num_samples: int) -> None:
    z = torch.randn(num_samples, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seen = np.arange(4) < np.arange(1, 6)[:, None]
    expected = (norm.logpdf(X.numpy(), z.numpy()[..., None]) * seen).sum(-1)
    model = Masked()
    np.testing.assert_allclose(log_likelihood(model, all_of(X), {"z": z}).numpy(), expected)
    np.testing.assert_allclose(expected_reconstruction(model, {"z": z}, all_of(X)).numpy(), expected.mean(0))


class MaskedRow(PyroModule):
    """z ~ N(0, 1), x ~ N(z, 1), of rows that are seen or not."""

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0))
            with poutine.mask(mask=torch.arange(len(batch.x)) % 2 == 0):
                pyro.sample("x", dist.Normal(z[..., None].expand(*z.shape, 4), 1.0).to_event(1), obs=batch.x)


def test_rows_that_are_masked_have_none() -> None:
    """Of the simulated rows of a calibration, or of those of an estimate by NUTS: what was not seen says nothing."""
    z = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(2, 5)
    expected = norm.logpdf(X.numpy(), z.numpy()[..., None]).sum(-1) * (np.arange(5) % 2 == 0)
    np.testing.assert_allclose(log_likelihood(MaskedRow(), all_of(X), {"z": z}).numpy(), expected)
    np.testing.assert_allclose(expected_reconstruction(MaskedRow(), {"z": z}, all_of(X)).numpy(), expected.mean(0))


def test_subsampled_plate_does_not_scale() -> None:
    class Minibatch(TwoLatents):
        def forward(self, batch: Batch) -> Tensor:
            one = torch.ones_like(self.concentration[0])
            with pyro.plate("data", 1000, subsample=torch.arange(len(batch.x)), dim=-1):
                rate = pyro.sample("rate", dist.Gamma(2 * one, one))
                mix = pyro.sample("mix", dist.Dirichlet(self.concentration))
                loc = rate.unsqueeze(-1) * (mix @ self.weight)
                return pyro.sample("x", dist.Normal(loc, 0.5 * one).to_event(1), obs=batch.x)

    model, latents = two_latents()
    vector = vectors(4, 5, 3)
    for ours, plain in zip(
        log_prior_and_likelihood(Minibatch().double(), latents, all_of(X), vector),
        log_prior_and_likelihood(model, latents, all_of(X), vector),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)


def test_labels_reach_a_conditional_model() -> None:
    model = ConditionalVAE(Decoder(2, (3, 4), (), num_classes=3), 2, 3)
    x, y = torch.bernoulli(torch.full((6, 3, 4), 0.5)), torch.tensor([0, 1, 2, 0, 1, 2])
    latents = Latents.of(model, all_of(x, y))
    vector = torch.randn(4, 6, 2)
    found = [log_prior_and_likelihood(model, latents, all_of(x, labels), vector) for labels in (y, (y + 1) % 3)]
    torch.testing.assert_close(found[0][0], found[1][0])
    by_hand = dist.Bernoulli(logits=model.decoder(vector, y)).log_prob(x).sum((-1, -2))
    torch.testing.assert_close(found[0][1], by_hand)
    assert (found[0][1] - found[1][1]).abs().min() > 1e-4


# --- The guide's ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [Diagonal, LowRank, FullRank, Planar, InverseAutoregressive])
@pytest.mark.parametrize("num_samples", [1, 7])
def test_log_guide_is_qs_own_density(family: type[Family], num_samples: int) -> None:
    """In the unconstrained space, whether or not the latents live there."""
    _, latents = two_latents()
    guide = local_guide(latents, family(3))
    vector = vectors(num_samples, 5, 3)
    with frozen(guide):
        expected = guide.q(all_of(X)).log_prob(vector)
        torch.testing.assert_close(log_guide(guide, latents, all_of(X), vector), expected)
    model = oracle()
    x = simulate(model, 5)
    real = amortized(model, x, family, hidden=(8,))
    latents = Latents.of(model, all_of(x))
    with frozen(real):
        found = log_guide(real, latents, all_of(x), vector)
        torch.testing.assert_close(found, real.q(all_of(x)).log_prob(vector))
    assert found.std() > 0.1


def test_a_guide_that_samples_the_latents_by_name() -> None:
    """No vector: each site's own density, and the Jacobian of its support."""

    class ByName(PyroModule):
        def forward(self, batch: Batch) -> None:
            two = torch.tensor(2.0, dtype=torch.float64)
            with pyro.plate("data", len(batch.x), dim=-1):
                rate = pyro.sample("rate", dist.Gamma(two, two))
                pyro.sample("mix", dist.Dirichlet(1 + rate.unsqueeze(-1) * torch.ones(3, dtype=torch.float64)))

    _, latents = two_latents()
    proposal = Normal(torch.zeros((), dtype=torch.float64), 2.0)
    vector = proposal.sample((40_000, 1, 3))
    log_q = log_guide(ByName(), latents, all_of(X[:1]), vector)
    weights = (log_q - proposal.log_prob(vector).sum(-1)).exp().flatten()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.02
    assert abs(weights.mean() - 1) < 5 * error


class Auxiliary(PyroModule):
    """q(z) = ∫ q(u) q(z | u) du, which no trace of it gives."""

    def forward(self, batch: Batch) -> None:
        one = torch.ones((), dtype=torch.float64)
        with pyro.plate("data", len(batch.x), dim=-1):
            u = pyro.sample("u", dist.Normal(0 * one, one), infer={"is_auxiliary": True})
            pyro.sample("z", dist.Normal(u.unsqueeze(-1) * torch.ones(3).double(), one).to_event(1))


def test_a_guide_that_draws_more_than_the_latents_is_refused_by_name() -> None:
    model = oracle()
    x = simulate(model, 4)
    latents = Latents.of(model, all_of(x))
    assert log_guide(PriorGuide(3, 1.0), latents, all_of(x), vectors(2, 4, 3)).isfinite().all()
    with pytest.raises(UserError, match=r"site 'u': Auxiliary draws it besides the latents.*start from the prior"):
        log_guide(Auxiliary(), latents, all_of(x), vectors(2, 4, 3))


# --- There and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(), (5,), (7, 5)])
def test_mapped_and_flattened_undo_each_other(leading: tuple[int, ...]) -> None:
    _, latents = two_latents()
    vector = vectors(*leading, 3)
    values, log_det = latents.mapped(vector)
    assert values["rate"].shape == log_det.shape == leading
    assert values["mix"].shape == (*leading, 3)
    assert (values["rate"] > 0).all()
    torch.testing.assert_close(values["mix"].sum(-1), torch.ones(leading, dtype=torch.float64))
    torch.testing.assert_close(latents.flattened(values), vector)
    shuffled = dict(reversed(values.items()))  # by name, not by place
    torch.testing.assert_close(latents.flattened(shuffled), vector)
    again, _ = latents.mapped(latents.flattened(values))
    for name, value in values.items():
        torch.testing.assert_close(again[name], value)


def test_a_matrix_and_a_number() -> None:
    class Shapes(PyroModule):
        def forward(self, batch: Batch) -> None:
            with pyro.plate("data", len(batch.x), dim=-1):
                pyro.sample("a", dist.Normal(torch.zeros(2, 3), 1.0).to_event(2))
                pyro.sample("b", dist.Uniform(torch.zeros(()), 3.0))
                pyro.sample("x", dist.Normal(torch.zeros(4), 1.0).to_event(1), obs=batch.x)

    latents = Latents.of(Shapes(), all_of(X))
    vector = vectors(2, 5, 7)
    values, log_det = latents.mapped(vector)
    assert {name: value.shape for name, value in values.items()} == {"a": (2, 5, 2, 3), "b": (2, 5)}
    assert log_det.shape == (2, 5)
    torch.testing.assert_close(latents.flattened(values), vector)
    torch.testing.assert_close(values["a"].flatten(-2), vector[..., :6])


@pytest.mark.parametrize("num_samples", [1, 4000])
def test_draws_are_the_programs_own(num_samples: int) -> None:
    """The prior's in the unconstrained space, mapped back, have the prior's moments; without gradients."""
    model, latents = two_latents()
    vector = draw(model, latents, all_of(X), num_samples)
    assert vector.shape == (num_samples, 5, 3)
    assert not vector.requires_grad
    guide = local_guide(latents, Diagonal(3))
    ours = draw(guide, latents, all_of(X), num_samples)
    assert ours.shape == (num_samples, 5, 3)
    assert not ours.requires_grad
    if num_samples > 1:
        rate = latents.mapped(vector)[0]["rate"].flatten()  # Gamma(2, 1): mean 2, variance 2
        assert abs(rate.mean() - 2) < 5 * math.sqrt(2 / len(rate))
        q = guide.q(all_of(X))
        assert ((ours.mean(0) - q.mean).abs() < 5 * q.stddev / math.sqrt(num_samples)).all()
