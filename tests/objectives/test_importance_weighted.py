"""The K-sample bound and its two gradient estimators: on the same noise, against quadrature, for every guide."""

import math
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions.testing import fakes
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions import Normal

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import importance_bound
from ppl_vae.guides import Amortized, Diagonal, FullRank, Guide, InverseAutoregressive, Planar, Point, SemiAmortized
from ppl_vae.models import LinearGaussian
from ppl_vae.networks.dense import positive
from ppl_vae.objectives.elbo import Objective, TraceELBO
from ppl_vae.objectives.importance_weighted import ImportanceWeighted
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import log_weights
from ppl_vae.programs.rows import RowTable, collect_leaves, tables_of
from ppl_vae.runtime.seeding import stream
from ppl_vae.testing import Case
from ppl_vae.training import objective_of
from tests.conformance import CASES
from tests.marks import slow_after
from tests.pairs import (
    TwoLatents,
    all_of,
    amortized,
    bits,
    gradients,
    optimal,
    oracle,
    simulate,
    stripes_data,
    vae_pair,
)


def iwae(num_particles: int) -> ImportanceWeighted:
    return ImportanceWeighted(num_particles)


def dreg(num_particles: int) -> ImportanceWeighted:
    return ImportanceWeighted(num_particles, doubly_reparameterised=True)


both = pytest.mark.parametrize("kind", [iwae, dreg])


def flat_gradient(
    objective: Objective, model: nn.Module, guide: nn.Module, batch: Batch, kl_weight: float = 1.0, part: str = "both"
) -> Tensor:
    """One gradient of the loss for all parameters, as a vector; ``part`` chooses the model's or the guide's."""
    objective.terms(model, guide, batch, kl_weight).loss.backward()
    found = {"model": gradients(model), "guide": gradients(guide)}
    chosen = found["model"] + found["guide"] if part == "both" else found[part]
    return torch.cat([gradient.flatten() for gradient in chosen])


def distance(draws: Tensor, expected: Tensor | float = 0.0) -> float:
    """How many standard errors the mean of the draws ``(draws, size)`` is off, at the worst coordinate."""
    error = draws.std(0) / len(draws) ** 0.5
    # Coordinates that are the same at every draw, up to rounding, have no error to divide by.
    return ((draws.mean(0) - expected).abs() / (error + 1e-9)).max().item()


# --- On the same noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
def test_one_particle_is_the_elbo(kl_weight: float) -> None:
    model = oracle()
    x = simulate(model, 7)
    for family in (Diagonal, FullRank):
        guide, found = amortized(model, x, family), []
        for objective in (TraceELBO(1), iwae(1)):
            torch.manual_seed(1)
            terms = objective.terms(model, guide, all_of(x), kl_weight)
            terms.loss.backward()
            found.append((terms._replace(loss=terms.loss.detach()), gradients(model, guide)))
        torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)
        assert found[0][1][-1].abs().max() > 1e-3


@both
def test_what_is_reported(kind: Callable[[int], ImportanceWeighted]) -> None:
    """The bound is of KL weight 1, the loss of the weight given; nothing but the loss carries a gradient."""
    model, guide = vae_pair()
    batch, objective = all_of(bits(5)), kind(4)
    torch.manual_seed(1)
    log_w = log_weights(model, guide, batch, 4).detach()
    torch.manual_seed(1)
    terms = objective.terms(model, guide, batch, kl_weight=0.3)
    torch.testing.assert_close(terms.bound, log_w.logsumexp(0) - math.log(4))
    torch.testing.assert_close(terms.elbo, log_w.mean(0))
    assert torch.equal(terms.elbo, terms.reconstruction - terms.kl)
    assert (terms.bound > terms.elbo).all()
    assert not any(part.requires_grad for part in terms[1:])
    assert (terms.loss + terms.bound.mean()).abs() > 1e-2
    torch.manual_seed(1)
    torch.testing.assert_close(objective.terms(model, guide, batch).loss, -terms.bound.mean())
    for evaluate in (objective.loss, objective.loss_and_grads, objective.differentiable_loss):
        torch.manual_seed(1)
        torch.testing.assert_close(evaluate(model, guide, batch).detach(), -terms.bound.sum())


