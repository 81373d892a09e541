"""Means and covariances of q(z | x), on a model whose posterior is known (by families: tests/training/test_film.py)."""

import pytest
import torch

from ppl_vae import figures
from ppl_vae.data import Dataset
from ppl_vae.guides import FullRank
from ppl_vae.predictive.gaussians import posterior_gaussians
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
