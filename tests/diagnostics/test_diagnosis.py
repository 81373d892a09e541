"""Diagnostics against the oracle's closed forms, and every failure that they are for, made on purpose."""

import json
import math
from importlib import import_module

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import Diagnostics, diagnose
from ppl_vae.diagnostics import aggregate as aggregate_module
from ppl_vae.evaluation.weight_tails import pareto_khat
from ppl_vae.guides import Diagonal, FullRank, PerDatapoint, Point
from ppl_vae.models import LinearGaussian, Model
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import Weighted
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import unit_names
from ppl_vae.testing import Case
from tests.conformance import CASES
from tests.marks import slow_after
from tests.pairs import ExactGuide, PriorGuide, all_of, optimal, oracle, simulate, stripes_data, vae_pair

ROUNDING = {"rtol": 0.0, "atol": 1e-10}


class ScaledGuide(ExactGuide):
    """The oracle's posterior with its scale multiplied, drawn in one piece or through an auxiliary site."""

    def __init__(self, model: LinearGaussian, scale: float = 1.0, *, through_noise: bool = False) -> None:
        super().__init__(model)
        self.scale, self.through_noise = scale, through_noise

    def forward(self, batch: Batch) -> None:
        exact = self.posterior(batch.x)
        scale_tril = self.scale * exact.scale_tril
        with pyro.plate("data", len(batch.x), dim=-1):
            if not self.through_noise:
                pyro.sample("z", dist.MultivariateNormal(exact.loc, scale_tril=scale_tril))
                return
            noise = dist.Normal(torch.zeros_like(exact.loc), 1.0).to_event(1)
            noise = pyro.sample("noise", noise, infer={"is_auxiliary": True})
            z = exact.loc + (scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
            log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            pyro.sample("z", dist.Delta(z, log_density=-log_det, event_dim=1))


def little_information() -> LinearGaussian:
    """An oracle whose z tells little: few datapoints then show all of it."""
    return oracle(latent_dim=2, scale=3.0)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), values.std().item() / len(values) ** 0.5


def information(model: LinearGaussian) -> float:
    """½ log |I + WᵀW/σ²|."""
    return 0.5 * torch.logdet(model._precision()).item()


# --- Importance weights -----------------------------------------------------------------------------------------------


def test_exact_posterior_has_equal_weights() -> None:
    model = oracle()
    for guide in (ExactGuide(model), optimal(model, FullRank)):
        found = diagnose(model, guide, Dataset(simulate(model, 30)), num_samples=200)
        torch.testing.assert_close(found.weights.ess.values, torch.full((30,), 200.0, dtype=torch.float64))
        assert (found.weights.khat == -math.inf).all()
        assert found.weights.unreliable == 0
        torch.testing.assert_close(found.weights.log_px.rise.values, torch.zeros(30, dtype=torch.float64), **ROUNDING)
        assert found.to_dict()["weights"]["khat_median"] is None


def test_narrow_proposal_is_unreliable() -> None:
    """q at s of the posterior's scale: w ∝ exp(½ (1 − s²) ‖ε‖²), whose tail has k = 1 − s², 0.84 and 0.19.

    k̂ is a number beside the others and no warning: what the bound lacks is said by what half of the draws lack.
    """
    model = oracle()
    data = Dataset(simulate(model, 100))
    narrow = diagnose(model, ScaledGuide(model, 0.4), data)
    near = diagnose(model, ScaledGuide(model, 0.9), data)
    assert narrow.weights.khat_quantile(0.5) > 0.7
    assert near.weights.khat_quantile(0.95) < 0.7
    assert narrow.weights.ess.mean < 300 < 700 < near.weights.ess.mean < 1000
    assert not any("k̂" in each for each in (*narrow.warnings, *near.warnings))
    assert narrow.weights.log_px.rise.mean > 10 * near.weights.log_px.rise.mean