def test_the_losses_kl_weight_is_inside_the_logsumexp() -> None:
    model, guide = vae_pair()
    x = bits(5)
    torch.manual_seed(1)
    q = guide.q(all_of(x))
    z = q.rsample((4,))
    log_p = -nn.functional.binary_cross_entropy_with_logits(model.decoder(z), x.expand(4, -1, -1, -1), reduction="none")
    kl = q.log_prob(z) - Normal(0.0, 1.0).log_prob(z).sum(-1)
    expected = -((log_p.sum((-1, -2)) - 0.3 * kl).logsumexp(0) - math.log(4)).mean()
    for objective in (iwae(4), dreg(4)):
        torch.manual_seed(1)
        torch.testing.assert_close(objective.terms(model, guide, all_of(x), kl_weight=0.3).loss, expected)


SOME = [case for case in CASES if case.name.startswith(("vae,", "two-latents,"))]


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_every_guide_has_both(case: Case) -> None:
    """The loss is the log-mean of the weights, the same for both; every parameter has a finite gradient, not 0."""
    model, guide = case.double().pair()
    with torch.no_grad():
        for param in (*model.parameters(), *guide.parameters()):
            param.add_(0.02 * torch.randn_like(param))
    batch, seed = case.double().batch(), 3
    torch.manual_seed(seed)
    expected = log_weights(model, guide, batch, 3).logsumexp(0).detach() - math.log(3)
    after = torch.get_rng_state()
    for objective in (iwae(3), dreg(3)):
        torch.manual_seed(seed)
        terms = objective.terms(model, guide, batch)
        assert torch.equal(torch.get_rng_state(), after)  # the second run draws nothing
        torch.testing.assert_close(terms.bound, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(terms.loss.detach(), -expected.mean(), rtol=1e-9, atol=1e-9)
        terms.loss.backward()
        for name, param in [*model.named_parameters(), *guide.named_parameters()]:
            assert param.grad is not None, name
            assert param.grad.isfinite().all(), name
            assert param.grad.abs().max() > 0, name
            assert param.requires_grad, name
            param.grad = None


# --- The gradient's expectation, by quadrature ------------------------------------------------------------------------


def tiny() -> tuple[LinearGaussian, Amortized, Tensor]:
    """One latent, three datapoints, a guide far from the posterior: a bound that quadrature can integrate."""
    model = oracle(2, 1)
    x = torch.tensor([[0.3, 2.0], [-1.5, 0.4], [1.1, -0.7]], dtype=torch.float64)
    guide = amortized(model, x)
    with torch.no_grad():
        guide.encoder.net[0].weight.copy_(torch.tensor([[0.4, -0.3], [0.1, 0.2]]))
        guide.encoder.net[0].bias.copy_(torch.tensor([0.2, -0.1]))
    return model, guide, x


def exact_loss(model: LinearGaussian, guide: Amortized, x: Tensor, particles: int, kl_weight: float) -> Tensor:
    """−E[log 1/K Σₖ wₖ], averaged over x, by Gauss–Hermite quadrature over the K noises; differentiable."""
    nodes, node_weights = (torch.tensor(part) for part in np.polynomial.hermite_e.hermegauss(32))
    loc, raw_scale = guide.encoder(x).chunk(2, -1)  # (batch, 1) each
    scale = positive(raw_scale)
    z = loc + scale * nodes  # (batch, nodes)
    mean = z.unsqueeze(-1) * model.weight.squeeze(-1) + model.mean  # (batch, nodes, 2)
    likelihood = Normal(mean, model.log_scale.exp()).log_prob(x.unsqueeze(1)).sum(-1)
    kl = Normal(loc, scale).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    log_w = likelihood - kl_weight * kl  # (batch, nodes)
    log_sum = log_w
    total = node_weights / node_weights.sum()
    weight = total
    for _ in range(particles - 1):  # (batch, nodes, …, nodes): every combination of the K noises
        log_sum = torch.logaddexp(log_sum.unsqueeze(-1), log_w.reshape(len(x), *(1,) * (log_sum.dim() - 1), -1))
        weight = weight.unsqueeze(-1) * total
    return -((log_sum - math.log(particles)) * weight).flatten(1).sum(1).mean()


@pytest.mark.parametrize("kl_weight", slow_after(1, [0.4, 1.0]))
@pytest.mark.parametrize("particles", slow_after(1, [3, 2]))
@both
def test_the_gradient_is_the_bounds(
    kind: Callable[[int], ImportanceWeighted], particles: int, kl_weight: float
) -> None:
    """60,000 draws of each datapoint's gradient, for the model and the guide; that of another K is far off."""
    model, guide, x = tiny()
    loss = exact_loss(model, guide, x, particles, kl_weight)
    loss.backward()
    exact = torch.cat([gradient.flatten() for gradient in gradients(model, guide)])
    batch = all_of(x.repeat(1500, 1))
    draws = torch.stack([flat_gradient(kind(particles), model, guide, batch, kl_weight) for _ in range(40)])
    assert distance(draws, exact) < 5
    fewer = torch.stack([flat_gradient(kind(particles - 1), model, guide, batch, kl_weight) for _ in range(40)])
    assert distance(fewer[:, : exact.numel() - 6], exact[:-6]) > 10  # the model's
    assert distance(fewer[:, -6:], exact[-6:]) > 10  # the guide's


def test_quadrature_knows_the_elbo() -> None:
    """K = 1, where the bound is known in closed form."""
    model, guide, x = tiny()
    with torch.no_grad():
        elbo = TraceELBO(100_000, analytic_kl=True).terms(model, guide, all_of(x)).elbo.mean()
        assert exact_loss(model, guide, x, 1, 1.0).item() == pytest.approx(-elbo.item(), abs=0.02)


# --- What double reparameterisation is for ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_guides_gradient_has_less_noise() -> None:
    model = oracle()
    x = simulate(model, 20)
    guide = optimal(model, FullRank)
    with torch.no_grad():  # near the posterior, not at it
        guide.encoder.net[0].bias.add_(0.1)

    def variance(objective: Objective) -> float:
        draws = torch.stack([flat_gradient(objective, model, guide, all_of(x), part="guide") for _ in range(100)])
        return draws.var(0).sum().item()

    assert variance(dreg(50)) < 0.1 * variance(iwae(50))


def test_at_the_posterior_the_guides_gradient_vanishes() -> None:
    model = oracle()
    batch = all_of(simulate(model, 20))
    guide = optimal(model, FullRank)
    assert flat_gradient(iwae(5), model, guide, batch, part="guide").abs().max() > 1e-3
    assert flat_gradient(dreg(5), model, guide, batch, part="guide").abs().max() < 1e-8
    assert flat_gradient(dreg(5), model, guide, batch, part="model").abs().max() > 1e-3


# --- Both estimators have one expectation, whatever the guide ---------------------------------------------------------


class Chain(PyroModule):
    """z1 ~ N(0.5, 1), z2 ~ N(z1, 0.7²), x of both."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 12)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            first = pyro.sample("z1", dist.Normal(torch.tensor(0.5), 1.0))
            second = pyro.sample("z2", dist.Normal(first, 0.7))
            logits = self.linear(torch.stack([first, second], -1)).unflatten(-1, (3, 4))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class ChainGuide(PyroModule):
    """q(z1 | x) q(z2 | z1, x), its scales parameters that the distributions hold themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 2)
        self.pull = nn.Parameter(torch.tensor(0.6))
        self.scales = nn.ParameterList([torch.tensor(0.8), torch.tensor(0.5)])

    def forward(self, batch: Batch) -> None:
        loc = self.linear(batch.x.flatten(1))
        with pyro.plate("data", len(batch.x), dim=-1):
            first = pyro.sample("z1", dist.Normal(loc[:, 0], self.scales[0]))
            pyro.sample("z2", dist.Normal(loc[:, 1] + self.pull * first, self.scales[1]))


