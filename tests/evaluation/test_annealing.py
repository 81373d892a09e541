"""Annealing against the oracle: unbiased in both directions, a bracket around log p(x) that closes."""

import math
from functools import cache
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch, UserError
from ppl_vae.data import Dataset
from ppl_vae.diagnostics.calibration import simulate as simulated
from ppl_vae.estimates import Estimate
from ppl_vae.evaluation import annealing, hmc, importance_bound
from ppl_vae.evaluation.annealed import Annealed
from ppl_vae.evaluation.annealing import (
    AnnealingConfig,
    annealed_importance_bound,
    reverse_annealed_bound,
    temperatures,
)
from ppl_vae.guides import (
    Diagonal,
    Family,
    FullRank,
    Guide,
    InverseAutoregressive,
    LowRank,
    PerDatapoint,
    Planar,
    SemiAmortized,
)
from ppl_vae.models import ConditionalVAE, LinearGaussian
from ppl_vae.networks.dense import Decoder
from ppl_vae.programs.latents import Latents
from tests.marks import slow_after
from tests.pairs import TwoLatents, all_of, amortized, optimal, oracle, simulate, stripes_data, vae_pair

SHORT = AnnealingConfig(temperatures=4, leapfrog=2)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), values.std().item() / len(values) ** 0.5


def large(latent_dim: int) -> LinearGaussian:
    """The oracle at a latent size of interest, half as many observed numbers again, noise of a half."""
    torch.manual_seed(1)
    size = latent_dim + latent_dim // 2
    model = LinearGaussian((size,), latent_dim).double()
    with torch.no_grad():
        model.weight.copy_(torch.randn(size, latent_dim) / latent_dim**0.5)
        model.mean.copy_(torch.linspace(-1.0, 1.0, size))
        model.log_scale.fill_(math.log(0.5))
    return model


def from_the_model(model: LinearGaussian, num: int) -> tuple[Dataset, Tensor]:
    """Data and the latents that it was made from, which are exact posterior draws."""
    data, truth = simulated(model, model.event_shape, num, seed=1_234_567)
    return data, truth["z"]


# --- The bracket ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latent_dim", "start", "schedule", "few"),
    [
        (16, "prior", "linear", 6),
        pytest.param(16, "guide", "linear", 2, marks=pytest.mark.slow),
        pytest.param(64, "prior", "sigmoid", 6, marks=pytest.mark.slow),
        pytest.param(64, "guide", "sigmoid", 2, marks=pytest.mark.slow),  # a diagonal q is nearer to begin with
    ],
)
def test_bracket_holds_log_px_and_closes(latent_dim: int, start: Any, schedule: Any, few: int) -> None:
    model = large(latent_dim)
    data, posterior = from_the_model(model, 100 if latent_dim == 16 else 40)
    guide = optimal(model, Diagonal)
    exact = model.log_px(data.x).detach()
    gaps = []
    for count in (few, 36):
        settings = AnnealingConfig(temperatures=count, leapfrog=3, start=start, schedule=schedule)
        lower = annealed_importance_bound(model, guide, data, 4, settings).log_px.values - exact
        upper = reverse_annealed_bound(model, guide, data, posterior, 4, settings).log_px.values - exact
        for sign, values in ((1, lower), (-1, upper)):
            mean, error = mean_and_error(sign * values)
            assert mean < 5 * error
        gaps.append(upper - lower)
    mean, error = mean_and_error(gaps[0])
    assert mean > 5 * error  # a few temperatures are far off
    closed, error = mean_and_error(gaps[0] - gaps[1])
    assert closed > 5 * error
    assert gaps[1].mean() < 0.5 * mean


