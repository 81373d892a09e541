"""Objectives: Pyro's numbers on the same noise, the oracle's in closed form, gradients that vanish at the optimum."""

import math
from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.distributions.testing import fakes
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from ppl_vae import Batch, UserError
from ppl_vae.guides import Diagonal, FullRank, LowRank
from ppl_vae.objectives.elbo import Objective, TraceELBO, kl_weight_at, require_closed_forms
from ppl_vae.programs.program import Program
from tests.pairs import (
    ExactGuide,
    PriorGuide,
    TwoLatents,
    all_of,
    amortized,
    bits,
    gradients,
    optimal,
    oracle,
    simulate,
    vae_pair,
)

# --- Pyro's loss and gradients, on the same noise ---------------------------------------------------------------------


class ScoreGuide(Program):
    """A guide without a reparameterised sample: its gradients come from the score function."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 2)
        self.log_scale = nn.Parameter(torch.tensor([-0.3, 0.2]))

    def forward(self, batch: Batch) -> None:
        loc = self.linear(batch.x.flatten(1))
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", fakes.NonreparameterizedNormal(loc, self.log_scale.exp()).to_event(1))


class MixedModel(Program):
    """Two real latents, for a guide that reparameterises only one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 12)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            a = pyro.sample("a", dist.Normal(torch.tensor(0.5), 1.0))
            b = pyro.sample("b", dist.Normal(a, 0.7))
            logits = self.linear(torch.stack([a, b], -1)).unflatten(-1, (3, 4))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class MixedGuide(Program):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 2)

    def forward(self, batch: Batch) -> None:
        first, second = self.linear(batch.x.flatten(1)).unbind(-1)
        with pyro.plate("data", len(batch.x), dim=-1):
            a = pyro.sample("a", fakes.NonreparameterizedNormal(first, 0.8))
            pyro.sample("b", dist.Normal(second + 0.3 * a, 0.6))


def two_latents(family: type) -> tuple[nn.Module, nn.Module, Tensor]:
    model = TwoLatents()
    x = torch.randn(7, 4)
    return model, amortized(model, x, family), x


PAIRS = {
    "vae diagonal": lambda: (*vae_pair(Diagonal), bits(7)),
    "vae full-rank": lambda: (*vae_pair(FullRank), bits(7)),
    "two constrained latents, diagonal": lambda: two_latents(Diagonal),
    "two constrained latents, full-rank": lambda: two_latents(FullRank),
    "score function": lambda: (vae_pair()[0], ScoreGuide(), bits(7)),
    "score function and pathwise": lambda: (MixedModel(), MixedGuide(), bits(7)),
}


def pyros(kind: type, num_particles: int) -> pyro.infer.ELBO:
    # The nesting is given: Pyro would find it out by running the pair, which spends random numbers.
    return kind(num_particles=num_particles, vectorize_particles=True, max_plate_nesting=1)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("num_particles", [1, 3])
def test_loss_and_gradients_are_trace_elbos(pair: str, num_particles: int) -> None:
    model, guide, x = PAIRS[pair]()
    batch = all_of(x)
    torch.manual_seed(1)
    expected = pyros(Trace_ELBO, num_particles).loss_and_grads(model, guide, batch)
    expected_gradients = gradients(model, guide)
    assert all(gradient.abs().max() > 1e-4 for gradient in expected_gradients)
    torch.manual_seed(1)
    terms = TraceELBO(num_particles).terms(model, guide, batch)
    terms.loss.backward()
    assert -terms.elbo.sum().item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close([7 * gradient for gradient in gradients(model, guide)], expected_gradients)


@pytest.mark.parametrize("num_particles", [1, 3])
def test_analytic_kl_is_trace_mean_field_elbos(num_particles: int) -> None:
    model, guide, x = PAIRS["vae diagonal"]()
    batch = all_of(x)
    torch.manual_seed(1)
    expected = pyros(TraceMeanField_ELBO, num_particles).loss_and_grads(model, guide, batch)
    expected_gradients = gradients(model, guide)
    torch.manual_seed(1)
    terms = TraceELBO(num_particles, analytic_kl=True).terms(model, guide, batch)
    terms.loss.backward()
    assert -terms.elbo.sum().item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close([7 * gradient for gradient in gradients(model, guide)], expected_gradients)