class TiedGuide(PyroModule):
    """Reads the decoder's weights: parameters of the model and of the guide at once."""

    def __init__(self, model: Chain) -> None:
        super().__init__()
        self.tied = [model.linear]

    def forward(self, batch: Batch) -> None:
        linear = self.tied[0]
        loc = (batch.x.flatten(1) - torch.sigmoid(linear.bias)) @ linear.weight
        with pyro.plate("data", len(batch.x), dim=-1):
            first = pyro.sample("z1", dist.Normal(loc[:, 0], 0.8))
            pyro.sample("z2", dist.Normal(loc[:, 1] + 0.6 * first, linear.bias[0].exp()))


class ScaledGuide(PyroModule):
    """A Gaussian by hand: noise, its image under a map with parameters, the map's log-determinant as a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.with_factor = nn.Linear(12, 4), True

    def forward(self, batch: Batch) -> None:
        loc, log_scale = self.linear(batch.x.flatten(1)).chunk(2, -1)
        with pyro.plate("data", len(batch.x), dim=-1):
            standard = dist.Normal(torch.zeros(2, dtype=loc.dtype), 1.0).to_event(1)
            noise = pyro.sample("noise", standard, infer={"is_auxiliary": True})
            if self.with_factor:
                pyro.factor("log_det", -log_scale.sum(-1), has_rsample=True)
                density = torch.zeros_like(log_scale[..., 0])
            else:
                density = -log_scale.sum(-1)
            pyro.sample("z", dist.Delta(loc + log_scale.exp() * noise, density, event_dim=1))


def two_latents() -> tuple[nn.Module, nn.Module, Tensor]:
    model = TwoLatents()
    x = torch.linspace(-1, 2, 8).cos().mul(2).reshape(2, 4)
    return model, amortized(model, x, FullRank), x


def chain_tied() -> tuple[nn.Module, nn.Module, Tensor]:
    model = Chain()
    return model, TiedGuide(model), bits(2)


def semi_amortized(training: str) -> tuple[nn.Module, nn.Module, Tensor]:
    model, proposal = vae_pair()
    return model, SemiAmortized(proposal, model, refinement_steps=1, refinement_training=training), bits(2)


GUIDES: dict[str, Callable[[], tuple[nn.Module, nn.Module, Tensor]]] = {
    "diagonal": lambda: (*vae_pair(Diagonal), bits(2)),
    "full-rank": lambda: (*vae_pair(FullRank), bits(2)),
    "planar": lambda: (*vae_pair(lambda size: Planar(size, num_maps=2)), bits(2)),
    "iaf": lambda: (*vae_pair(lambda size: InverseAutoregressive(size, iaf_maps=2, iaf_hidden=8)), bits(2)),
    "mapped latents": two_latents,
    "hierarchical": lambda: (Chain(), ChainGuide(), bits(2)),
    "shared parameters": chain_tied,
    "semi-amortized": lambda: semi_amortized("unroll"),
    "semi-amortized, separate": lambda: semi_amortized("separate"),
}


@pytest.mark.parametrize(
    "guide_name",
    slow_after(2, GUIDES),
)
def test_one_expectation(guide_name: str) -> None:
    """On the same noise the mean difference of the two gradients is 0 within 5 of its standard errors; K = 1 is not."""
    model, guide, x = GUIDES[guide_name]()
    model.double()
    guide.double()
    batch = all_of(x.double().repeat(300, *(1 for _ in x.shape[1:])))

    def draws(objective: Objective, part: str = "both") -> Tensor:
        torch.manual_seed(2)
        return torch.stack([flat_gradient(objective, model, guide, batch, 0.7, part) for _ in range(30)])

    assert distance(draws(iwae(3)) - draws(dreg(3))) < 5
    if guide_name == "shared parameters":
        assert (draws(iwae(3)) - draws(dreg(3))).abs().max() > 1e-3  # the difference is one of noise, not of nothing
    else:
        part = "model" if guide_name.endswith("separate") else "guide"  # its encoder has the side loss's alone
        assert distance(draws(iwae(1), part) - draws(dreg(3), part)) > 10


@pytest.mark.parametrize("with_factor", [True, False])
def test_maps_with_parameters_are_left_to_iwae(with_factor: bool) -> None:
    """There the density is no function of z alone, and what reaches the parameters besides the draw would be lost."""
    model, guide, batch = vae_pair()[0], ScaledGuide(), all_of(bits(5))
    guide.with_factor = with_factor
    iwae(3).check(model, guide, batch)
    with pytest.raises(UserError, match=r"site '(log_det|z)': .*parameters.*take the objective 'iwae'"):
        dreg(3).check(model, guide, batch)
    for case in GUIDES.values():
        model, guide, x = case()
        dreg(3).check(model, guide, all_of(x))


def test_a_side_loss_counts_once() -> None:
    """What trains a separate encoder is the same gradient under every objective, neither weighted nor counted twice."""
    model, guide, x = semi_amortized("separate")
    found = []
    for objective in (TraceELBO(3), iwae(3), dreg(3)):
        torch.manual_seed(1)
        objective.terms(model, guide, all_of(x)).loss.backward()
        found.append(gradients(guide))
        gradients(model)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[2], found[0], rtol=1e-4, atol=1e-6)
    assert found[0][0].abs().max() > 1e-3


def test_parameters_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, guide = vae_pair()
    calls = []
    guide.encoder.register_forward_hook(lambda *_: calls.append(1))
    dreg(3).terms(model, guide, all_of(bits(5)))
    assert len(calls) == 1


class TableGuide(PyroModule):
    """Reads its table itself, without a word about parameters that a second run might take over."""

    def __init__(self, num_data: int) -> None:
        super().__init__()
        self.table = RowTable(num_data, 2)

    def forward(self, batch: Batch) -> None:
        rows = self.table(batch.index)
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(rows, 0.5).to_event(1))


def test_rows_have_their_leafs_gradient() -> None:
    """A step's leaves, and the table as an ordinary parameter: the same gradient."""
    model, _ = vae_pair()
    guide, batch = TableGuide(6), all_of(bits(6))
    torch.manual_seed(1)
    dreg(3).terms(model, guide, batch).loss.backward()
    torch.manual_seed(1)
    with collect_leaves(tables_of(guide)) as leaves:
        dreg(3).terms(model, guide, batch).loss.backward()
    ((leaf,),) = leaves
    torch.testing.assert_close(leaf.values.grad, guide.table.weight.grad)
    assert leaf.values.grad.abs().min() > 0


