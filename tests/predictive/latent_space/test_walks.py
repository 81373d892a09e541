"""Walks on codes that are known, and on models whose answers are."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, PerDatapoint
from ppl_vae.predictive.draws import decode
from ppl_vae.predictive.latent_space.directions import direction, shifted
from ppl_vae.predictive.latent_space.interpolation import ways
from ppl_vae.predictive.latent_space.nearest import nearest
from ppl_vae.predictive.latent_space.traversal import traversals
from ppl_vae.predictive.latent_space.walks import codes_of, decode_codes, prior_quantiles
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.programs.latents import Latents
from tests.pairs import TwoLatents, all_of, amortized, bits, optimal, oracle, simulate

POINTS = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-2.0, 0.0]], dtype=torch.float64)


# --- Interpolation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_way_begins_and_ends_at_the_points_themselves(path):
    found = ways(POINTS, 7, path)
    assert found.shape == (2, 7, 2)
    assert torch.equal(found[:, 0], POINTS[:-1])
    assert torch.equal(found[:, -1], POINTS[1:])


def test_linear_steps_are_equal():
    steps = ways(POINTS, 9).diff(dim=1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))


def test_spherical_keeps_the_radius_and_the_angular_speed():
    points = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    linear, spherical = (ways(points, 5, path)[0] for path in ("linear", "spherical"))
    assert linear.norm(dim=-1).min() < 1.5  # what the circle is for
    torch.testing.assert_close(spherical.norm(dim=-1), torch.full((5,), 2.0, dtype=torch.float64))
    angles = torch.atan2(spherical[:, 1], spherical[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, math.pi / 2, 5, dtype=torch.float64))


@pytest.mark.parametrize("end", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], ids=["parallel", "opposite", "origin"])
def test_where_there_is_no_single_circle_the_way_is_straight(end):
    points = torch.tensor([[1.0, 0.0], end])
    assert torch.equal(ways(points, 4, "spherical"), ways(points, 4, "linear"))


@pytest.mark.parametrize(("count", "steps"), [(1, 5), (3, 1)])
def test_a_way_needs_two_points_and_two_steps(count, steps):
    with pytest.raises(ValueError, match="2 points and 2 steps"):
        ways(POINTS[:count], steps)


# --- Arithmetic, traversal, neighbours ------------------------------------------------------------------------------


def test_a_direction_takes_one_mean_to_the_other():
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(5, 3, generator=generator), 2 + torch.randn(7, 3, generator=generator)
    along = direction(start, end)
    moved = shifted(start, along, torch.tensor([0.0, 0.5, 1.0]))
    assert moved.shape == (5, 3, 3)
    assert torch.equal(moved[:, 0], start)
    assert not torch.allclose(start.mean(0), end.mean(0), atol=0.5)
    torch.testing.assert_close(moved[:, 2].mean(0), end.mean(0))
    torch.testing.assert_close(moved[:, 1].mean(0), (start.mean(0) + end.mean(0)) / 2)


def test_a_traversal_moves_one_unit_and_no_other():
    code, values = torch.tensor([5.0, 6.0, 7.0]), torch.tensor([-1.0, 0.0, 1.0, 2.0])
    walks = traversals(code, torch.tensor([2, 0]), values)
    assert walks.shape == (2, 4, 3)
    assert torch.equal(walks[0], torch.tensor([[5.0, 6.0, v] for v in values]))
    assert torch.equal(walks[1], torch.tensor([[v, 6.0, 7.0] for v in values]))
    assert code.tolist() == [5, 6, 7]


def test_neighbours_are_the_nearest_first():
    generator = torch.Generator().manual_seed(1)
    candidates = torch.randn(50, 3, generator=generator)
    queries = candidates[:4] + 0.1
    found = nearest(queries, candidates, 6)
    for row, query in enumerate(queries):
        distance = np.linalg.norm(candidates.numpy() - query.numpy(), axis=1)
        assert found.index[row].tolist() == np.argsort(distance)[:6].tolist()
        np.testing.assert_allclose(found.distance[row], np.sort(distance)[:6], rtol=1e-5)
    assert nearest(candidates, candidates, 1).distance.max() == 0
    with pytest.raises(ValueError, match="no 51 neighbours"):
        nearest(queries, candidates, 51)


def test_quantiles_have_equal_mass_between_them():
    quantiles = prior_quantiles(10)
    np.testing.assert_allclose(norm.cdf(quantiles), np.arange(0.05, 1, 0.1), atol=1e-6)


# --- Codes ------------------------------------------------------------------------------------------------------------


def test_codes_of_the_oracle_are_its_posterior_means():
    model = oracle()
    x = simulate(model, 1000)  # more than one call of the guide
    guide = optimal(model, Diagonal)
    exact = model.posterior(x).mean
    torch.testing.assert_close(codes_of(model, guide, Dataset(x)), exact)
    rows = torch.tensor([700, 3])
    torch.testing.assert_close(codes_of(model, guide, Dataset(x), rows), exact[rows])


def test_sampled_codes_are_draws_of_q():
    model = oracle()
    x = simulate(model, 1).expand(4000, -1)
    guide = optimal(model, Diagonal)
    codes = codes_of(model, guide, Dataset(x), kind="samples")
    moments = posterior_moments(guide, Dataset(x[:1]).batch(torch.tensor([0])))["z"]
    error = (codes - moments.mean) / moments.std
    assert error.mean(0).abs().max() < 5 / len(codes) ** 0.5
    assert (error.var(0) - 1).abs().max() < 5 * (2 / len(codes)) ** 0.5


def test_rows_of_a_per_datapoint_guide_keep_their_numbers():
    model = oracle()
    data = Dataset(simulate(model, 6), first=10)
    guide = PerDatapoint(Latents.of(model, data.probe()), Diagonal(3), 6, 10).double()
    with torch.no_grad():
        guide.table.weight[:, :3] = torch.arange(18.0).reshape(6, 3)
    assert torch.equal(codes_of(model, guide, data, torch.tensor([4, 1])), guide.table.weight[[4, 1], :3])


def test_codes_of_several_latents_go_there_and_back():
    torch.manual_seed(0)
    model = TwoLatents()
    x = bits(5)
    guide = amortized(model, x)
    latents = Latents.of(model, Dataset(x).probe())
    codes = codes_of(model, guide, Dataset(x), kind="samples").detach()
    assert codes.shape == (5, latents.size)
    values, _ = latents.mapped(codes)
    expected = decode(model, values, x.shape[1:])
    torch.testing.assert_close(decode_codes(model, latents, codes, x.shape[1:]), expected)
    grid = codes[:4].reshape(2, 2, -1)
    torch.testing.assert_close(decode_codes(model, latents, grid, x.shape[1:]), expected[:4].unflatten(0, (2, 2)))


def test_guides_that_draw_are_asked_for_their_means():
    torch.manual_seed(0)
    model = oracle()
    x = simulate(model, 3)
    guide = amortized(model, x)
    assert isinstance(guide, Amortized)
    torch.testing.assert_close(codes_of(model, guide, Dataset(x)), guide.encoder(x)[:, :3])


def test_draws_along_a_way_share_their_noise() -> None:
    """Where the code stays, the draw stays; and the caller's generator is left alone."""
    from ppl_vae.models import VAE
    from ppl_vae.networks.dense import Decoder
    from ppl_vae.predictive.latent_space.walks import draws_along

    model = VAE(Decoder(2, (3, 4), (8,)), 2)
    latents, codes = Latents.of(model, all_of(bits(2))), torch.randn(5, 1, 2).expand(5, 3, 2).clone()
    codes[:, 2] += 3
    before = torch.get_rng_state()
    x = draws_along(model, latents, codes, (3, 4), seed=1)
    assert x.shape == (5, 3, 3, 4)
    assert torch.equal(x[:, 0], x[:, 1])
    assert not torch.equal(x[:, 0], x[:, 2])
    assert not torch.equal(x[0], x[1])
    assert not torch.equal(x, draws_along(model, latents, codes, (3, 4), seed=2))
    assert torch.equal(torch.get_rng_state(), before)
