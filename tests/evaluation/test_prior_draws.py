"""What the guide leaves out of the posterior, seen by draws from the prior, and silence where it leaves out nothing."""

import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.evaluation import diagnose
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.models import Model
from tests.evaluation.test_diagnostics import ScaledGuide
from tests.pairs import ExactGuide, PriorGuide, optimal, oracle, simulate

STEEP = 3.0


class TwoModes(Model):
    """z ~ N(0, 1), eight x_j ~ Bernoulli with logit 3 (z² − 1): whatever z explains x, −z does as well."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0))
            logits = (STEEP * (z**2 - 1)).unsqueeze(-1).expand(*z.shape, 8)
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=batch.x)


class OneMode(PyroModule):
    """q around the right mode, or in equal parts around both."""

    def __init__(self, *, both: bool = False) -> None:
        super().__init__()
        self.both = both

    def forward(self, batch: Batch) -> None:
        where = 0.4 + batch.x.mean(-1)  # near the mode, and wide enough for it
        with pyro.plate("data", len(batch.x), dim=-1):
            if self.both:
                modes = dist.Normal(torch.stack([-where, where], -1), 0.4)
                half = dist.Categorical(torch.full((len(where), 2), 0.5, dtype=torch.float64))
                pyro.sample("z", dist.MixtureSameFamily(half, modes))
            else:
                pyro.sample("z", dist.Normal(where, 0.4))


def quadrature(x: np.ndarray) -> np.ndarray:
    """log p(x) by the trapezium rule."""
    z = np.linspace(-9, 9, 20_001)
    logits = STEEP * (z**2 - 1)
    ones = x.sum(1, keepdims=True)
    log_joint = ones * logits - 8 * np.logaddexp(0, logits) - z**2 / 2 - 0.5 * math.log(2 * math.pi)
    return np.log(np.exp(log_joint).sum(1) * (z[1] - z[0]))


def bits(num: int) -> Tensor:
    """Drawn from the model."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(num, 1, generator=generator, dtype=torch.float64)
    return (torch.rand(num, 8, generator=generator, dtype=torch.float64) < torch.sigmoid(STEEP * (z**2 - 1))).double()


def test_a_missed_mode_is_said_and_by_how_much() -> None:
    x = bits(100)
    x = x[x.sum(1) > 2]  # of fewer ones the two modes run into one
    exact = torch.from_numpy(quadrature(x.numpy()))
    missed, both = (diagnose(TwoModes(), OneMode(both=both), Dataset(x)) for both in (False, True))
    lost = exact - missed.weights.log_px.values  # log 2, less what q's own tail sees of the other mode
    assert lost.mean() > 0.5
    assert missed.left_out.share > 0.5
    assert abs(missed.left_out.more.mean - lost.mean()) < 5 * missed.left_out.log_px.monte_carlo_stderr + 0.01
    (warning,) = [each for each in missed.warnings if "leaves part of the posterior out" in each]
    assert f"on {100 * missed.left_out.share:.0f} % of datapoints" in warning
    assert f"{missed.left_out.nats:.2f} nats" in warning
    assert missed.to_dict()["left_out"]["share"] == missed.left_out.share
    # The guide with both modes is another matter, on the same data.
    assert abs(both.weights.log_px.mean - exact.mean()) < 5 * both.weights.log_px.monte_carlo_stderr + 0.005
    assert both.left_out.share == 0
    assert both.left_out.nats == 0
    assert not any("leaves part" in each for each in both.warnings)


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
        assert any("leaves part" in each for each in found.warnings)
    else:
        assert lost.mean() < 0.02
        assert found.left_out.share == 0
        assert not any("leaves part" in each for each in found.warnings)


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
    assert not any("leaves part" in each for each in found.warnings)