# --- Plates, parts of the data, and what is refused -------------------------------------------------------------------


@both
def test_scales_do_not_touch_the_bound_and_masks_do(kind: Callable[[int], ImportanceWeighted]) -> None:
    model, guide = vae_pair()
    batch = all_of(bits(5))

    class Handled(nn.Module):
        def __init__(self, program: nn.Module, handler: poutine.messenger.Messenger) -> None:
            super().__init__()
            self.program, self.handler = program, handler

        def forward(self, batch: Batch) -> None:
            with self.handler:
                self.program(batch)

    def at(handler: Callable[[], poutine.messenger.Messenger]) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        terms = kind(4).terms(Handled(model, handler()), Handled(guide, handler()), batch)
        terms.loss.backward()
        return terms.bound, torch.cat([gradient.flatten() for gradient in gradients(model, guide)])

    plain = at(lambda: poutine.scale(scale=1.0))
    torch.testing.assert_close(at(lambda: poutine.scale(scale=40.0)), plain)
    torch.testing.assert_close(at(lambda: pyro.poutine.mask(mask=torch.tensor(True))), plain)
    kept = torch.tensor([True, False, True, True, False])
    bound, _ = at(lambda: pyro.poutine.mask(mask=kept))
    torch.testing.assert_close(bound, plain[0] * kept)


