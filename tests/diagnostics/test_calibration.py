"""Simulation-based calibration: the right posterior passes, and each way of being wrong fails under its own name."""

import json
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from scipy import stats

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import calibrate, calibrate_pair
from ppl_vae.diagnostics import calibration as calibration_module
from ppl_vae.diagnostics.calibration import judge
from ppl_vae.evaluation import EvaluateConfig, simulate
from ppl_vae.guides import Amortized, Diagonal, FullRank, PerDatapoint, Point
from ppl_vae.inference.fitting import infer
from ppl_vae.models import LinearGaussian
from ppl_vae.networks.dense import Encoder
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.programs.given import FamilyProgram
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.errors import UserError
from tests.conformance import conditional_vae
from tests.masked_pca import SIZE, ExactUnderMask, pca
from tests.pairs import PriorGuide, TwoLatents, all_of, amortized, bits, optimal, oracle, vae_pair


class WrongGuide(PyroModule):
    """The oracle's posterior, shifted by so many standard deviations and scaled; in every coordinate or in one."""

    def __init__(self, model: LinearGaussian, shift: float = 0.0, scale: float = 1.0, only: int | None = None) -> None:
        super().__init__()
        self.posterior = model.posterior
        chosen = torch.ones(3, dtype=torch.float64) if only is None else torch.eye(3, dtype=torch.float64)[only]
        self.shift, self.scale = shift * chosen, 1 + (scale - 1) * chosen

    def forward(self, batch: Batch) -> None:
        exact = self.posterior(batch.x)
        loc = exact.loc + self.shift * exact.stddev
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=self.scale.unsqueeze(-1) * exact.scale_tril))


def test_right_posterior_passes() -> None:
    model = oracle()
    for guide in (WrongGuide(model), optimal(model, FullRank)):
        found = calibrate(model, guide, (5,))
        assert found.passed
        assert found.failures == ("none",) * 4
        assert found.verdict.startswith("calibrated as far as")
        assert found.ranks.shape == (1000, 4)
        assert (found.ranks.min(), found.ranks.max()) == (0, 63)
        assert found.names == ("z1", "z2", "z3", "log p(x | z)")


@pytest.mark.parametrize(
    ("wrong", "failure", "words"),
    [
        ({"shift": 0.3}, "biased up", "biased upwards (q lies too high"),
        ({"shift": -0.3}, "biased down", "biased downwards (q lies too low"),
        ({"shift": 3.0}, "biased up", "biased upwards"),
        ({"scale": 0.75}, "over-confident", "over-confident (q too narrow"),
        ({"scale": 0.1}, "over-confident", "over-confident"),
        ({"scale": 1.3}, "under-confident", "under-confident (q too wide"),
        ({"scale": 10.0}, "under-confident", "under-confident"),
    ],
)
def test_wrong_posterior_fails_and_says_how(wrong: dict[str, float], failure: str, words: str) -> None:
    model = oracle()
    found = calibrate(model, WrongGuide(model, **wrong), (5,))
    assert not found.passed
    assert found.p_value < 1e-4
    assert set(found.failures[:3]) == {failure}
    assert words in found.verdict
    assert "z1, z2, z3" in found.verdict


def test_simulations_have_the_holes_of_the_data() -> None:
    """The posterior given what was seen passes; the one that takes what stands in for holes for seen does not."""
    model = pca()
    x = torch.zeros(7, SIZE).double()
    holes = Dataset(x, mask=torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) > 0.5)
    exact, blind = ExactUnderMask(model), _Blind(model)
    assert calibrate(model, exact, (SIZE,), holes=holes).passed
    assert calibrate(model, blind, (SIZE,)).passed
    assert not calibrate(model, blind, (SIZE,), holes=holes).passed
    found = calibrate_pair(model, exact, holes, EvaluateConfig(estimator="sbc", limit=20, num_samples=7))
    assert "(split simulated, with holes as in given)" in str(found)


class _Blind(ExactUnderMask):
    def forward(self, batch: Batch) -> None:
        super().forward(batch._replace(mask=torch.ones_like(batch.x, dtype=torch.bool)))


def test_the_coordinate_that_fails_is_named() -> None:
    model = oracle()
    found = calibrate(model, WrongGuide(model, shift=0.4, only=0), (5,))
    assert found.failures[0] == "biased up"
    assert found.failures[1:3] == ("none", "none")
    assert "biased upwards (q lies too high; ranks pile up at 0) in z1" in found.verdict


def test_the_prior_is_seen_by_its_likelihood() -> None:
    """A q that ignores x has uniform ranks in z, and fits x worse than the truth does: ranks of log p(x | z) at L."""
    model = oracle()
    found = calibrate(model, PriorGuide(3, 1.0), (5,))
    assert found.failures == ("none", "none", "none", "biased down")
    assert not found.passed
    assert found.verdict.startswith("not calibrated: q's draws fit x worse than the true z does")


