"""Moments of q(z | x), on a model whose posterior is known (of a plane by families: tests/training/test_film.py)."""

import pytest
import torch

from ppl_vae import figures
from ppl_vae.data import Dataset
from ppl_vae.guides import FullRank
from ppl_vae.predictive.posteriors import posterior_gaussians, posterior_moments
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
