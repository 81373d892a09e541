"""Moments of q(z | x), on a model whose posterior is known (of a plane by families: tests/training/test_film.py)."""

import pyro
import pytest
import torch
from pyro.distributions import Normal
from pyro.nn import PyroModule

from ppl_vae import figures
from ppl_vae.data import Dataset
from ppl_vae.guides import FullRank
from ppl_vae.predictive.posteriors import posterior_gaussians, posterior_moments
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.errors import UserError
from tests.pairs import optimal, oracle, simulate


def test_they_are_those_of_the_posterior_and_can_be_drawn_at_once() -> None:
    model = oracle(latent_dim=2)
    data = Dataset(simulate(model, 7))
    guide = optimal(model, FullRank)
    q = posterior_gaussians(model, guide, data)
    exact = model.posterior(data.x)
    torch.testing.assert_close(q.means, exact.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(q.covariances, exact.covariance_matrix.expand(7, 2, 2), atol=1e-3, rtol=0)
    assert figures.posteriors(*q).axes


def test_a_plane_is_needed() -> None:
    model = oracle(latent_dim=3)
    with pytest.raises(UserError, match="one latent of size 2"):
        posterior_gaussians(model, optimal(model, FullRank), Dataset(simulate(model, 3)))


def test_moments_are_those_of_q_and_of_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    model = oracle(latent_dim=2)
    batch = Dataset(simulate(model, 5)).batch(torch.arange(5))
    guide = optimal(model, FullRank)
    exact, q = posterior_moments(guide, batch)["z"], guide.q(batch)
    assert torch.equal(exact.mean, q.mean)
    assert torch.equal(exact.std, q.stddev)
    monkeypatch.setattr("ppl_vae.predictive.posteriors._closed_form", lambda q: None)
    torch.manual_seed(0)
    sampled = posterior_moments(guide, batch, num_samples=20_000)["z"]
    assert ((sampled.mean - exact.mean).abs() < 5 * exact.std / 20_000**0.5).all()
    assert ((sampled.std - exact.std).abs() < 5 * exact.std / 40_000**0.5).all()


class Chained(PyroModule):
    """z1 ~ N(x, 1), z2 given z1 ~ N(z1, 0.1), z3 ~ N(3, 1)."""

    def forward(self, batch: Batch) -> None:
        """Draw them."""
        with pyro.plate("data", len(batch.x), dim=-1):
            z1 = pyro.sample("z1", Normal(batch.x, torch.ones(())).to_event(1))
            pyro.sample("z2", Normal(z1, torch.tensor(0.1)).to_event(1))
            pyro.sample("z3", Normal(torch.full_like(batch.x, 3.0), torch.ones(())).to_event(1))


def test_moments_of_a_latent_that_is_drawn_given_another_are_not_those_of_one_draw() -> None:
    batch = Dataset(torch.tensor([[1.0], [-2.0]])).batch(torch.arange(2))
    torch.manual_seed(0)
    found = posterior_moments(Chained(), batch, num_samples=10_000)
    assert torch.equal(found["z1"].mean, batch.x)
    assert torch.equal(found["z3"].std, torch.ones(2, 1))
    std = 1.01**0.5
    assert ((found["z2"].mean - batch.x).abs() < 5 * std / 100).all()
    assert ((found["z2"].std - std).abs() < 5 * std / 20_000**0.5).all()
    with pytest.raises(UserError, match="num_samples"):
        posterior_moments(Chained(), batch, num_samples=1)