def exact_kl(q: dist.TorchDistribution) -> Tensor:
    """KL(q ‖ N(0, I)) of any Gaussian: ½ (tr Σ + μᵀμ − D − log|Σ|)."""
    size = q.event_shape[0]
    covariance = torch.diag_embed(q.variance) if isinstance(q, dist.Independent) else q.covariance_matrix
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return 0.5 * (trace + (q.mean**2).sum(-1) - size - torch.logdet(covariance)).detach()


@pytest.mark.parametrize("family", [Diagonal, FullRank, LowRank])
def test_analytic_kl_is_exact_and_leaves_no_noise_in_it(family: type) -> None:
    model, guide = vae_pair(family, latent_dim=3)
    batch = all_of(bits(7))
    analytic, sampled = TraceELBO(analytic_kl=True), TraceELBO()
    torch.testing.assert_close(analytic.terms(model, guide, batch).kl, exact_kl(guide.q(batch)))
    assert torch.equal(analytic.terms(model, guide, batch).kl, analytic.terms(model, guide, batch).kl)
    assert not torch.equal(sampled.terms(model, guide, batch).kl, sampled.terms(model, guide, batch).kl)


@pytest.mark.parametrize("pair", ["two constrained latents, diagonal", "score function and pathwise"])
def test_without_a_closed_form_the_kl_keeps_its_estimate(pair: str) -> None:
    """Mapped latents, and a latent whose q depends on a draw of another: a site's KL is not the ELBO's term there."""
    model, guide, x = PAIRS[pair]()
    expected = None
    for analytic_kl in (False, True):
        torch.manual_seed(1)
        terms = TraceELBO(2, analytic_kl=analytic_kl).terms(model, guide, all_of(x))
        if pair.startswith("two"):
            expected = expected if expected is not None else terms.kl
            torch.testing.assert_close(terms.kl, expected)
        assert terms.kl.isfinite().all()
    if pair.startswith("two"):
        with pytest.raises(UserError, match=r"site 'rate': .*no closed form"):
            require_closed_forms(model, guide, all_of(x))


def trained(pair: str, loss: pyro.infer.ELBO, take_steps: Callable[..., list[float]]) -> list[Tensor]:
    """Losses of three steps, and the parameters after them."""
    torch.manual_seed(5)
    model, guide, x = PAIRS[pair]()
    before = [param.detach().clone() for param in guide.parameters()]
    torch.manual_seed(2)
    losses = take_steps(model, guide, loss, all_of(x))
    assert all(math.isfinite(value) for value in losses)
    assert not any(torch.equal(a, b) for a, b in zip(before, guide.parameters(), strict=True))
    return [torch.tensor(losses), *(param.detach() for param in (*model.parameters(), *guide.parameters()))]


def svi_steps(model: nn.Module, guide: nn.Module, loss: pyro.infer.ELBO, batch: Batch) -> list[float]:
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=loss)
    return [float(svi.step(batch)) for _ in range(3)]