@pytest.mark.slow
@pytest.mark.parametrize("latent_dim", [16, 64])
def test_importance_bound_is_below(latent_dim: int) -> None:
    """The other ruler: in 64 dimensions a diagonal proposal leaves it nats below, where annealing arrives."""
    model = large(latent_dim)
    data, _ = from_the_model(model, 40)
    guide = optimal(model, Diagonal)
    exact = model.log_px(data.x).detach()
    few, many = (importance_bound(model, guide, data, count).values - exact for count in (1, 500))
    assert mean_and_error(few)[0] < -0.5 * model.best_diagonal_gap().item()
    assert mean_and_error(many - few)[0] > 5 * mean_and_error(many - few)[1]
    assert mean_and_error(many)[0] < 5 * mean_and_error(many)[1]
    if latent_dim == 64:
        assert mean_and_error(many)[0] < -1
        settings = AnnealingConfig(temperatures=36, leapfrog=3, start="guide")
        annealed = annealed_importance_bound(model, guide, data, 4, settings).log_px.values - exact
        difference, error = mean_and_error(annealed - many)
        assert difference > 3 * error


# --- E[w] = p(x), E[1/w] = 1/p(x) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize(("start", "scale"), [("prior", 1.2), ("guide", 0.5)])
@pytest.mark.parametrize("count", [1, 6])
def test_weights_are_unbiased(
    monkeypatch: pytest.MonkeyPatch, latent_dim: int, start: Any, scale: float, count: int
) -> None:
    """Over thousands of datapoints with one chain each: w / p(x) upwards, p(x) / (1/w) downwards, have mean one."""
    model = oracle(3, latent_dim, scale)
    data, posterior = from_the_model(model, 6000)
    guide = optimal(model, Diagonal)
    with torch.no_grad():  # wider than the posterior and beside it, so that there is something to correct
        guide.encoder.net[0].bias += torch.tensor([0.1] * latent_dim + [0.5] * latent_dim, dtype=torch.float64)
    monkeypatch.setattr(hmc, "FIRST_STEP_SIZE", 0.5)  # long ones, of which some are refused
    exact = model.log_px(data.x).detach()
    settings = AnnealingConfig(temperatures=count, leapfrog=2, start=start)
    lower = annealed_importance_bound(model, guide, data, 1, settings)
    upper = reverse_annealed_bound(model, guide, data, posterior, 1, settings)
    for ratio in ((lower.log_px.values - exact).exp(), (exact - upper.log_px.values).exp()):
        mean, error = mean_and_error(ratio)
        assert abs(mean - 1) < 5 * error
        assert 1e-3 < error < 0.1
    assert count == 1 or lower.acceptance < 0.98