def test_the_rank_of_the_likelihood() -> None:
    """Of one draw of z after another, by hand."""
    model = oracle()
    data, _ = simulate(model, (5,), 40)
    drawn = torch.randn(9, 40, 3, dtype=torch.float64)
    values = calibration_module._coordinates(model, all_of(data.x), {"z": drawn})
    loc = drawn @ model.weight.detach().mT + model.mean.detach()
    expected = torch.distributions.Normal(loc, 0.7).log_prob(data.x).sum(-1)
    torch.testing.assert_close(values[..., 3], expected)
    assert torch.equal(values[..., :3], drawn)
    single = calibration_module._coordinates(model, all_of(data.x), {"z": drawn[:1]})
    torch.testing.assert_close(single, values[:1])


def test_a_diagonal_guide_is_over_confident() -> None:
    """The best diagonal q has the conditional variances, below the marginal ones: the textbook failure."""
    model = oracle()
    found = calibrate(model, optimal(model, Diagonal), (5,))
    assert not found.passed
    assert set(found.failures[:3]) <= {"over-confident", "none"}


def test_a_point_is_as_over_confident_as_can_be() -> None:
    model, guide = vae_pair(Point)
    found = calibrate(model, guide, (3, 4), num_simulations=100)
    assert set(found.ranks[:, :2].unique().tolist()) <= {0, 63}
    assert "over-confident" in found.failures[:2]


@pytest.mark.slow
def test_uniform_ranks_are_refused_as_often_as_the_level_says() -> None:
    """1 000 calibrations of uniform ranks, at 1 %: 5 standard errors, and Bonferroni's rule only refuses fewer."""
    rng = np.random.default_rng(0)
    for num_samples, num in ((63, 200), (9, 50), (7, 20), (10, 100)):
        ranks = rng.integers(num_samples + 1, size=(1000, num, 4))
        found = [judge(torch.from_numpy(each), num_samples, tuple("abcd")) for each in ranks]
        assert all(each.passed == (set(each.failures) == {"none"}) for each in found)
        refused = [not each.passed for each in found]
        assert np.mean(refused) < 0.01 + 5 * (0.01 * 0.99 / 1000) ** 0.5, (num_samples, num)


def test_p_values_are_uniform() -> None:
    """Each test alone on uniform ranks: Kolmogorov's distance of 4 000 p-values from the uniform distribution."""
    ranks = torch.from_numpy(np.random.default_rng(1).integers(64, size=(1000, 4000)))
    found = judge(ranks, 63, tuple(map(str, range(4000))))
    for p_values in (found.p_histogram, found.p_location, found.p_scale):
        assert stats.kstest(p_values, "uniform").statistic < 5 * 0.5 / 4000**0.5  # √(¼ / n), the largest error there is


