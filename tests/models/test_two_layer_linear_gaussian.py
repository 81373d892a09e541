"""The hierarchical oracle: every closed form against torch's distributions, and guides that hold its posterior."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from ppl_vae import Batch, FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Amortized, BottomUp, Diagonal, FullRank
from ppl_vae.models import TwoLayerLinearGaussian
from ppl_vae.networks.dense import Encoder, raw_scale
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import log_weights
from ppl_vae.svi import OptimizerConfig
from tests.pairs import all_of

ROUNDING = {"rtol": 0.0, "atol": 1e-9}
P, Q, D = 2, 3, 5


def layered_oracle() -> TwoLayerLinearGaussian:
    """Nothing symmetric about it, in float64."""
    model = TwoLayerLinearGaussian((D,), Q, P).double()
    with torch.no_grad():
        for param, speed in ((model.weight, 1.3), (model.upper_weight, 2.1)):
            param.copy_(torch.sin(speed * torch.arange(param.numel()).double()).reshape(param.shape) + 0.2)
        model.mean.copy_(torch.linspace(-1.0, 2.0, D))
        model.upper_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
        model.log_scale.fill_(math.log(0.7))
        model.upper_log_scale.fill_(math.log(0.4))
    return model


def simulate(model: TwoLayerLinearGaussian, num: int) -> Tensor:
    generator = torch.Generator().manual_seed(7_654_321)

    def noise(size: int) -> Tensor:
        return torch.randn(num, size, generator=generator, dtype=torch.float64)

    z1 = noise(P) @ model.upper_weight.mT + model.upper_mean + model.upper_log_scale.exp() * noise(Q)
    return (z1 @ model.weight.mT + model.mean + model.log_scale.exp() * noise(D)).detach()


def test_log_px_is_the_multivariate_normals() -> None:
    model = layered_oracle()
    x = simulate(model, 20)
    of_z1 = model.upper_weight @ model.upper_weight.mT + 0.4**2 * torch.eye(Q, dtype=torch.float64)
    covariance = model.weight @ of_z1 @ model.weight.mT + 0.7**2 * torch.eye(D, dtype=torch.float64)
    expected = MultivariateNormal(model.weight @ model.upper_mean + model.mean, covariance).log_prob(x)
    torch.testing.assert_close(model.log_px(x), expected, **ROUNDING)


def test_posterior_is_bayes() -> None:
    """log p(x, z) − log p(z | x) is log p(x), whatever z is."""
    model = layered_oracle()
    x = simulate(model, 4)
    z2, z1 = (2 * torch.randn(50, 4, size, dtype=torch.float64) for size in (P, Q))
    joint = Normal(0.0, 1.0).log_prob(z2).sum(-1)
    joint = joint + Normal(z2 @ model.upper_weight.mT + model.upper_mean, 0.4).log_prob(z1).sum(-1)
    joint = joint + Normal(z1 @ model.weight.mT + model.mean, 0.7).log_prob(x).sum(-1)
    evidence = joint - model.posterior(x).log_prob(torch.cat([z2, z1], -1))
    assert evidence.std(0).max() < 1e-9 < joint.std(0).min()
    torch.testing.assert_close(evidence[0], model.log_px(x), **ROUNDING)


def test_upper_posterior_is_the_joint_posteriors_conditional() -> None:
    """And it does not depend on x, given z1."""
    model = layered_oracle()
    x = simulate(model, 2)
    joint = model.posterior(x)
    covariance = joint.covariance_matrix[0]
    z1 = torch.randn(2, Q, dtype=torch.float64)
    gain = covariance[:P, P:] @ torch.linalg.inv(covariance[P:, P:])
    expected = joint.loc[:, :P] + (z1 - joint.loc[:, P:]) @ gain.mT
    torch.testing.assert_close(model.upper_posterior(z1).loc, expected, **ROUNDING)
    spread = covariance[:P, :P] - gain @ covariance[P:, :P]
    torch.testing.assert_close(model.upper_posterior(z1).covariance_matrix[0], spread, **ROUNDING)


class ExactGuide(PyroModule):
    """The oracle's posterior, layer by layer: q(z1 | x) q(z2 | z1)."""

    def __init__(self, model: TwoLayerLinearGaussian) -> None:
        super().__init__()
        self.posterior, self.upper_posterior = model.posterior, model.upper_posterior

    def forward(self, batch: Batch) -> None:
        joint = self.posterior(batch.x)
        with pyro.plate("data", len(batch.x), dim=-1):
            lower = dist.MultivariateNormal(joint.loc[:, P:], joint.covariance_matrix[:, P:, P:])
            z1 = pyro.sample("z1", lower)
            upper = self.upper_posterior(z1)
            pyro.sample("z2", dist.MultivariateNormal(upper.loc, scale_tril=upper.scale_tril))


