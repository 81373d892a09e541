"""Predictive distributions on models whose answers are known."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from ppl_vae import Batch, UserError, figures
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.data.splits import splits_of
from ppl_vae.guides import Amortized, Diagonal, FullRank
from ppl_vae.models import VAE, LinearGaussian
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.predictive.draws import (
    decode,
    latent_grid,
    plane_site,
    posterior_predictive,
    prior_predictive,
)
from ppl_vae.programs.latents import Latents


@pytest.fixture
def oracle():
    torch.manual_seed(0)
    model = LinearGaussian((3,), 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.2], [0.0, -2.0], [0.5, 0.5]]))
        model.mean.copy_(torch.tensor([1.0, -2.0, 3.0]))
        model.log_scale.fill_(-1.0)
    return model


@pytest.fixture
def pair():
    torch.manual_seed(0)
    model = VAE(Decoder(2, (4, 4), (8,)), 2)
    batch = Batch(torch.bernoulli(torch.rand(5, 4, 4)), None, torch.arange(5))
    family = FullRank(2)
    return model, Amortized(Latents.of(model, batch), family, Encoder((4, 4), family.num_params, (8,))), batch


def test_prior_predictive_has_the_marginal_moments(oracle):
    torch.manual_seed(1)
    draws = prior_predictive(oracle, (3,), 40_000)
    exact = oracle.weight @ oracle.weight.mT + torch.exp(torch.tensor(-2.0)) * torch.eye(3)
    # The standard error of a covariance entry of Gaussians: sqrt((Σii Σjj + Σij²) / n).
    stderr = ((exact.diagonal().outer(exact.diagonal()) + exact**2) / 40_000).sqrt()
    assert ((draws.x.T.cov() - exact).abs() < 5 * stderr).all()
    assert ((draws.x.mean(0) - oracle.mean).abs() < 5 * (exact.diagonal() / 40_000).sqrt()).all()
    assert torch.equal(draws.means, draws.latents["z"] @ oracle.weight.mT + oracle.mean)


def test_posterior_predictive_draws_from_the_guide(pair):
    model, guide, batch = pair
    torch.manual_seed(0)
    draws = posterior_predictive(model, guide, batch, 4000)
    assert draws.latents["z"].shape == (4000, 5, 2)
    assert draws.means.shape == draws.x.shape == (4000, 5, 4, 4)
    q = guide.q(batch)
    error = (draws.latents["z"].mean(0) - q.mean) / (q.variance / 4000).sqrt()
    assert (error.abs() < 5).all()
    assert torch.allclose(draws.means, model.decoder(draws.latents["z"]).sigmoid())
    assert set(draws.x.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("num_samples", [1, 3])
def test_posterior_predictive_shapes(pair, num_samples):
    draws = posterior_predictive(*pair, num_samples)
    assert draws.latents["z"].shape == (num_samples, 5, 2)
    assert draws.means.shape == draws.x.shape == (num_samples, 5, 4, 4)


def test_a_single_draw_is_shaped_as_the_observations_and_drawn_as_it_is(pair):
    model, guide, batch = pair
    draws = posterior_predictive(model, guide, batch)
    assert draws.latents["z"].shape == (5, 2)
    assert draws.means.shape == draws.x.shape == (5, 4, 4)
    assert figures.reconstructions(batch.x, draws.means).axes


def test_observations_may_be_arrays_or_data(pair):
    """In float64 too, whatever the pair has, and as booleans; draws are those of the same batch."""
    model, guide, batch = pair
    found = []
    for given in (batch, batch.x, batch.x.double().numpy(), batch.x.bool(), Dataset(batch.x)):
        torch.manual_seed(0)
        found.append(posterior_predictive(model, guide, given).means)
    assert all(torch.equal(each, found[0]) for each in found)


def test_the_shape_of_an_observation_is_read_off_data(pair):
    model, _, batch = pair
    data = Dataset(batch.x)
    for given in ((4, 4), data, splits_of(data), DataInfo.of(data)):
        assert prior_predictive(model, given, 3).x.shape == (3, 4, 4)
    assert repr(prior_predictive(model, data, 3)) == "Draws(z (3, 2), means (3, 4, 4), x (3, 4, 4))"


def test_the_observation_itself_is_not_returned(pair):
    model, guide, batch = pair
    assert not torch.equal(posterior_predictive(model, guide, batch).x, batch.x)


def test_decode_is_the_mean_of_the_likelihood(oracle):
    z = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    assert torch.allclose(decode(oracle, {"z": z}, (3,)), z @ oracle.weight.mT + oracle.mean)


def test_latent_grid_runs_along_z1_in_columns_and_z2_in_rows(oracle):
    images = latent_grid(oracle, (3,), torch.linspace(-2, 2, 5))
    assert images.shape == (5, 5, 3)
    for row, column, z in ((0, 0, [-2.0, -2.0]), (0, 4, [2.0, -2.0]), (4, 0, [-2.0, 2.0]), (2, 3, [1.0, 0.0])):
        expected = oracle.weight @ torch.tensor(z, dtype=torch.float64) + oracle.mean
        assert torch.allclose(images[row, column], expected)


def test_a_grid_needs_a_plane():
    model = LinearGaussian((4,), 3)
    assert plane_site(model, (4,)) is None
    with pytest.raises(ValueError, match="one latent of size 2"):
        latent_grid(model, (4,), torch.zeros(2))


def test_nothing_is_left_behind(pair):
    model, guide, batch = pair
    model.train()
    guide.eval()
    posterior_predictive(model, guide, batch)
    assert model.training
    assert not guide.training
    state = torch.get_rng_state()
    plane_site(model, (4, 4))
    assert torch.equal(torch.get_rng_state(), state)


def test_diagonal_guide_of_another_dtype(oracle):
    batch = Batch(torch.randn(4, 3, dtype=torch.float64), None, torch.arange(4))
    family = Diagonal(2)
    guide = Amortized(Latents.of(oracle, batch), family, Encoder((3,), family.num_params, ())).double()
    assert posterior_predictive(oracle, guide, batch).means.dtype == torch.float64


def test_without_a_mean_the_mode_stands_in_its_place() -> None:
    from ppl_vae.models import SequenceVAE
    from ppl_vae.models.autoregressive import Autoregressive
    from ppl_vae.networks.recurrent import RecurrentDecoder

    model = SequenceVAE(RecurrentDecoder(2, (4, 3), (5,)), 2, "text")
    draws = prior_predictive(model, (4, 3), 20)
    assert torch.equal(draws.means, Autoregressive(model.decoder, draws.latents["z"], "text").mode)
    assert not torch.equal(draws.means, draws.x)


class _Labelled(PyroModule):
    """A user's own, without a word of its own about labels that are not there."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails

    def forward(self, batch: Batch) -> None:
        if self.fails:
            raise ValueError("of its own")
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            loc = (z + batch.y.float()).unsqueeze(-1)  # type: ignore[union-attr]
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=batch.x)


def test_a_model_that_reads_labels_is_to_be_given_some() -> None:
    with pytest.raises(UserError, match=r"^the model reads labels: give `y`, a label for each draw\.$"):
        prior_predictive(_Labelled(), (1,), 3)
    assert prior_predictive(_Labelled(), (1,), 3, torch.tensor([0, 1, 2])).x.shape == (3, 1)
    with pytest.raises(Exception, match="of its own"):
        prior_predictive(_Labelled(fails=True), (1,), 3)