def test_parts_are_those_of_the_same_draws() -> None:
    model = oracle()
    data = Dataset(simulate(model, 300))
    found = diagnose(model, ScaledGuide(model, 0.8), data, num_samples=500).weights
    exact = model.log_px(data.x).detach()
    torch.testing.assert_close(found.parts.elbo.values, found.parts.reconstruction.values - found.parts.kl.values)
    # KL of q at 0.8 of the posterior's scale in 3 dimensions.
    lost = 3 * (0.5 * 0.8**2 - 0.5 - math.log(0.8))
    assert abs((exact - found.parts.elbo.values).mean() - lost) < 5 * found.parts.elbo.monte_carlo_stderr
    assert abs((exact - found.log_px.values).mean()) < 5 * found.log_px.monte_carlo_stderr + 0.01  # and a bias below it


def test_ess_is_kishs_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    model = oracle()
    data = Dataset(simulate(model, 3))
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 3.0, 0.0]]).repeat(50, 1).log().double()  # the last has none at all
    served = iter([Weighted(part, torch.zeros_like(part)) for part in (weights[:70], weights[70:])])
    monkeypatch.setattr(import_module("ppl_vae.programs.log_weights"), "_CALL_DRAWS", 210)
    monkeypatch.setattr("ppl_vae.evaluation.weight_tails.weighted_draws", lambda *_: next(served))
    found = diagnose(model, ExactGuide(model), data, num_samples=100).weights
    torch.testing.assert_close(found.ess.values, torch.tensor([100.0, 80.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("shape", [0.3, 0.9, 1.5])
def test_khat_of_pareto_weights(shape: float) -> None:
    """Its own error at 5 000 draws (212 in the tail) is √((1 + k)² / 212)."""
    log_weights = shape * np.random.default_rng(0).exponential(size=(20, 5000))
    error = (1 + shape) / 212**0.5 / 20**0.5
    assert abs(pareto_khat(log_weights).mean() - shape) < 5 * error + 0.02  # and its prior pulls it towards ½


def test_khat_of_degenerate_weights() -> None:
    spread = np.random.default_rng(0).normal(size=100)
    rows = {
        "equal": (np.full(100, -700.0), -math.inf),
        "equal to rounding": (-700 + 1e-5 * spread, -math.inf),
        "none": (np.full(100, -math.inf), math.inf),
        "one draw has all": (np.concatenate([[0.0], np.full(99, -math.inf)]), math.inf),
        "the rest underflows": (5000 * spread, math.inf),
        "not a number": (np.full(100, math.nan), math.inf),
    }
    found = pareto_khat(np.stack([row for row, _ in rows.values()]))
    assert dict(zip(rows, found, strict=True)) == {name: khat for name, (_, khat) in rows.items()}
    half = np.where(np.arange(100) % 2 == 0, spread, -math.inf)  # outside a support, say
    assert math.isfinite(pareto_khat(half[None])[0])


# --- Units ------------------------------------------------------------------------------------------------------------


def marginal_kl(model: LinearGaussian, x: Tensor, variance: Tensor) -> Tensor:
    """KL(N(posterior mean, variance) ‖ N(0, 1)) by unit, ``(N, Q)``."""
    loc = model.posterior(x).loc.detach()
    return 0.5 * (variance + loc**2 - 1 - variance.log())


def test_kl_by_unit() -> None:
    model = oracle()
    x = simulate(model, 200)
    posterior = model.posterior(x)
    diagonal = diagnose(model, optimal(model, Diagonal), Dataset(x), num_samples=100).units
    expected = marginal_kl(model, x, 1 / posterior.precision_matrix.diagonal(dim1=-2, dim2=-1).detach())
    torch.testing.assert_close(diagonal.kl, expected.mean(0), **ROUNDING)
    torch.testing.assert_close(diagonal.kl_stderr, expected.std(0) / 200**0.5, **ROUNDING)
    assert diagonal.methods == {"z": "closed form"}
    assert diagonal.names == ("z1", "z2", "z3")

    full = diagnose(model, ExactGuide(model), Dataset(x), num_samples=100).units
    expected = marginal_kl(model, x, posterior.variance.detach())
    torch.testing.assert_close(full.kl, expected.mean(0), **ROUNDING)
    assert full.methods == {"z": "marginal"}


def test_kl_by_unit_from_draws() -> None:
    """The same Gaussian, its density hidden: 1 / draws too large for each unit, and noise."""
    model = oracle()
    x = simulate(model, 200)
    found = diagnose(model, ScaledGuide(model, through_noise=True), Dataset(x), num_samples=100).units
    expected = marginal_kl(model, x, model.posterior(x).variance.detach()).mean(0)
    assert found.methods == {"z": "moment-matched"}
    # Of one datapoint's KL: √(m² v + v² / 2 + 1 / 2) / √256 with m² < 4 and v < 1, hence below 0.15.
    assert (found.kl - expected - 1 / 256).abs().max() < 5 * 0.15 / 200**0.5
    assert (found.kl > 0.3).all()


class TwoLevels(Model):
    """v ~ N(0, 1), w | v ~ N(v, 1)², x | w ~ N(w, 1)²; also a guide of itself, with its scales doubled."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def forward(self, batch: Batch, *, observe: bool = True) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            v = pyro.sample("v", dist.Normal(0 * self.scale, self.scale))
            w = pyro.sample("w", dist.Normal(v.unsqueeze(-1).expand(*v.shape, 2), self.scale).to_event(1))
            return pyro.sample("x", dist.Normal(w, 1.0).to_event(1), obs=batch.x) if observe else w


class TwoLevelsGuide(TwoLevels):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch, observe=False)


def test_units_of_dependent_sites_add_up() -> None:
    """KL(q(w | v) ‖ p(w | v)) given the same v is that of the scales alone, whatever v."""
    data = Dataset(torch.randn(20, 2, dtype=torch.float64))
    found = diagnose(TwoLevels(), TwoLevelsGuide(2.0), data, num_samples=100)
    each = 0.5 * (4 - 1 - math.log(4))
    torch.testing.assert_close(found.units.kl, torch.full((3,), each, dtype=torch.float64), **ROUNDING)
    assert found.units.names == ("v", "w1", "w2")
    assert found.units.num_active == 0
    # q is one for all x: no information, and the whole KL is the aggregate's; 320 draws of it.
    assert found.aggregate.mutual_information.values.abs().max() < 1e-10
    assert abs(found.aggregate.kl_to_prior.mean - 3 * each) < 5 * found.aggregate.kl_to_prior.stderr


def test_active_units_are_those_that_vary() -> None:
    """The last column of W is 0: nothing is known of z₂, whose posterior is the prior."""
    model = oracle()
    with torch.no_grad():
        model.weight[:, 2] = 0
    x = simulate(model, 200)
    for guide in (optimal(model, Diagonal), ExactGuide(model), ScaledGuide(model, through_noise=True)):
        found = diagnose(model, guide, Dataset(x), num_samples=100).units
        assert found.active.tolist() == [True, True, False]
        assert found.num_active == 2
        variance = model.posterior(x).loc.detach().var(0)
        # Draws of z add noise of variance 1 / 256 to the mean, which is taken off again.
        torch.testing.assert_close(found.variance_of_means, variance, rtol=0.05, atol=2e-3)


# --- The aggregate posterior ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["anybody's", "ours"])
def test_mutual_information(kind: str) -> None:
    """The exact posterior's is that of the model, and its aggregate is the prior: each between its two ends."""
    model = little_information()
    guide = ExactGuide(model) if kind == "anybody's" else optimal(model, FullRank)
    found = diagnose(model, guide, Dataset(simulate(model, 450)), num_samples=100).aggregate
    assert 0.2 < information(model) < 1
    error = found.mutual_information.stderr
    assert error < 0.05
    assert found.mutual_information.mean - 5 * error < information(model)
    assert found.mutual_information_upper.mean + 5 * error > information(model)
    assert abs(found.width) < 2 * math.exp(2 * information(model)) / (2 * 450)  # either bias is about e^2I / 2N
    assert found.kl_to_prior_lower.mean - 5 * found.kl_to_prior_lower.stderr <= 0
    assert found.kl_to_prior.mean + 5 * found.kl_to_prior.stderr > 0
    assert found.num_datapoints == 450
    assert not found.wide


def test_aggregate_is_not_the_prior_on_other_data() -> None:
    """Data moved away: the codes lie elsewhere. KL of the mean q is information + divergence, on the same draws."""
    model = little_information()
    x = simulate(model, 300) + 4.0
    guide = optimal(model, FullRank)
    found = diagnose(model, guide, Dataset(x), num_samples=100).aggregate
    assert found.kl_to_prior.mean > 0.2 + 5 * found.kl_to_prior.stderr
    prior = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    kl = torch.distributions.kl_divergence(model.posterior(x), prior).detach()
    parts = found.mutual_information.values + found.kl_to_prior.values
    difference = parts - kl
    assert abs(difference.mean()) < 5 * difference.std() / 300**0.5


def test_few_datapoints_leave_a_wide_interval_that_holds_the_truth() -> None:
    """More information than log N: the mixture with the draw's own datapoint cannot show it, the other one need not."""
    model = oracle(scale=0.05)
    found = diagnose(model, ExactGuide(model), Dataset(simulate(model, 20)), num_samples=100)
    over_data = found.aggregate
    assert information(model) > 2 * math.log(20)
    assert over_data.mutual_information.mean <= math.log(20) + 1e-12
    assert over_data.mutual_information_upper.mean > information(model) - 5 * over_data.mutual_information_upper.stderr
    assert over_data.kl_to_prior_lower.mean == 0
    assert over_data.wide


@pytest.mark.parametrize("num", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_ends_of_the_information_are_on_either_side_in_expectation(num: int) -> None:
    """Over many data sets: the mean of the lower end is below the truth, that of the upper end above it."""
    model = little_information()
    guide = optimal(model, FullRank)
    torch.manual_seed(0)
    lower, upper = [], []
    for seed in range(60 if num == 30 else 10):
        with torch.no_grad():
            found = aggregate_module.aggregate(model, guide, Dataset(simulate(model, num, seed)))
        lower.append(found.mutual_information.mean)
        upper.append(found.mutual_information_upper.mean)
    for ends, sign in ((lower, -1), (upper, 1)):
        mean, error = mean_and_error(torch.tensor(ends, dtype=torch.float64))
        assert sign * (mean - information(model)) > -4 * error
    if num == 30:  # where the biases can be seen, they are there
        mean, error = mean_and_error(torch.tensor(upper) - torch.tensor(lower))
        assert mean > 5 * error


def test_aggregate_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = little_information()
    data = Dataset(simulate(model, 30))
    for guide in (optimal(model, Diagonal), ExactGuide(model)):
        whole = diagnose(model, guide, data, num_samples=100).aggregate
        with monkeypatch.context() as patch:
            patch.setattr(aggregate_module, "_CALL_ELEMENTS", 7 * 30 * 2)  # 480 draws by sevens
            parts = diagnose(model, guide, data, num_samples=100).aggregate
        torch.testing.assert_close(parts.mutual_information.values, whole.mutual_information.values, **ROUNDING)
        torch.testing.assert_close(parts.kl_to_prior.values, whole.kl_to_prior.values, **ROUNDING)


def test_many_datapoints_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = aggregate_module._spaced(Dataset(torch.arange(10.0).unsqueeze(1), first=100), 4)
    assert batch.x.flatten().tolist() == [0.0, 2.0, 5.0, 7.0]
    assert batch.index.tolist() == [100, 102, 105, 107]
    monkeypatch.setattr(aggregate_module, "MOST_DRAWN", 4)
    model = little_information()
    data = Dataset(simulate(model, 10))
    ours, anybodys = (
        diagnose(model, guide, data, num_samples=100).aggregate
        for guide in (optimal(model, FullRank), ExactGuide(model))
    )
    assert (ours.num_datapoints, len(ours.mutual_information.values)) == (10, 4)  # draws of some in the mixture of all
    assert (anybodys.num_datapoints, len(anybodys.mutual_information.values)) == (4, 4)
    few = diagnose(model, ExactGuide(model), data, num_samples=100, num_datapoints=3)
    assert found_on(few) == 3
    assert few.aggregate.num_datapoints == 4


def found_on(found: Diagnostics) -> int:
    assert found.num_datapoints == len(found.weights.ess.values) == len(found.left_out.where)
    return found.num_datapoints


def test_more_datapoints_in_the_mixture_tell_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same number of draws: I is 3.0 nats, of which 20 datapoints can show 3.0 at most and 2,000 show all."""
    model = oracle(latent_dim=2, scale=0.4)
    guide = optimal(model, FullRank)
    assert 2.5 < information(model) < 3.5
    monkeypatch.setattr(aggregate_module, "MOST_DRAWN", 20)
    x = simulate(model, 2000)
    few, many = (aggregate_module.aggregate(model, guide, Dataset(part)) for part in (x[:20], x))
    assert few.vague
    assert not many.vague
    assert many.width < few.width / 10
    error = many.mutual_information.stderr
    assert (
        many.mutual_information.mean - 5 * error < information(model) < many.mutual_information_upper.mean + 5 * error
    )


class LabelledPrior(Model):
    """z | y ~ N(3y, 1): the prior is another for another label."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(3.0 * batch.y.unsqueeze(-1), 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=batch.x)


def test_a_prior_of_each_datapoints_own() -> None:
    y = torch.tensor([0, 0, 1, 1])
    data = Dataset(torch.randn(4, 1), y)
    model = LabelledPrior()
    latents = Latents.of(model, Batch(data.x, y, torch.arange(4)))
    guide = PerDatapoint(latents, Diagonal(1), 4)
    found = diagnose(model, guide, data, num_samples=100)
    assert found.aggregate.kl_to_prior is None
    assert found.to_dict()["aggregate"]["kl_to_prior"] is None
    assert any("another for each datapoint" in each for each in found.notes)
    same = diagnose(model, guide, Dataset(data.x, torch.zeros_like(y)), num_samples=100)
    assert same.aggregate.kl_to_prior is not None


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def test_posterior_collapse_is_said() -> None:
    model = oracle()
    found = diagnose(model, PriorGuide(3, 1.0), Dataset(simulate(model, 50)), num_samples=100)
    assert found.units.num_active == 0
    torch.testing.assert_close(found.units.kl, torch.zeros(3, dtype=torch.float64), **ROUNDING)
    assert found.aggregate.mutual_information.values.abs().max() < 1e-10
    assert found.warnings[0].startswith("posterior collapse: 0 of 3 units are active")
    assert len(found.warnings) == 1  # that z then tells nothing of x is the same thing


def test_a_training_that_has_not_ended_is_not_called_collapsed() -> None:
    model = oracle()
    found = diagnose(model, PriorGuide(3, 1.0), Dataset(simulate(model, 50)), num_samples=100, unfinished="it rises")
    (words,) = found.warnings
    assert words.startswith("0 of 3 units are active so far")
    assert "That is no posterior collapse: it rises." in words


def test_partial_collapse_is_said() -> None:
    model = LinearGaussian((20,), 15).double()
    with torch.no_grad():
        model.weight.zero_()
        model.weight[:, 3] = 1.0
    found = diagnose(model, optimal(model, Diagonal), Dataset(simulate(model, 100)), num_samples=100)
    assert found.units.active.nonzero().flatten().tolist() == [3]
    assert any(each.startswith("partial posterior collapse: 1 of 15 units") for each in found.warnings)


def test_a_good_pair_has_no_warning() -> None:
    model = little_information()
    assert diagnose(model, optimal(model, FullRank), Dataset(simulate(model, 100)), num_samples=100).warnings == ()


def test_a_point_has_no_density() -> None:
    model, guide = vae_pair(Point)
    done: list[int] = []
    found = diagnose(model, guide, stripes_data(20), num_samples=100, advance=done.append)
    assert found.weights is None
    assert found.aggregate is None
    assert found.units.methods == {"z": "none"}
    assert found.units.kl.isnan().all()
    assert any("no density" in each for each in found.notes)
    assert not any("no density" in each for each in found.warnings)
    assert found.to_dict()["units"]["kl"] == [None, None]
    assert sum(done) == 20


def test_auxiliary_draws_leave_the_weights() -> None:
    model = oracle()
    found = diagnose(model, ScaledGuide(model, through_noise=True), Dataset(simulate(model, 10)), num_samples=100)
    assert found.aggregate is None
    assert any("site 'noise'" in each for each in found.notes)
    assert found.weights.ess.mean == pytest.approx(100)


# --- Any pair ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", slow_after(8, CASES), ids=[case.name for case in CASES])
def test_any_pair(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppl_vae.diagnostics.diagnosis.DRAWS", 8)
    found = diagnose(*case.pair(), Dataset(case.x, case.y), num_samples=100)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert math.isfinite(plain["weights"]["ess"]["mean"])
    # Not below 0 but for the noise of a few draws.
    assert -0.5 <= plain["aggregate"]["mutual_information_lower"]["mean"] <= math.log(6) + 1e-6
    assert math.isfinite(plain["aggregate"]["kl_to_prior_upper"]["mean"])
    assert all(kl is not None and kl >= -1e-6 for kl in plain["units"]["kl"])


def test_names_count_from_one() -> None:
    assert unit_names("rate", ()) == ["rate"]
    assert unit_names("z", (3,)) == ["z1", "z2", "z3"]
    assert unit_names("w", (1, 2)) == ["w1,1", "w1,2"]
    assert unit_names("z2", (2,)) == ["z2_1", "z2_2"]


def test_mapped_units_have_names() -> None:
    case = next(case for case in CASES if case.name == "two-latents, diagonal, amortized")
    found = diagnose(*case.pair(), Dataset(case.x), num_samples=100).units
    assert found.names == ("rate", "mix1", "mix2")
    assert found.methods == {"rate": "moment-matched", "mix": "moment-matched"}


class NoisyGuide(PyroModule):
    """Ours, but with parameters that are other ones at every call."""

    def __init__(self, guide: nn.Module) -> None:
        super().__init__()
        self.guide, self.latents, self.family = guide, guide.latents, guide.family
        self.calls = 0

    def params(self, batch: Batch) -> Tensor:
        return self.guide.params(batch)

    def q(self, batch: Batch) -> dist.TorchDistribution:
        self.calls += 1
        return self.guide.q(batch)

    def forward(self, batch: Batch) -> None:
        self.guide(batch)


def test_q_is_worked_out_once_for_all_pairs() -> None:
    model = little_information()
    guide = NoisyGuide(optimal(model, Diagonal))
    diagnose(model, guide, Dataset(simulate(model, 20)), num_samples=100)
    assert guide.calls == 1


def test_a_seed_repeats_it_and_leaves_the_generator_alone() -> None:
    pair, data = vae_pair(), stripes_data(20)
    before = torch.get_rng_state()
    first = diagnose(*pair, data, num_samples=100, seed=1).to_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    assert diagnose(*pair, data, num_samples=100, seed=1).to_dict() == first
    assert diagnose(*pair, data, num_samples=100, seed=2).to_dict() != first
    assert all(module.training for program in pair for module in program.modules())


def test_progress() -> None:
    model, done = oracle(), []
    diagnose(model, ExactGuide(model), Dataset(simulate(model, 300)), num_samples=100, advance=done.append)
    assert done == [256, 44]


def test_bad_input_is_refused() -> None:
    model, guide = vae_pair()
    with pytest.raises(UserError, match=r"at least 100 samples .* got 99"):
        diagnose(model, guide, stripes_data(5), num_samples=99)
    with pytest.raises(UserError, match="at least 2"):
        diagnose(model, guide, stripes_data(1), num_samples=100)
    rows = PerDatapoint(Latents.of(model, all_of(stripes_data(2).x)), Diagonal(2), 3)
    with pytest.raises(UserError, match="rows for datapoints 0 to 2"):
        diagnose(model, rows, stripes_data(5), num_samples=100)
