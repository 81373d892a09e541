"""Semi-amortized inference: between amortized and per-datapoint, and the gradients of its two ways to train."""

from collections.abc import Callable

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Amortized, Diagonal, Family, FullRank, PerDatapoint, Planar, SemiAmortized
from ppl_vae.guides.semi_amortized import Training
from ppl_vae.inference.fitting import InferConfig, infer
from ppl_vae.models import VAE, LinearGaussian
from ppl_vae.models.priors import VampPrior
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.given import FamilyProgram
from ppl_vae.programs.latents import Latents
from ppl_vae.svi import OptimizerConfig
from tests.marks import slow_after
from tests.pairs import TwoLatents, all_of, amortized, bits, oracle, simulate

TRAININGS: tuple[Training, ...] = ("unroll", "separate")
every_training = pytest.mark.parametrize("training", TRAININGS)


def semi(training: Training = "unroll", family: type[Family] = Diagonal, **more: float) -> SemiAmortized:
    """Of the oracle, with a linear encoder as it comes; ``_model[0]`` is the oracle."""
    model = oracle()
    return SemiAmortized(amortized(model, simulate(model, 4), family), model, refinement_training=training, **more)


def batch_of(num: int = 6) -> Batch:
    return all_of(simulate(oracle(), num))


def loss_of(model: nn.Module, guide: nn.Module, batch: Batch, particles: int = 1, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return TraceELBO(particles).terms(model, guide, batch).loss


# --- What it reaches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", slow_after(1, [Diagonal, FullRank]))
def test_lies_between_amortized_and_per_datapoint(family: type[Family]) -> None:
    """The model frozen, the encoder untrained; each difference beyond 5 standard errors."""
    guide = semi(family=family)
    model = guide._model[0]
    data = Dataset(simulate(oracle(), 60))
    found = infer(model, guide.family, data, settings=InferConfig(infer_halvings=4))
    local = PerDatapoint(guide.latents, guide.family, len(data)).double()
    with torch.no_grad():
        local.table.weight.copy_(found.params)
    poor, refined, best = (elbo(model, q, data, 100).elbo.values for q in (guide.proposal, guide, local))
    for difference in (refined - poor, best - refined):
        assert difference.mean() > 5 * difference.std() / len(data) ** 0.5
    assert importance_bound(model, guide, data, 200).mean > refined.mean()


def test_more_steps_reach_further() -> None:
    data = Dataset(simulate(oracle(), 60))
    ends = []
    for num_steps in (1, 20):
        torch.manual_seed(0)
        guide = semi(refinement_steps=num_steps)
        ends.append(elbo(guide._model[0], guide, data, 20).elbo.values)
    difference = ends[1] - ends[0]
    assert difference.mean() > 5 * difference.std() / len(data) ** 0.5


def test_a_step_is_rate_times_the_clipped_gradient() -> None:
    """One step from the proposal, against the gradient of the closed-form part plus one draw's reconstruction."""
    guide = semi(refinement_steps=1, refinement_rate=0.03)
    batch = batch_of()
    start = guide.proposal.params(batch).detach().requires_grad_()
    torch.manual_seed(3)
    program = FamilyProgram(guide.latents, guide.family, start)
    loss = TraceELBO(analytic_kl=True).terms(guide._model[0], program, batch).loss
    (gradient,) = torch.autograd.grad(-loss * 6, start)
    norm = gradient.norm(dim=-1, keepdim=True)
    assert norm.max() > 5  # so that some are clipped
    torch.manual_seed(3)
    with torch.no_grad():
        refined = guide.params(batch)
    torch.testing.assert_close(refined, start.detach() + 0.03 * gradient * (5 / norm).clamp(max=1.0))
    assert ((refined - start).norm(dim=-1) < 0.03 * 5 + 1e-12).all()


# --- unroll -----------------------------------------------------------------------------------------------------------


def central_difference(loss: Callable[[], Tensor], param: Tensor, place: tuple[int, ...], step: float = 1e-6) -> float:
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            param[place] += sign * step
        ends.append(loss().item())
        with torch.no_grad():
            param[place] -= sign * step
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("family", slow_after(1, [FullRank, Diagonal, Planar]))
def test_unroll_differentiates_through_the_refinement(family: type[Family]) -> None:
    """On fixed noise the gradients of encoder and model are the derivatives of the loss that is computed."""
    guide, batch = semi("unroll", family, refinement_steps=3), batch_of()
    model = guide._model[0]
    encoder = guide.proposal.encoder.net[0]
    loss_of(model, guide, batch).backward()
    for param in (encoder.bias, encoder.weight, model.weight, model.log_scale):
        gradient = param.grad
        assert gradient is not None
        assert gradient.abs().max() > 1e-3
        flat = gradient.flatten()
        for number in {0, len(flat) // 2, len(flat) - 1, int(flat.abs().argmax())}:
            place = tuple(int(part) for part in torch.unravel_index(torch.tensor(number), gradient.shape))
            slope = central_difference(lambda: loss_of(model, guide, batch), param, place)
            assert gradient[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_unroll_is_not_the_gradient_at_the_end() -> None:
    """Taking the refinement for constant in λ₀ (a first-order rule) gives another gradient."""
    guide, batch = semi("unroll"), batch_of()
    model, encoder = guide._model[0], guide.proposal.encoder.net[0]
    loss_of(model, guide, batch).backward()
    torch.manual_seed(3)
    refined = guide.params(batch).detach().requires_grad_()
    loss = TraceELBO().terms(model, FamilyProgram(guide.latents, guide.family, refined), batch).loss
    (at_the_end,) = torch.autograd.grad(loss, refined)
    first_order = torch.autograd.grad(guide.proposal.params(batch), encoder.bias, at_the_end)[0]
    assert (first_order - encoder.bias.grad).abs().max() > 0.05 * encoder.bias.grad.abs().max()


# --- separate ---------------------------------------------------------------------------------------------------------


def test_separate_gives_the_encoder_its_own_bounds_gradient() -> None:
    guide, batch = semi("separate"), batch_of()
    model = guide._model[0]
    loss_of(model, guide, batch).backward()
    found = [param.grad for param in guide.proposal.parameters()]
    torch.manual_seed(3)
    guide.params(batch)  # the refinement's draws come first
    loss = TraceELBO(analytic_kl=True).terms(model, guide.proposal, batch).loss
    expected = torch.autograd.grad(loss, list(guide.proposal.parameters()))
    for a, b in zip(found, expected, strict=True):
        assert b.abs().max() > 1e-3
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_separate_gives_the_model_the_gradient_at_the_refined_parameters() -> None:
    guide, batch = semi("separate"), batch_of()
    model = guide._model[0]
    loss = loss_of(model, guide, batch)
    loss.backward()
    torch.manual_seed(3)
    refined = guide.params(batch)
    assert not refined.requires_grad
    assert (refined - guide.proposal.params(batch)).abs().max() > 0.1
    guide.proposal.q(batch).rsample()  # the proposal's bound takes one
    again = TraceELBO().terms(model, FamilyProgram(guide.latents, guide.family, refined), batch).loss
    assert loss.item() == pytest.approx(again.item(), rel=1e-12)  # the bound's gradient adds nothing to the value
    expected = torch.autograd.grad(again, list(model.parameters()))
    for param, b in zip(model.parameters(), expected, strict=True):
        assert b.abs().max() > 1e-3
        torch.testing.assert_close(param.grad, b, rtol=1e-12, atol=1e-12)


def test_the_two_ways_differ() -> None:
    gradients = []
    for training in TRAININGS:
        torch.manual_seed(0)
        guide = semi(training)
        loss_of(guide._model[0], guide, batch_of(), particles=50).backward()
        gradients.append(guide.proposal.encoder.net[0].bias.grad)
    assert (gradients[0] - gradients[1]).abs().max() > 0.05 * gradients[0].abs().max()


# --- As a guide -------------------------------------------------------------------------------------------------------


@every_training
def test_the_models_parameters_are_not_the_guides(training: Training) -> None:
    guide = semi(training)
    model = guide._model[0]
    assert {id(param) for param in guide.parameters()}.isdisjoint(id(param) for param in model.parameters())
    assert len(list(guide.parameters())) == len(list(guide.proposal.parameters())) == 2
    assert all(name.startswith("proposal.") for name in guide.state_dict())
    assert guide.family is guide.proposal.family


@every_training
def test_gradients_stay_where_they_belong(training: Training) -> None:
    """Refining and evaluating leave no gradient anywhere, and every switch as it was."""
    guide = semi(training)
    model, batch = guide._model[0], batch_of()
    model.mean.requires_grad_(False)
    flags = [param.requires_grad for param in model.parameters()]
    with torch.no_grad():
        guide.params(batch)
    guide.params(batch)
    elbo(model, guide, Dataset(batch.x), 2)
    loss_of(model, guide, batch)
    assert [param.requires_grad for param in model.parameters()] == flags
    assert not flags[1]
    assert all(param.requires_grad for param in guide.parameters())
    assert all(param.grad is None for program in (model, guide) for param in program.parameters())


def test_switches_are_put_back_when_the_model_fails() -> None:
    class Failing(LinearGaussian):
        def forward(self, batch: Batch) -> Tensor:
            raise RuntimeError("on purpose")

    model = Failing((5,), 3).double()
    guide = SemiAmortized(semi().proposal, model, refinement_training="separate")
    with pytest.raises(RuntimeError, match="on purpose"):
        guide.params(batch_of())
    assert all(param.requires_grad for param in model.parameters())
    assert torch.is_grad_enabled()


@every_training
def test_no_grad_changes_no_value(training: Training) -> None:
    guide, batch = semi(training), batch_of()
    torch.manual_seed(3)
    with_grad = guide.params(batch)
    torch.manual_seed(3)
    with torch.no_grad():
        without = guide.params(batch)
    assert with_grad.requires_grad == (training == "unroll")
    assert not without.requires_grad
    torch.testing.assert_close(without, with_grad.detach(), rtol=1e-12, atol=1e-12)


@every_training
@pytest.mark.parametrize("particles", [1, 4])
def test_is_pyros_trace_elbo(training: Training, particles: int) -> None:
    """Pyro's loss and gradients on the same noise, under K samples too."""
    guide, batch = semi(training), batch_of()
    model = guide._model[0]
    check_pair(model, guide, batch)
    params = [*model.parameters(), *guide.parameters()]
    torch.manual_seed(3)
    theirs = Trace_ELBO(num_particles=particles, vectorize_particles=True, max_plate_nesting=1)
    expected = theirs.loss_and_grads(model, guide, batch)
    gradients = [param.grad.clone() for param in params]
    for param in params:
        param.grad = None
    loss = loss_of(model, guide, batch, particles) * len(batch.x)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    for param, gradient in zip(params, gradients, strict=True):
        assert gradient.abs().max() > 1e-3
        torch.testing.assert_close(param.grad, gradient, rtol=1e-8, atol=1e-10)


@every_training
def test_pyros_svi_moves_every_parameter(training: Training) -> None:
    guide = semi(training)
    model, params = guide._model[0], [*guide._model[0].parameters(), *guide.parameters()]
    before = [param.detach().clone() for param in params]
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())
    for _ in range(2):
        svi.step(batch_of())
    assert not any(torch.equal(a, b) for a, b in zip(before, params, strict=True))


# The other's gradients are looked at below, and that it learns by the conformance suite.
@pytest.mark.parametrize("training", slow_after(1, TRAININGS))
def test_fit_learns_the_encoder(training: Training) -> None:
    """With the model frozen, the proposal's own bound and the refined one both rise."""
    guide = semi(training)
    model, data = guide._model[0].requires_grad_(False), Dataset(simulate(oracle(), 64))
    before = [elbo(model, q, data, 20).elbo.mean for q in (guide.proposal, guide)]
    fit(
        model,
        guide,
        data,
        settings=FitConfig(epochs=20, batch_size=32, optimizer=OptimizerConfig(learning_rate=6e-3), device="cpu"),
    )
    after = [elbo(model, q, data, 20).elbo.mean for q in (guide.proposal, guide)]
    assert all(b > a + 0.5 for a, b in zip(before, after, strict=True))
    assert not any(param.requires_grad for param in model.parameters())


@every_training
def test_two_latents(training: Training) -> None:
    """An auxiliary vector behind the sites, no closed-form KL."""
    model = TwoLatents()
    x = torch.linspace(-1, 2, 24).cos().mul(2).reshape(6, 4)
    proposal: Amortized = amortized(model, x)
    guide = SemiAmortized(proposal, model, refinement_training=training)
    check_pair(model, guide, all_of(x))
    loss_of(model, guide, all_of(x)).backward()
    assert all(param.grad is not None and param.grad.abs().max() > 0 for param in guide.parameters())
    poor, refined = (elbo(model, q, Dataset(x), 400).elbo.values for q in (proposal, guide))
    assert (refined - poor).mean() > 0.5


def test_separate_training_reaches_an_encoder_that_the_prior_shares() -> None:
    """A VampPrior's encoder is the model's too, which the proposal's bound holds constant."""
    family = Diagonal(2)
    prior = VampPrior(family, Encoder((3, 4), 4, (8,)), torch.full((3, 4), 0.3), num_components=4)
    model = VAE(Decoder(2, (3, 4), (8,)), 2, prior=prior)
    proposal = Amortized(Latents.of(model, all_of(bits(2))), family, prior.encoder)
    guide = SemiAmortized(proposal, model, refinement_steps=2, refinement_training="separate")
    guide._proposal_bound(all_of(bits(6))).backward()
    assert all(param.grad is not None and param.grad.abs().max() > 0 for param in prior.encoder.parameters())
    assert prior.raw_inputs.grad is None
    assert all(param.grad is None for param in model.decoder.parameters())