def torch_steps(model: nn.Module, guide: nn.Module, loss: pyro.infer.ELBO, batch: Batch) -> list[float]:
    """Pyro's way with parameters that live in modules: the ELBO as a module, and torch's optimizer."""
    bound = loss(model, guide)
    optimizer = torch.optim.Adam(bound.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        value = bound(batch)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@pytest.mark.parametrize("pair", ["vae diagonal", "score function"])
def test_is_one_of_pyros_elbos(pair: str) -> None:
    # The loss that is differentiated has another value where there is a score function; its gradients are the same.
    ours, theirs = (trained(pair, loss, torch_steps) for loss in (TraceELBO(2), pyros(Trace_ELBO, 2)))
    torch.testing.assert_close(ours[1:], theirs[1:])


@pytest.mark.parametrize("pair", ["vae diagonal", "score function"])
def test_works_as_the_loss_of_pyros_svi(pair: str) -> None:
    ours, theirs = (trained(pair, loss, svi_steps) for loss in (TraceELBO(2), pyros(Trace_ELBO, 2)))
    torch.testing.assert_close(ours, theirs)


def test_pyros_conventions_loss_is_a_sum_over_the_batch() -> None:
    model, guide = vae_pair()
    batch, ours = all_of(bits(7)), TraceELBO()
    values = []
    for evaluate in (ours.loss, ours.differentiable_loss, ours.loss_and_grads):
        torch.manual_seed(1)
        values.append(evaluate(model, guide, batch).detach())
    torch.manual_seed(1)
    expected = -ours.terms(model, guide, batch).elbo.sum()
    torch.testing.assert_close(values, [expected] * 3)
    assert not ours.loss(model, guide, batch).requires_grad


def test_a_name_that_nothing_reads_any_more_is_not_passed_over() -> None:
    with pytest.raises(UserError, match="Old has a method `bounds`, which nothing calls: it is `parts` now"):
        type("Old", (TraceELBO,), {"bounds": lambda *_: None})


def test_an_objective_without_terms_cannot_be_made() -> None:
    class Incomplete(Objective):
        pass

    with pytest.raises(TypeError, match="terms"):
        Incomplete()


class ReversedGuide(PyroModule):
    """Samples the latents of :class:`MixedModel` from the last to the first, each given the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 2)

    def forward(self, batch: Batch) -> None:
        first, second = self.linear(batch.x.flatten(1)).unbind(-1)
        with pyro.plate("data", len(batch.x), dim=-1):
            b = pyro.sample("b", dist.Normal(second, 0.6))
            pyro.sample("a", dist.Normal(first + 0.8 * b, 0.5))


def test_latents_in_another_order_have_no_closed_form() -> None:
    """KL(q(a | b) ‖ p(a)) + KL(q(b) ‖ p(b | a)) is not the ELBO's KL."""
    model, guide, batch = MixedModel(), ReversedGuide(), all_of(bits(7))
    found = []
    for analytic_kl in (False, True):
        torch.manual_seed(1)
        found.append(TraceELBO(2, analytic_kl=analytic_kl).terms(model, guide, batch).kl)
    torch.testing.assert_close(*found)


# --- The oracle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_particles", [1, 3])
@pytest.mark.parametrize("make_guide", [ExactGuide, lambda model: optimal(model, FullRank)], ids=["exact", "amortized"])
def test_exact_guide_gives_log_px_for_any_draw(make_guide, num_particles: int) -> None:
    model = oracle()
    x = simulate(model, 20)
    objective = TraceELBO(num_particles)
    for rows in (slice(None), slice(0, 1), slice(3, 11)):  # full batch, one datapoint, a minibatch
        terms = objective.terms(model, make_guide(model), all_of(x[rows]))
        torch.testing.assert_close(terms.elbo, model.log_px(x[rows]).detach(), rtol=0.0, atol=1e-10)
        torch.testing.assert_close(terms.loss, -model.log_px(x[rows]).mean(), rtol=0.0, atol=1e-10)
    wrong = objective.terms(model, PriorGuide(3, 1.0), all_of(x)).elbo
    assert (wrong - model.log_px(x)).abs().min() > 1e-3


def paired_error(values: Tensor) -> tuple[float, float]:
    """Mean and standard error."""
    return values.mean().item(), values.std().item() / values.numel() ** 0.5


@pytest.mark.parametrize("analytic_kl", [False, True])
def test_best_diagonal_guide_loses_exactly_the_known_gap(analytic_kl: bool) -> None:
    model = oracle()
    x = simulate(model, 50)
    with torch.no_grad():
        objective = TraceELBO(2000, analytic_kl=analytic_kl)
        lost = model.log_px(x) - objective.terms(model, optimal(model, Diagonal), all_of(x)).elbo
    mean, error = paired_error(lost)
    gap = model.best_diagonal_gap().item()
    assert error < 0.01 * gap
    assert abs(mean - gap) < 5 * error


def test_analytic_and_sampled_kl_have_the_same_mean() -> None:
    model = oracle()
    x = simulate(model, 50)
    guide = amortized(model, x)
    with torch.no_grad():
        sampled = TraceELBO(4000).terms(model, guide, all_of(x))
        analytic = TraceELBO(1, analytic_kl=True).terms(model, guide, all_of(x))
    mean, error = paired_error(sampled.kl - analytic.kl)
    assert error < 0.02 < 0.1 * analytic.kl.mean()
    assert abs(mean) < 5 * error


class PointGuide(PyroModule):
    """No noise at all: z = Ax. Its ELBO is not −∞, for a Delta's log-density counts as 0."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3).double()

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Delta(self.linear(batch.x)).to_event(1))


def test_a_partitions_minibatches_average_to_the_full_batch() -> None:
    """Loss, gradients and the values of every datapoint, exactly, where there is no noise; uneven parts."""
    model, guide = oracle(), PointGuide()
    x = simulate(model, 11)
    objective = TraceELBO()
    whole = objective.terms(model, guide, all_of(x))
    whole.loss.backward()
    expected = gradients(model, guide)
    values = []
    for part in x.split([4, 4, 3]):
        terms = objective.terms(model, guide, all_of(part))
        (terms.loss * len(part) / len(x)).backward()
        values.append(terms.elbo)
    torch.testing.assert_close(gradients(model, guide), expected)
    torch.testing.assert_close(torch.cat(values), whole.elbo, rtol=0.0, atol=1e-12)
    assert expected[0].abs().max() > 0.1


@pytest.mark.parametrize(
    ("analytic_kl", "family"),
    [
        (False, Diagonal),
        (True, FullRank),
        pytest.param(True, Diagonal, marks=pytest.mark.slow),
        pytest.param(False, FullRank, marks=pytest.mark.slow),
    ],
)
def test_the_guides_gradient_vanishes_at_its_optimum(family: type, analytic_kl: bool) -> None:
    """The mean of 100 noisy gradients is 0 within 5 of its standard errors; a step away from the optimum it is not."""
    model = oracle()
    batch = all_of(simulate(model, 50))
    guide = optimal(model, family)
    objective = TraceELBO(8, analytic_kl=analytic_kl)

    def worst() -> float:
        draws = []
        for _ in range(100):
            guide.zero_grad()
            objective.terms(model, guide, batch).loss.backward()
            draws.append(torch.cat([param.grad.flatten() for param in guide.parameters()]))
        drawn = torch.stack(draws)
        # Coordinates whose gradient is 0 at every draw have no error to divide by, only rounding.
        return (drawn.mean(0) / (drawn.std(0) / len(drawn) ** 0.5 + 1e-9)).abs().max().item()

    assert worst() < 5
    with torch.no_grad():
        guide.encoder.net[0].bias.add_(0.1)
    assert worst() > 10


@pytest.mark.parametrize("analytic_kl", [False, True])
def test_gradcheck(analytic_kl: bool) -> None:
    """The gradient is the loss's own, the noise held fixed."""
    model, guide = oracle(3, 2), amortized(oracle(3, 2), torch.zeros(2, 3, dtype=torch.float64), FullRank)
    batch = all_of(simulate(model, 4))
    params = (*model.parameters(), *guide.parameters())

    def loss(*_: Tensor) -> Tensor:
        torch.manual_seed(3)
        return TraceELBO(2, analytic_kl=analytic_kl).terms(model, guide, batch, kl_weight=0.7).loss

    assert torch.autograd.gradcheck(loss, params)


# --- The parts and the weight of the KL -------------------------------------------------------------------------------


@pytest.mark.parametrize("analytic_kl", [False, True])
def test_parts_are_the_expectations_that_they_are_called(analytic_kl: bool) -> None:
    model, guide = vae_pair(Diagonal)
    batch = all_of(bits(7))
    torch.manual_seed(1)
    terms = TraceELBO(1, analytic_kl=analytic_kl).terms(model, guide, batch)
    torch.manual_seed(1)
    q = guide.q(batch)
    z = q.rsample()
    log_likelihood = -nn.functional.binary_cross_entropy_with_logits(model.decoder(z), batch.x, reduction="none")
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    kl = kl_divergence(q.base_dist, prior.base_dist).sum(-1) if analytic_kl else q.log_prob(z) - prior.log_prob(z)
    torch.testing.assert_close(terms.reconstruction, log_likelihood.sum((-1, -2)).detach())
    torch.testing.assert_close(terms.kl, kl.detach())
    assert torch.equal(terms.elbo, terms.reconstruction - terms.kl)
    assert not any(part.requires_grad for part in terms[1:])


@pytest.mark.parametrize("pair", ["score function", "score function and pathwise", "vae full-rank"])
def test_the_loss_has_the_objectives_value(pair: str) -> None:
    """Also where its gradient comes from a surrogate."""
    model, guide, x = PAIRS[pair]()
    terms = TraceELBO(3).terms(model, guide, all_of(x), kl_weight=0.4)
    torch.testing.assert_close(terms.loss.detach(), -(terms.reconstruction - 0.4 * terms.kl).mean())


@pytest.mark.parametrize("pair", ["vae diagonal", "two constrained latents, diagonal"])
@pytest.mark.parametrize("analytic_kl", [False, True])
def test_kl_weight_multiplies_the_kls_gradient_only(pair: str, analytic_kl: bool) -> None:
    """∇loss(β) = ∇loss(0) + β (∇loss(1) − ∇loss(0)), on the same noise; the reported ELBO does not know β."""
    model, guide, x = PAIRS[pair]()
    batch, objective = all_of(x), TraceELBO(2, analytic_kl=analytic_kl)

    def at(weight: float | Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        torch.manual_seed(1)
        terms = objective.terms(model, guide, batch, kl_weight=weight)
        terms.loss.backward()
        return terms.loss.detach(), gradients(model, guide), terms.elbo

    reconstruction, full = at(0.0), at(1.0)
    terms = objective.terms(model, guide, batch)
    assert not torch.allclose(reconstruction[0], full[0])
    for weight in (0.3, 2.5, torch.tensor(0.3)):
        loss, found, elbo = at(weight)
        mixed = [r + weight * (f - r) for r, f in zip(reconstruction[1], full[1], strict=True)]
        torch.testing.assert_close(found, mixed, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(loss, reconstruction[0] + weight * (full[0] - reconstruction[0]))
        assert torch.equal(elbo, full[2])
    torch.manual_seed(1)
    terms = objective.terms(model, guide, batch, kl_weight=0.3)
    torch.testing.assert_close(terms.loss, -(terms.reconstruction - 0.3 * terms.kl).mean())


@pytest.mark.slow
def test_kl_weight_is_honoured_by_the_score_function() -> None:
    """E of the score-function gradient is that of the reparameterised one, at β = 0.3 and 5 standard errors."""
    torch.manual_seed(4)
    model, score = vae_pair()[0], ScoreGuide()

    class Pathwise(ScoreGuide):
        def forward(self, batch: Batch) -> None:
            with pyro.plate("data", len(batch.x), dim=-1):
                loc = self.linear(batch.x.flatten(1))
                pyro.sample("z", dist.Normal(loc, self.log_scale.exp()).to_event(1))

    pathwise = Pathwise()
    pathwise.load_state_dict(score.state_dict())
    batch = all_of(bits(3))

    def draws(guide: nn.Module, weight: float) -> Tensor:
        found = []
        for _ in range(150):
            guide.zero_grad()
            TraceELBO(64).terms(model, guide, batch, kl_weight=weight).loss.backward()
            found.append(torch.cat([param.grad.flatten() for param in guide.parameters()]))
        return torch.stack(found)

    def distance(a: Tensor, b: Tensor) -> float:
        error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt() + 1e-9
        return ((a.mean(0) - b.mean(0)) / error).abs().max().item()

    reference = draws(pathwise, 0.3)
    assert distance(draws(score, 0.3), reference) < 5
    assert distance(draws(pathwise, 1.0), reference) > 10


@pytest.mark.parametrize(
    ("step", "warmup", "final", "expected"),
    [
        (0, 0, 1.0, 1.0),
        (0, 10, 1.0, 0.1),
        (4, 10, 1.0, 0.5),
        (9, 10, 1.0, 1.0),
        (10_000, 10, 1.0, 1.0),
        (4, 10, 0.5, 0.25),
        (4, 10, 4.0, 2.0),
        (3, 10, 0.0, 0.0),
    ],
)
def test_warm_up(step: int, warmup: int, final: float, expected: float) -> None:
    assert kl_weight_at(step, warmup, final) == pytest.approx(expected)


# --- Other pairs than ours --------------------------------------------------------------------------------------------


def test_a_model_that_does_not_depend_on_the_particle() -> None:
    """A latent that nothing reads: the observation's density has no particle dimension and is broadcast."""

    class Idle(PyroModule):
        def forward(self, batch: Batch) -> None:
            with pyro.plate("data", len(batch.x), dim=-1):
                pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Bernoulli(torch.full((3, 4), 0.3)).to_event(2), obs=batch.x)

    _, guide = vae_pair()
    x = bits(5)
    terms = TraceELBO(4).terms(Idle(), guide, all_of(x))
    expected = dist.Bernoulli(0.3).log_prob(x).sum((-1, -2))
    torch.testing.assert_close(terms.reconstruction, expected)
    assert terms.kl.shape == (5,)