def test_another_shape_is_seen_by_the_histogram() -> None:
    """Ranks with nearly the mean and the variance of uniform ones, but none in every other pair of bins."""
    every = torch.arange(64)
    ranks = every[torch.isin(every // 4, torch.tensor([0, 3, 4, 7, 8, 11, 12, 15]))].repeat(5).unsqueeze(1)
    found = judge(ranks, 63, ("z",))
    assert found.failures == ("other",)
    assert "not uniform" in found.verdict
    assert found.p_histogram < 1e-10
    assert found.p_location > 0.1


def test_odd_numbers_of_draws() -> None:
    """L + 1 a prime: no histogram test, the other two remain."""
    model = oracle()
    wrong = calibrate(model, WrongGuide(model, scale=0.7), (5,), num_simulations=400, num_samples=100)
    assert (wrong.p_histogram == 1).all()
    assert set(wrong.failures[:3]) == {"over-confident"}
    assert calibrate(model, WrongGuide(model), (5,), num_simulations=400, num_samples=100).passed


@pytest.mark.slow
def test_any_chunks_rank_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws below z* are counted over calls; every rank from 0 to L occurs and the verdict stands."""
    model = oracle()
    calls: list[int] = []
    sample = calibration_module.posterior_samples
    monkeypatch.setattr(calibration_module, "_CALL_ELEMENTS", 50)
    monkeypatch.setattr(
        calibration_module, "posterior_samples", lambda g, b, n: (calls.append(len(b.x) * n), sample(g, b, n))[1]
    )
    found = calibrate(model, WrongGuide(model), (5,), num_simulations=100, num_samples=63)
    assert max(calls) <= 10
    assert sum(calls) == 100 * 63
    assert found.passed
    assert found.ranks.max() > 55
    assert found.ranks.min() < 8


# --- Any pair ---------------------------------------------------------------------------------------------------------


def test_simulate_draws_from_the_joint() -> None:
    model = oracle()
    data, truth = simulate(model, (5,), 4000, seed=3)
    assert data.x.shape == (4000, 5)
    assert truth["z"].shape == (4000, 3)
    noise = data.x - truth["z"] @ model.weight.detach().mT - model.mean.detach()
    for found, scale in ((truth["z"], 1.0), (noise, 0.7)):
        assert found.mean(0).abs().max() < 5 * scale / 4000**0.5
        assert (found.var(0) - scale**2).abs().max() < 5 * scale**2 * (2 / 4000) ** 0.5
    again, _ = simulate(model, (5,), 4000, seed=3)
    assert torch.equal(again.x, data.x)
    assert not torch.equal(simulate(model, (5,), 4000, seed=4)[0].x, data.x)
    assert not data.x.requires_grad
    assert not truth["z"].requires_grad


def test_conditional_model() -> None:
    model = conditional_vae()
    y = torch.arange(60) % 3
    data, truth = simulate(model, (3, 4), 60, y)
    assert torch.equal(data.y, y)
    assert set(data.x.unique().tolist()) == {0.0, 1.0}
    assert set(truth) == {"z"}
    latents, family = Latents.of(model, Batch(data.x, y, torch.arange(60))), Diagonal(2)
    guide = Amortized(latents, family, Encoder((3, 4), family.num_params, (8,), num_classes=3), labelled=True)
    assert calibrate(model, guide, (3, 4), 60, y=y).ranks.shape == (60, 3)
    with pytest.raises(UserError, match="labels"):
        calibrate(model, guide, (3, 4), 60)
    with pytest.raises(ValueError, match="60 labels for 50 simulations"):
        calibrate(model, guide, (3, 4), 50, y=y)


def test_mapped_latents() -> None:
    """Ranks are of the latents themselves, three of the simplex: their flat vector has two."""
    model = TwoLatents()
    guide = amortized(model, torch.zeros(2, 4), Diagonal)
    found = calibrate(model, guide, (4,), 100)
    assert found.names == ("rate", "mix1", "mix2", "mix3", "log p(x | z)")
    assert found.ranks.shape == (100, 5)
    assert not found.passed


def local(model: LinearGaussian) -> Callable[[Dataset], FamilyProgram]:
    def guide_for(data: Dataset) -> PerDatapoint:
        latents, family = Latents.of(model, data.probe()), FullRank(3)
        guide = PerDatapoint(latents, family, len(data), data.first).double()
        rows = infer(model, family.double(), data, latents).params
        with torch.no_grad():
            guide.table.weight.copy_(rows)
        return guide

    return guide_for


@pytest.mark.slow
def test_a_guide_made_for_the_simulated_data() -> None:
    """Local inference in the right family finds the posterior, which its start, the prior, is not."""
    model = oracle()
    assert calibrate(model, local(model), (5,), 200).passed
    assert not calibrate(model, PerDatapoint(*neutral(model), 200, UNSEEN).double(), (5,), 200).passed
    with pytest.raises(UserError, match="rows for datapoints 0 to 199"):  # those of other data
        calibrate(model, PerDatapoint(*neutral(model), 200).double(), (5,), 200)


def neutral(model: LinearGaussian) -> tuple[Latents, FullRank]:
    return Latents.of(model, Dataset(torch.zeros(2, 5, dtype=torch.float64)).probe()), FullRank(3)


def test_a_seed_repeats_it_and_leaves_everything_alone() -> None:
    model, guide = vae_pair()
    before = torch.get_rng_state()
    first = calibrate(model, guide, (3, 4), 50, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(calibrate(model, guide, (3, 4), 50, seed=1).ranks, first.ranks)
    assert not torch.equal(calibrate(model, guide, (3, 4), 50, seed=2).ranks, first.ranks)
    assert all(module.training for program in (model, guide) for module in program.modules())


def test_progress_and_json() -> None:
    done: list[int] = []
    model, guide = vae_pair()
    found = calibrate(model, guide, (3, 4), 300, advance=done.append)
    assert done == [256, 44]
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["num_simulations"] == 300
    assert plain["passed"] is found.passed
    assert plain["verdict"] == found.verdict


def test_bad_input_is_refused() -> None:
    model, guide = vae_pair()
    with pytest.raises(UserError, match="at least 20 simulations, got 19"):
        calibrate(model, guide, bits(1).shape[1:], 19)
    with pytest.raises(UserError, match="at least 7 samples"):
        calibrate(model, guide, (3, 4), 50, num_samples=6)