@pytest.mark.parametrize("wrong", ["always accepted", "from the wrong temperature"])
def test_a_wrong_transition_is_seen(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    model = oracle(3, 2, 0.3)
    data, posterior = from_the_model(model, 6000)
    exact = model.log_px(data.x).detach()
    settings = AnnealingConfig(temperatures=6, leapfrog=2)
    monkeypatch.setattr(hmc, "FIRST_STEP_SIZE", 0.4)

    def ratios() -> list[Tensor]:
        lower = annealed_importance_bound(model, None, data, 1, settings).log_px.values - exact
        upper = reverse_annealed_bound(model, None, data, posterior, 1, settings).log_px.values - exact
        return [lower.exp(), (-upper).exp()]

    def furthest() -> float:
        return max(abs(mean - 1) / error for mean, error in map(mean_and_error, ratios()))

    assert furthest() < 5
    if wrong == "always accepted":
        monkeypatch.setattr(hmc, "_where", lambda accepted, new, old: new)
    else:
        transition = hmc.transition
        monkeypatch.setattr(hmc, "transition", lambda path, state, beta, *rest: transition(path, state, 1.0, *rest))
    assert furthest() > 5


# --- Step sizes -------------------------------------------------------------------------------------------------------


def step_sizes_of(monkeypatch: pytest.MonkeyPatch, run: Any) -> Tensor:
    found = []
    anneal = annealing._anneal

    def spy(path: hmc.Path, vector: Tensor, betas: Tensor, step_sizes: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        found.append(step_sizes)
        return anneal(path, vector, betas, step_sizes, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(annealing, "_anneal", spy)
        run()
    (sizes,) = found
    return sizes


def test_step_sizes_know_nothing_of_the_chains_that_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the posterior draw; else the kernels would lean on it, and the upper bound would be none."""
    model = oracle()
    data, posterior = from_the_model(model, 5)
    settings = AnnealingConfig(temperatures=12, leapfrog=3)
    sizes = [
        step_sizes_of(monkeypatch, lambda at=at: reverse_annealed_bound(model, None, data, at, 3, settings))
        for at in (posterior, posterior + 3.0)
    ]
    assert torch.equal(sizes[0], sizes[1])
    assert sizes[0].shape == (11, 5)
    assert sizes[0].std() > 0.001  # they have been adapted
    upwards = step_sizes_of(monkeypatch, lambda: annealed_importance_bound(model, None, data, 3, settings))
    assert torch.equal(upwards, sizes[0].flip(0))  # the pilots are the same, and the same step belongs to a density


@pytest.mark.slow
def test_step_sizes_belong_to_their_temperatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The posterior is narrower than the prior, so steps shorten on the way up."""
    model = oracle(scale=0.05)
    data, _ = from_the_model(model, 20)
    settings = AnnealingConfig(temperatures=80, leapfrog=5)
    sizes = step_sizes_of(monkeypatch, lambda: annealed_importance_bound(model, None, data, 4, settings))
    assert sizes[-1].mean() < 0.6 * sizes[5].mean()


def test_pilots_and_progress() -> None:
    for count, pilot in ((1, 1), (10, 10), (100, 50), (1000, 200)):
        settings = AnnealingConfig(temperatures=count)
        assert (settings.pilot, settings.total) == (pilot, count + pilot)
    model = oracle()
    data, posterior = from_the_model(model, 5)
    done = list[int]()
    annealed_importance_bound(model, None, data, 2, SHORT, advance=done.append)
    assert sum(done) == 5 * SHORT.total
    reverse_annealed_bound(model, None, data, posterior, 2, SHORT, advance=done.append)
    assert sum(done) == 2 * 5 * SHORT.total


# --- Temperatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "sigmoid"])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_temperatures_rise_from_zero_to_one(schedule: str, count: int) -> None:
    betas = temperatures(count, schedule)
    assert betas.shape == (count + 1,)
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (betas.diff() > 0).all()
    torch.testing.assert_close(betas + betas.flip(0), torch.ones(count + 1, dtype=torch.float64))


def test_sigmoid_is_denser_at_both_ends() -> None:
    steps = temperatures(100, "sigmoid").diff()
    assert steps[0] < 0.01 / 5 < 0.01 < steps[50]
    torch.testing.assert_close(temperatures(4, "linear"), torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64))


# --- Guides as starts -------------------------------------------------------------------------------------------------


def semi_amortized(training: Any = "unroll") -> tuple[nn.Module, nn.Module]:
    model, guide = vae_pair()
    return model, SemiAmortized(guide, model, refinement_steps=2, refinement_training=training)


STARTS = {
    "diagonal": lambda: vae_pair(Diagonal),
    "low-rank": lambda: vae_pair(LowRank),
    "full-rank": lambda: vae_pair(FullRank),
    "planar": lambda: vae_pair(Planar),
    "iaf": lambda: vae_pair(InverseAutoregressive),
    "semi-amortized": semi_amortized,
    "semi-amortized, separate": lambda: semi_amortized("separate"),
}


@cache
def from_the_prior() -> Estimate:
    """Under the model that all of these share."""
    settings = AnnealingConfig(temperatures=40, leapfrog=5)
    return annealed_importance_bound(vae_pair()[0], None, stripes_data(12, dynamic=False), 16, settings).log_px


@pytest.mark.parametrize(
    "name",
    # The rest are families with an encoder like the diagonal, or the refinement with another training.
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("low-rank", "planar", "semi-amortized, separate")))
        for name in STARTS
    ],
)
def test_every_guide_can_be_the_start(name: str) -> None:
    """From nowhere near log p(x) before training, all arrive within a nat of where the prior's chains do."""
    model, guide = STARTS[name]()
    with torch.no_grad():
        for param in guide.parameters():
            param.mul_(1.5)
    data = stripes_data(12, dynamic=False)
    settings = AnnealingConfig(temperatures=12, leapfrog=3, start="guide")
    found = annealed_importance_bound(model, guide, data, 4, settings)
    assert found.log_px.values.shape == (12,)
    assert found.log_px.values.dtype == torch.float32
    assert abs((found.log_px - from_the_prior()).mean) < 0.5
    assert 0 < found.acceptance <= 1