def exact_params(model: TwoLayerLinearGaussian, guide: Amortized) -> None:
    """Set a linear guide's weights to the posterior: q(z1 | x), or all of q(z2, z1 | x), and q(z2 | z1)."""
    zero, eye = torch.zeros(1, D, dtype=torch.float64), torch.eye(D, dtype=torch.float64)
    bottom_up = isinstance(guide.family, BottomUp)
    joint = model.posterior(torch.cat([zero, eye]))
    start = P if bottom_up else 0
    loc, covariance = joint.loc[:, start:], joint.covariance_matrix[0, start:, start:]
    _set(guide.encoder.net[-1], loc[1:] - loc[0], loc[0], torch.linalg.cholesky(covariance))
    if bottom_up:
        zeros, units = torch.zeros(1, Q, dtype=torch.float64), torch.eye(Q, dtype=torch.float64)
        upper = model.upper_posterior(torch.cat([zeros, units]))
        _set(guide.family.nets[0][-1], upper.loc[1:] - upper.loc[0], upper.loc[0], upper.scale_tril[0])


def _set(linear: torch.nn.Linear, slope: Tensor, start: Tensor, scale: Tensor) -> None:
    size = len(start)
    rows, columns = torch.tril_indices(size, size, offset=-1)
    with torch.no_grad():
        linear.weight.zero_()
        linear.weight[:size] = slope.mT
        linear.bias.copy_(torch.cat([start, raw_scale(scale.diagonal()), size**0.5 * scale[rows, columns]]))


def linear_guide(model: TwoLayerLinearGaussian, family: BottomUp | FullRank | Diagonal) -> Amortized:
    latents = Latents.of(model, all_of(torch.zeros(2, D, dtype=torch.float64)))
    return Amortized(latents, family, Encoder((D,), family.num_params, ())).double()


@pytest.mark.parametrize("kind", ["Pyro program", "full-rank", "bottom-up"])
def test_an_exact_guides_single_draw_is_the_evidence(kind: str) -> None:
    model = layered_oracle()
    x = simulate(model, 10)
    if kind == "Pyro program":
        guide = ExactGuide(model)
    else:
        guide = linear_guide(model, FullRank(P + Q) if kind == "full-rank" else BottomUp((P, Q), (), "relu", FullRank))
        with torch.no_grad():
            weights = log_weights(model, guide, all_of(x), 1)[0]
        assert (weights - model.log_px(x)).abs().min() > 0.1  # before it is told
        exact_params(model, guide)
    with torch.no_grad():
        weights = log_weights(model, guide, all_of(x), 3)
    torch.testing.assert_close(weights, model.log_px(x).expand(3, -1), **ROUNDING)


def test_the_best_diagonal_loses_what_theory_says() -> None:
    """Λ's formula against the KL of that q from the posterior."""
    model = layered_oracle()
    precision = model.precision()
    gap = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    posterior = model.posterior(simulate(model, 1)[0])
    best = MultivariateNormal(posterior.loc, torch.diag(1 / precision.diagonal()))
    torch.testing.assert_close(kl_divergence(best, posterior), gap, **ROUNDING)
    assert gap > 0.5


@pytest.mark.slow
def test_training_reaches_the_evidence_from_a_start_that_does_not() -> None:
    """A bottom-up guide of full-rank layers, learned with the model's own posterior never told to it."""
    torch.manual_seed(0)
    model = layered_oracle().requires_grad_(False)
    data = Dataset(simulate(model, 200))
    guide = linear_guide(model, BottomUp((P, Q), (), "relu", FullRank))
    evidence = model.log_px(data.x).mean().item()
    before = elbo(model, guide, data, 50).elbo
    assert before.mean < evidence - 5
    settings = FitConfig(
        epochs=800,
        batch_size=100,
        engine="eager",
        device="cpu",
        num_particles=2,
        optimizer=OptimizerConfig(learning_rate=0.05, schedule="cosine"),
    )
    fit(model, guide, data, settings=settings, progress=False)
    after = elbo(model, guide, data, 200).elbo
    assert evidence - 0.02 < after.mean < evidence + 1e-3
