"""What the guide leaves out of the posterior, seen by draws from the prior, and silence where it leaves out nothing."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import diagnose
from ppl_vae.evaluation.prior_draws import left_out
from ppl_vae.evaluation.weight_tails import weight_tails
from ppl_vae.guides import Diagonal, FullRank
from tests.diagnostics.test_diagnosis import ScaledGuide
from tests.pairs import ExactGuide, PriorGuide, optimal, oracle, simulate
from tests.two_modes import TwoModes, drawn, log_px


class OneMode(PyroModule):
    """q around the right mode, or in equal parts around both."""

    def __init__(self, *, both: bool = False) -> None:
        super().__init__()
        self.both = both

    def forward(self, batch: Batch) -> None:
        where = 0.4 + batch.x.mean(-1)  # near the mode, and wide enough for it
        with pyro.plate("data", len(batch.x), dim=-1):
            if self.both:
                modes = dist.Normal(torch.stack([-where, where], -1).unsqueeze(-1), 0.4).to_event(1)
                half = dist.Categorical(torch.full((len(where), 2), 0.5, dtype=torch.float64))
                pyro.sample("z", dist.MixtureSameFamily(half, modes))
            else:
                pyro.sample("z", dist.Normal(where.unsqueeze(-1), 0.4).to_event(1))


def test_a_missed_mode_is_said_and_by_how_much() -> None:
    x = drawn(100).x
    x = x[x.sum(1) > 4]  # of fewer ones the two modes run into one
    exact = torch.from_numpy(log_px(x.numpy()))
    missed, both = (diagnose(TwoModes(), OneMode(both=both), Dataset(x)) for both in (False, True))
    lost = exact - missed.weights.log_px.values  # log 2, less what q's own tail sees of the other mode
    assert lost.mean() > 0.5
    assert missed.left_out.share > 0.5
    assert abs(missed.left_out.more.mean - lost.mean()) < 5 * missed.left_out.log_px.monte_carlo_stderr + 0.01
    (warning,) = [each for each in missed.bound_warnings if "misses part of the posterior" in each]
    assert f"on {100 * missed.left_out.share:.0f} % of datapoints" in warning
    assert f"{missed.left_out.nats:.2f} nats" in warning
    assert missed.to_dict()["left_out"]["share"] == missed.left_out.share
    # The guide with both modes is another matter, on the same data.
    assert abs(both.weights.log_px.mean - exact.mean()) < 5 * both.weights.log_px.monte_carlo_stderr + 0.005
    assert both.left_out.share == 0
    assert both.left_out.nats == 0
    assert not any("misses part" in each for each in both.bound_warnings)


@pytest.mark.parametrize("scale", [0.4, 0.6, 1.5])
def test_a_narrow_guide_is_told_where_it_matters(scale: float) -> None:
    """What is found missing is missing: against the exact log p(x)."""
    model = oracle()
    data = Dataset(simulate(model, 200))
    found = diagnose(model, ScaledGuide(model, scale), data)
    lost = model.log_px(data.x).detach() - found.weights.log_px.values
    if scale < 0.5:
        assert found.left_out.share > 0.05
        where = found.left_out.where
        assert abs(lost[where].mean() - found.left_out.nats) < 0.25 * found.left_out.nats
        assert any("misses part" in each for each in found.bound_warnings)
    else:
        assert lost.mean() < 0.02
        assert found.left_out.share == 0
        assert not any("misses part" in each for each in found.bound_warnings)


def test_where_the_prior_says_nothing_it_is_silent() -> None:
    """Twelve dimensions that are all well known: hardly a draw of the prior meets the posterior."""
    model = oracle(20, 12, scale=0.1)
    data = Dataset(simulate(model, 100))
    for guide in (ExactGuide(model), optimal(model, FullRank), optimal(model, Diagonal)):
        found = diagnose(model, guide, data, num_samples=200)
        assert found.left_out.more.mean < -5
        assert found.left_out.share == 0


def test_a_guide_that_is_the_prior_leaves_nothing_out() -> None:
    model = oracle()
    found = diagnose(model, PriorGuide(3, 1.0), Dataset(simulate(model, 200)))
    assert abs(found.left_out.more.mean) < 5 * found.left_out.more.monte_carlo_stderr
    assert found.left_out.where.sum() <= 2
    assert not any("misses part" in each for each in found.bound_warnings)


class FourKinds(PyroModule):
    """k of four kinds, x | k bits that are mostly lit or mostly not in each half."""

    def __init__(self) -> None:
        super().__init__()
        signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        self.register_buffer("logits", 2 * signs.repeat_interleave(4, dim=-1))

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            kind = pyro.sample("kind", dist.Categorical(torch.full((4,), 0.25)))
            pyro.sample("x", dist.Bernoulli(logits=self.logits[kind]).to_event(1), obs=batch.x)


class FewKinds(PyroModule):
    """q that next to never draws the last two kinds."""

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("kind", dist.Categorical(torch.tensor([0.5, 0.5, 1e-9, 1e-9])))


def test_discrete_latents_are_drawn_as_any() -> None:
    model = FourKinds()
    torch.manual_seed(0)
    data, num = Dataset(torch.bernoulli(model.logits[[2, 3]].sigmoid().repeat(20, 1))), 1000
    exact = torch.stack([dist.Bernoulli(logits=row).log_prob(data.x).sum(-1) for row in model.logits])
    found = left_out(model, data, weight_tails(model, FewKinds(), data, num), num)
    error = found.log_px.monte_carlo_stderr
    assert error < 0.05
    assert abs(found.log_px.mean - (exact.logsumexp(0) - math.log(4)).mean().item()) < 5 * error
    assert found.share > 0.9