class Noisy(Guide):
    """A guide whose parameters come of noise, as a refinement's do, and that counts how often they are asked for."""

    def __init__(self, latents: Latents, family: Family) -> None:
        super().__init__(latents, family)
        self.calls = 0

    def params(self, batch: Batch) -> Tensor:
        self.calls += 1
        return torch.randn(len(batch.x), self.family.num_params, dtype=batch.x.dtype)


def test_q_is_the_same_throughout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn anew at every temperature it would be no density: then E[w] is not p(x)."""
    model = oracle(3, 1, 1.2)
    data, _ = from_the_model(model, 4000)
    exact = model.log_px(data.x).detach()
    settings = AnnealingConfig(temperatures=5, leapfrog=2, start="guide")
    guide = Noisy(Latents.of(model, data.probe()), Diagonal(1))
    ratios = (annealed_importance_bound(model, guide, data, 1, settings).log_px.values - exact).exp()
    # One to see that it runs, one that it is no point, one for all of the annealing, three to see that q is drawn.
    assert guide.calls == 6
    # The guide is at times far too narrow, so the weights' tail is heavy: their logarithms are bounded, not their mean.
    assert mean_and_error(ratios.log())[0] < 5 * mean_and_error(ratios.log())[1]
    assert ratios.isfinite().all()
    monkeypatch.setattr(annealing, "Recall", lambda calls: annealing.Remember())
    annealed_importance_bound(model, guide, data, 1, settings)
    assert guide.calls > 10


def test_auxiliary_draws_are_refused_only_where_the_guide_is_the_start() -> None:
    class Auxiliary(PyroModule):
        def forward(self, batch: Batch) -> None:
            one = torch.ones((), dtype=torch.float64)
            with pyro.plate("data", len(batch.x), dim=-1):
                u = pyro.sample("u", dist.Normal(0 * one, one), infer={"is_auxiliary": True})
                pyro.sample("z", dist.Normal(u.unsqueeze(-1) * torch.ones(3).double(), one).to_event(1))

    model = oracle()
    data, _ = from_the_model(model, 4)
    assert annealed_importance_bound(model, Auxiliary(), data, 2, SHORT).log_px.values.isfinite().all()
    with pytest.raises(UserError, match="site 'u'"):
        annealed_importance_bound(model, Auxiliary(), data, 2, AnnealingConfig(temperatures=4, start="guide"))


def test_rows_of_others_are_refused_only_where_the_guide_is_the_start() -> None:
    model = oracle()
    data, _ = from_the_model(model, 6)
    guide = PerDatapoint(Latents.of(model, data.probe()), Diagonal(3), 3).double()
    assert annealed_importance_bound(model, guide, data, 2, SHORT).log_px.values.isfinite().all()
    with pytest.raises(UserError, match="has rows for datapoints 0 to 2"):
        annealed_importance_bound(model, guide, data, 2, AnnealingConfig(temperatures=4, start="guide"))


# --- Other models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "start"), slow_after(1, [(torch.float64, "prior"), (torch.float32, "guide")]))
def test_constrained_latents_are_bracketed(dtype: torch.dtype, start: Any) -> None:
    """Nobody knows log p(x) here in closed form; the importance bound of very many prior draws comes close enough."""
    model = TwoLatents().to(dtype)
    data, truth = simulated(model, (4,), 60, seed=5)
    latents = Latents.of(model, data.probe())
    guide = PerDatapoint(latents, FullRank(3), 60, data.first).to(
        dtype
    )  # the neutral q, N(0, I) in the unconstrained space
    settings = AnnealingConfig(temperatures=14, leapfrog=3, start=start)
    with torch.no_grad():
        rate, mix = torch.distributions.Gamma(2.0, 1.0).sample((50_000,)), model.concentration.float()
        loc = rate.unsqueeze(-1) * (torch.distributions.Dirichlet(mix).sample((50_000,)) @ model.weight.float())
        log_likelihood = torch.distributions.Normal(loc.unsqueeze(1), 0.5).log_prob(data.x.float()).sum(-1)
    reference = log_likelihood.logsumexp(0) - math.log(50_000)
    lower = annealed_importance_bound(model, guide, data, 8, settings).log_px.values
    upper = reverse_annealed_bound(model, guide, data, latents.flattened(truth), 8, settings).log_px.values
    assert lower.dtype == upper.dtype == dtype
    for values in (reference - lower, upper - reference):
        mean, error = mean_and_error(values.double())
        assert -5 * error < mean < 0.5 + 5 * error


def test_labels_reach_a_conditional_model() -> None:
    model = ConditionalVAE(Decoder(2, (3, 4), (), num_classes=3), 2, 3)
    with torch.no_grad():
        model.decoder.net[0].weight.mul_(6.0)
    y = torch.tensor([0, 1, 2] * 20)
    data, truth = simulated(model, (3, 4), 60, y)
    settings = AnnealingConfig(temperatures=20, leapfrog=3)
    lower = annealed_importance_bound(model, None, data, 4, settings).log_px
    upper = reverse_annealed_bound(model, None, data, truth["z"], 4, settings).log_px
    wrong = annealed_importance_bound(model, None, Dataset(data.x, (y + 1) % 3), 4, settings).log_px
    assert (lower - wrong).mean > 5 * (lower - wrong).stderr
    assert -5 * (upper - lower).stderr < (upper - lower).mean < 2


# --- What it leaves alone, what it repeats ----------------------------------------------------------------------------


def bounds_of(model: LinearGaussian, guide: nn.Module, data: Dataset, posterior: Tensor, seed: int) -> list[Tensor]:
    settings = AnnealingConfig(temperatures=4, leapfrog=2, start="guide")
    annealed: list[Annealed] = [
        annealed_importance_bound(model, guide, data, 3, settings, seed=seed),
        reverse_annealed_bound(model, guide, data, posterior, 3, settings, seed=seed),
    ]
    return [each.log_px.values for each in annealed]


def test_a_seed_repeats_it() -> None:
    model = oracle()
    data, posterior = from_the_model(model, 5)
    guide = amortized(model, data.x)
    torch.manual_seed(1)
    first = bounds_of(model, guide, data, posterior, 0)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, other = (bounds_of(model, guide, data, posterior, seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for one, same, different in zip(first, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, different)


def test_dynamic_data_has_the_bits_that_every_estimator_sees() -> None:
    model, _ = vae_pair()
    data = stripes_data(6)
    found = annealed_importance_bound(model, None, data, 2, SHORT, seed=3).log_px.values
    assert torch.equal(found, annealed_importance_bound(model, None, data.fixed(3), 2, SHORT, seed=3).log_px.values)
    with pytest.raises(ValueError, match="fixed data"):
        reverse_annealed_bound(model, None, data, torch.zeros(6, 2), 2, SHORT)


def test_programs_are_left_as_they_were() -> None:
    model = oracle()
    data, posterior = from_the_model(model, 4)
    guide = amortized(model, data.x)
    guide.encoder.eval()
    before = [{name: value.clone() for name, value in program.state_dict().items()} for program in (model, guide)]
    bounds_of(model, guide, data, posterior, 0)
    assert model.training
    assert guide.training
    assert not guide.encoder.training
    for program, state in zip((model, guide), before, strict=True):
        assert all(param.grad is None and param.requires_grad for param in program.parameters())
        assert all(torch.equal(state[name], value) for name, value in program.state_dict().items())
    posterior_before = posterior.clone()
    reverse_annealed_bound(model, None, data, posterior, 2, SHORT)
    assert torch.equal(posterior, posterior_before)


@pytest.mark.slow
def test_several_calls_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    model = oracle()
    data, posterior = from_the_model(model, 30)
    exact = model.log_px(data.x).detach()
    assert exact.std() > 1.5
    monkeypatch.setattr(annealing, "_CALL_ELEMENTS", 12 * 16 * 5)  # twelve datapoints of five numbers, sixteen chains
    settings = AnnealingConfig(temperatures=16, leapfrog=4)
    lower = annealed_importance_bound(model, None, data, 16, settings).log_px.values
    upper = reverse_annealed_bound(model, None, data, posterior, 16, settings).log_px.values
    for values in (lower, upper):
        assert values.shape == (30,)
        assert (values - exact).std() < 0.5 * (values.flip(0) - exact).std()


def test_one_temperature_is_importance_sampling_from_the_start() -> None:
    """No transition, hence no acceptance: the exact posterior as a start gives log p(x) to rounding, either way."""
    model = oracle()
    data, posterior = from_the_model(model, 8)
    guide = optimal(model, FullRank)
    exact = model.log_px(data.x).detach()
    settings = AnnealingConfig(temperatures=1, start="guide")
    for found in (
        annealed_importance_bound(model, guide, data, 3, settings),
        reverse_annealed_bound(model, guide, data, posterior, 3, settings),
    ):
        assert math.isnan(found.acceptance)
        torch.testing.assert_close(found.log_px.values, exact, rtol=0.0, atol=1e-9)
    prior = annealed_importance_bound(model, None, data, 3, AnnealingConfig(temperatures=1)).log_px.values
    assert (exact - prior).mean() > 1


def test_more_chains_are_closer() -> None:
    model = oracle()
    data = Dataset(simulate(model, 200))
    one, many = (annealed_importance_bound(model, None, data, count, SHORT).log_px for count in (1, 32))
    assert (many - one).mean > 5 * (many - one).stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_chains": 0}, UserError, "`num_chains`: must be greater than 0, got 0"),
        ({"settings": AnnealingConfig(temperatures=4, start="guide")}, ValueError, "need one"),
        ({"settings": AnnealingConfig(temperatures=0)}, UserError, "`temperatures`"),
        ({"settings": AnnealingConfig(leapfrog=0)}, UserError, "`leapfrog`"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = oracle()
    data, posterior = from_the_model(model, 3)
    with pytest.raises(error, match=message):
        annealed_importance_bound(model, None, data, **arguments)
    with pytest.raises(error, match=message):
        reverse_annealed_bound(model, None, data, posterior, **arguments)


def test_a_guide_of_all_latents_is_asked_for_the_batch_it_knows() -> None:
    """Rows are addressed by the datapoints' numbers, which begin anywhere."""
    model = oracle()
    x = simulate(model, 6)
    data = Dataset(x, first=100)
    guide = PerDatapoint(Latents.of(model, all_of(x)), FullRank(3), 6, 100).double()
    exact = optimal(model, FullRank).params(all_of(x)).detach()
    with torch.no_grad():
        guide.table.weight.copy_(exact)
    found = annealed_importance_bound(model, guide, data, 2, AnnealingConfig(temperatures=3, start="guide"))
    torch.testing.assert_close(found.log_px.values, model.log_px(x).detach(), rtol=0.0, atol=1e-9)


@pytest.mark.slow
def test_compiled_densities_take_draws_of_any_layout() -> None:
    """A guide's draws may be a transposed view; what is compiled is compiled for one layout."""

    def path(vector: Tensor) -> tuple[Tensor, Tensor]:
        return -vector.square().sum(-1), -(vector - 1).abs().sum(-1)

    transposed = torch.randn(4, 6, 3, dtype=torch.float64).transpose(0, 1)  # (chains, batch, D)
    captured = hmc.CapturedPath(path, transposed)
    for vector in (transposed, transposed.contiguous()):
        for mine, plain in zip(hmc.evaluate(captured, vector), hmc.evaluate(path, vector), strict=True):
            torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)
