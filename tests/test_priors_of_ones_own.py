"""torch's mixtures as a user's prior: their latents have the support of the components."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import calibrate, diagnose
from ppl_vae.evaluation import AnnealingConfig, annealed_importance_bound, elbo
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.program import Program
from tests.pairs import all_of, amortized

WEIGHTS = torch.tensor([0.3, 0.7])


def gaussians() -> dist.TorchDistribution:
    parts = dist.Normal(torch.tensor([[-1.0, 0.0], [1.0, 2.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.3]])).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(WEIGHTS), parts)


def independent() -> dist.TorchDistribution:
    """A mixture for each number."""
    parts = dist.Normal(torch.tensor([[-1.0, 1.0], [0.0, 2.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.3]]))
    return dist.MixtureSameFamily(dist.Categorical(WEIGHTS.expand(2, 2)), parts).to_event(1)


def gammas() -> dist.TorchDistribution:
    parts = dist.Gamma(torch.tensor([[2.0, 3.0], [5.0, 1.5]]), torch.tensor([[1.0, 4.0], [2.0, 1.0]])).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(WEIGHTS), parts)


class Model(Program):
    """z ~ the prior, x ~ N(a z, I)."""

    def __init__(self, prior: dist.TorchDistribution) -> None:
        super().__init__()
        self.prior, self.gain = prior, nn.Parameter(torch.tensor(1.0))

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", self.prior)
            x: Tensor = pyro.sample("x", dist.Normal(self.gain * z, 1.0).to_event(1), obs=batch.x)
            return x


def log_px(prior: dist.TorchDistribution, x: Tensor) -> Tensor:
    """By quadrature on a grid of z in the plane."""
    axis = torch.linspace(-8, 13, 211)
    z = torch.cartesian_prod(axis, axis)
    inside = prior.support.check(z)
    log_prior = torch.where(inside, prior.log_prob(torch.where(inside.unsqueeze(-1), z, 1.0)), -torch.inf)
    fit = torch.stack([dist.Normal(z, 1.0).to_event(1).log_prob(row) for row in x])
    found: Tensor = (fit + log_prior).double().logsumexp(1) + 2 * (axis[1] - axis[0]).double().log()
    return found


@pytest.mark.parametrize("make", [gaussians, independent, gammas])
def test_a_mixture_is_a_prior_like_any_other(make) -> None:
    prior = make()
    model, x = Model(prior), torch.randn(6, 2) + 1
    guide = amortized(model, x)
    (site,) = Latents.of(model, all_of(x)).sites
    assert site.shape == (2,)
    values, _ = site.mapped(torch.randn(7, 3, 2))
    assert values.shape == (7, 3, 2)
    assert bool(prior.support.check(values).all())
    check_pair(model, guide, all_of(x))
    before = elbo(model, guide, Dataset(x), 100).elbo.mean
    fit(model, guide, Dataset(x), settings=FitConfig(epochs=1, device="cpu", engine="eager"))
    assert elbo(model, guide, Dataset(x), 100).elbo.mean != before
    with torch.no_grad():
        model.gain.fill_(1.0)
    diagnose(model, guide, Dataset(x[:2]), 100)
    calibrate(model, guide, (2,), 20, 7)
    settings = AnnealingConfig(temperatures=20, leapfrog=5, engine="eager")
    annealed = annealed_importance_bound(model, None, Dataset(x), 16, settings).log_px.values.double()
    gap = annealed - log_px(prior, x)
    assert abs(gap.mean()) < 5 * gap.std() / 6**0.5 + 0.02


def test_a_support_without_a_map_is_named() -> None:
    class Nowhere(dist.Normal):
        support = constraints.integer_interval(0, 3)

    class Unmapped(dist.Normal):
        support = type("Somewhere", (constraints.Constraint,), {"check": lambda self, value: value == value})()

    for prior, message in (
        (Unmapped(torch.zeros(2), 1.0).to_event(1), r"^site 'z': torch has no .* constraints\.real_vector\.$"),
        (Nowhere(torch.zeros(2), 1.0).to_event(1), r"^site 'z': .* is discrete; this needs real latents\.$"),
    ):
        with pytest.raises(UserError, match=message):
            Latents.of(Model(prior), all_of(torch.zeros(3, 2)))