@both
def test_the_exact_guide_gives_log_px_whatever_part_of_the_data(kind: Callable[[int], ImportanceWeighted]) -> None:
    model = oracle()
    x, guide = simulate(model, 20), optimal(model, FullRank)
    for rows in (slice(None), slice(0, 1), slice(3, 11)):
        terms = kind(3).terms(model, guide, all_of(x[rows]))
        torch.testing.assert_close(terms.bound, model.log_px(x[rows]).detach(), rtol=0.0, atol=1e-9)
        torch.testing.assert_close(terms.loss, -model.log_px(x[rows]).mean(), rtol=0.0, atol=1e-9)
    wrong = kind(3).terms(model, optimal(model, Diagonal), all_of(x)).bound
    assert (wrong - model.log_px(x)).abs().min() > 1e-3


class ScoreGuide(ChainGuide):
    """Its second site has no reparameterised sample."""

    def forward(self, batch: Batch) -> None:
        loc = self.linear(batch.x.flatten(1))
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z1", dist.Normal(loc[:, 0], self.scales[0]))
            pyro.sample("z2", fakes.NonreparameterizedNormal(loc[:, 1], self.scales[1]))


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_a_site_without_a_reparameterised_sample_is_named(name: str) -> None:
    chosen = FitConfig(objective=name, num_particles=3, epochs=1, device="cpu")
    message = "site 'z2': NonreparameterizedNormal has no reparameterised sample.*take the objective 'elbo'"
    with pytest.raises(UserError, match=message):
        objective_of(chosen).terms(Chain(), ScoreGuide(), all_of(bits(5)))
    with pytest.raises(UserError, match=message):
        fit(Chain(), ScoreGuide(), Dataset(bits(5)), settings=chosen)
    fit(Chain(), ChainGuide(), Dataset(bits(5)), settings=chosen)


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_a_point_is_refused(name: str) -> None:
    """Also where it is behind an auxiliary site; images of a draw are no points."""
    chosen = FitConfig(objective=name, num_particles=3, epochs=1, device="cpu")
    two = TwoLatents()
    x = torch.linspace(-1, 2, 24).cos().mul(2).reshape(6, 4)
    for model, guide, data, site in (
        (*vae_pair(Point), bits(5), "z"),
        (two, amortized(two, x, Point), x, "rate"),
    ):
        with pytest.raises(UserError, match=rf"site '{site}': .* point .*no density.*take the objective 'elbo'"):
            fit(model, guide, Dataset(data), settings=chosen)
    fit(two, amortized(two, x), Dataset(x), settings=chosen)


