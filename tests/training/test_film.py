"""Frames of a film of learning, on a model whose posterior is known."""

from itertools import pairwise

import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, FullRank, InverseAutoregressive
from ppl_vae.models import LinearGaussian
from ppl_vae.predictive.draws import latent_grid
from ppl_vae.predictive.posteriors import posterior_samples
from ppl_vae.runtime.errors import UserError
from ppl_vae.training.film import film_steps, take_frame
from tests.pairs import amortized, optimal, oracle, simulate, vae_pair

AXIS = torch.linspace(-3, 3, 4, dtype=torch.float64)


def plane() -> LinearGaussian:
    return oracle(latent_dim=2)


@pytest.mark.parametrize(("total", "count", "expected"), [(1, 5, [0, 1]), (3, 9, [0, 1, 2, 3]), (100, 2, [0, 1])])
def test_steps_of_short_films(total, count, expected):
    assert film_steps(total, count) == expected


def test_steps_grow_apart_from_the_first_to_the_last():
    steps = film_steps(10_000, 40)
    assert steps[:3] == [0, 1, 2]
    assert steps[-1] == 10_000
    assert len(steps) <= 40
    gaps = [after - before for before, after in pairwise(steps)]
    assert gaps[-1] > 1000
    assert all(after >= 0.8 * before for before, after in pairwise(gaps))


@pytest.mark.parametrize("family", [Diagonal, FullRank])
def test_a_frame_holds_the_moments_of_q(family):
    model = plane()
    data = Dataset(simulate(model, 7))
    frame = take_frame(model, optimal(model, family), data, AXIS)
    posterior = model.posterior(data.x)
    covariance = posterior.covariance_matrix
    if family is Diagonal:  # the best diagonal q: the inverse of the precision's diagonal (Bishop 2006, 10.2)
        covariance = torch.diag_embed(1 / posterior.precision_matrix.diagonal(dim1=-2, dim2=-1))
    torch.testing.assert_close(frame.means, posterior.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(frame.covariances, covariance.expand(7, 2, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(frame.grid, latent_grid(model, (5,), AXIS))


def test_a_flow_is_filmed_by_draws():
    torch.manual_seed(0)
    model = plane()
    data = Dataset(simulate(model, 3))
    guide = amortized(model, data.x, InverseAutoregressive)
    frame = take_frame(model, guide, data, AXIS)
    draws = posterior_samples(guide, data.batch(torch.arange(3)), 20_000)["z"]
    error = draws.std(0) * 5 / 200**0.5
    assert ((frame.means - draws.mean(0)).abs() < error).all()
    variances = frame.covariances.diagonal(dim1=-2, dim2=-1)
    assert ((variances / draws.var(0) - 1).abs() < 5 * (2 / 200) ** 0.5).all()


def test_its_elbo_is_that_of_its_observations():
    model = plane()
    data = Dataset(simulate(model, 50))
    frame = take_frame(model, optimal(model, FullRank), data, AXIS)
    exact = model.log_px(data.x)
    assert frame.parts.elbo.mean == pytest.approx(exact.mean().item(), abs=1e-3)
    assert frame.parts.elbo.stderr == pytest.approx(exact.std().item() / 50**0.5, abs=1e-3)


def test_taking_a_frame_changes_nothing():
    model, guide, *_ = vae_pair(latent_dim=2)
    data = Dataset(torch.bernoulli(torch.rand(5, *model.decoder.event_shape)))
    model.train()
    guide.train()
    before = [param.clone() for param in [*model.parameters(), *guide.parameters()]]
    state = torch.get_rng_state()
    take_frame(model, guide, data, AXIS.float())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert guide.training
    assert all(torch.equal(a, b) for a, b in zip(before, [*model.parameters(), *guide.parameters()], strict=True))


def test_only_a_plane_can_be_filmed():
    model = oracle(latent_dim=3)
    data = Dataset(simulate(model, 3))
    with pytest.raises(UserError, match="one latent of size 2"):
        take_frame(model, optimal(model, Diagonal), data, AXIS)