# --- Training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_fit_records_the_bound_that_it_trains(name: str) -> None:
    model, guide = vae_pair()
    validation = stripes_data(40, seed=9)
    chosen = FitConfig(objective=name, num_particles=5, epochs=12, batch_size=16, patience=20, device="cpu")
    history = fit(model, guide, stripes_data(100), validation, chosen)
    for metrics in history:
        assert metrics.bound > metrics.elbo + 1e-3
        assert metrics.elbo == metrics.reconstruction - metrics.kl
    assert history[-1].bound > history[0].bound + 0.5
    best = max(metrics.validation_bound for metrics in history)
    kept = importance_bound(model, guide, validation, 5, seed=stream(chosen.seed, "validation"))
    assert kept.mean == best


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_one_particle_trains_as_the_elbo_does(name: str) -> None:
    chosen = FitConfig(objective=name, num_particles=1, epochs=2, device="cpu")
    with pytest.warns(UserWarning, match="is the ELBO"):
        history = fit(*vae_pair(), stripes_data(100), settings=chosen)
    assert [metrics.bound for metrics in history] == pytest.approx([metrics.elbo for metrics in history], rel=1e-5)


class Undecided(Guide):
    """Its parameters have noise of their own."""

    def __init__(self, latents: Latents) -> None:
        super().__init__(latents, Diagonal(latents.size))
        self.linear = nn.Linear(12, self.family.num_params)

    def params(self, batch: Batch) -> Tensor:
        params = self.linear(batch.x.flatten(1))
        return params + 0.5 * torch.randn_like(params)


def test_the_second_run_scores_the_q_that_was_drawn_from() -> None:
    model, _ = vae_pair()
    batch = all_of(bits(5))
    guide = Undecided(Latents.of(model, batch))
    found = []
    for objective in (iwae(3), dreg(3)):
        torch.manual_seed(1)
        found.append(objective.terms(model, guide, batch).bound)
    torch.testing.assert_close(*found)
