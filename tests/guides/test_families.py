"""Families: densities that are densities, samples that follow them, and no parameters that break them."""

import math

import pyro
import pytest
import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, Normal, kl_divergence

from ppl_vae import UserError
from ppl_vae.guides import Diagonal, Family, FullRank, LowRank
from ppl_vae.guides.families import _LowRankNormal, _of_each
from ppl_vae.networks.dense import SCALE_FLOOR, positive

FAMILIES = [Diagonal, FullRank]
every_family = pytest.mark.parametrize("kind", FAMILIES)


def scales(q: object) -> Tensor:
    """Standard deviations given the coordinates before: the diagonal of the scale."""
    base = getattr(q, "base_dist", q)
    return base.scale_tril.diagonal(dim1=-2, dim2=-1) if isinstance(base, MultivariateNormal) else base.scale


@every_family
def test_shapes(kind: type[Family]) -> None:
    family = kind(3)
    q = family(torch.randn(7, 5, family.num_params))
    assert (q.batch_shape, q.event_shape) == ((7, 5), (3,))
    assert q.has_rsample
    z = q.rsample((2,))
    assert z.shape == (2, 7, 5, 3)
    assert q.log_prob(z).shape == (2, 7, 5)


@pytest.mark.parametrize(("kind", "size", "num_params"), [(Diagonal, 4, 8), (FullRank, 4, 14), (FullRank, 1, 2)])
def test_num_params(kind: type[Family], size: int, num_params: int) -> None:
    assert kind(size).num_params == num_params


@every_family
@pytest.mark.parametrize("size", [1, 3])
def test_log_density_gradients(kind: type[Family], size: int) -> None:
    family = kind(size)
    params = torch.randn(2, family.num_params, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda params, z: family(params).log_prob(z), (params, z))


@every_family
def test_a_draw_does_not_change_the_density_elsewhere(kind: type[Family]) -> None:
    """A family may remember its last draw, but only for that draw."""
    family = kind(3)
    params = torch.randn(5, family.num_params, dtype=torch.float64)
    q, z = family(params), torch.randn(5, 3, dtype=torch.float64)
    expected = q.log_prob(z)
    drawn = q.rsample()
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(q.log_prob(drawn), family(params).log_prob(drawn.clone()))
    first, _ = q.rsample(), q.rsample()
    torch.testing.assert_close(q.log_prob(first), family(params).log_prob(first))


def test_low_rank_is_torchs() -> None:
    """The same density, draws, moments and KL, also expanded; what cannot be factorised has no density."""
    torch.manual_seed(0)
    family = LowRank(4, rank=2)
    q = family(torch.randn(5, family.num_params, dtype=torch.float64))
    expected = LowRankMultivariateNormal(q.loc, q.cov_factor, q.cov_diag)
    prior = MultivariateNormal(torch.zeros(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
    for mine, theirs, shape in ((q, expected, (5,)), (q.expand([3, 5]), expected.expand([3, 5]), (3, 5))):
        z = torch.randn(*shape, 4, dtype=torch.float64)
        assert mine.batch_shape == shape
        for name in ("mean", "variance", "covariance_matrix", "scale_tril"):
            torch.testing.assert_close(getattr(mine, name), getattr(theirs, name))
        torch.testing.assert_close(mine.log_prob(z), theirs.log_prob(z))
        torch.testing.assert_close(mine.entropy(), theirs.entropy())
        torch.testing.assert_close(kl_divergence(mine, prior), kl_divergence(theirs, prior))
        draws = []
        for each in (mine, theirs):
            torch.manual_seed(1)
            draws.append(each.rsample((2,)))
        torch.testing.assert_close(*draws)
    with pyro.validation_enabled(False):
        broken = _LowRankNormal(torch.zeros(2), torch.ones(2, 1), torch.full((2,), -0.1))  # 1 + WᵀD⁻¹W = −19
    assert broken._capacitance_tril.isnan()


@every_family
def test_sample_gradients(kind: type[Family]) -> None:
    family = kind(3)
    params = torch.randn(2, family.num_params, dtype=torch.float64, requires_grad=True)

    def draw(params: Tensor) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return family(params).rsample()

    assert torch.autograd.gradcheck(draw, (params,))


def grid(centre: Tensor, radius: float, points: int) -> tuple[Tensor, float]:
    """A grid around a point, ``(points^D, D)``, and the volume of its cell."""
    axes = [c + torch.linspace(-radius, radius, points, dtype=torch.float64) for c in centre]
    return torch.cartesian_prod(*axes).reshape(-1, len(centre)), (2 * radius / (points - 1)) ** len(centre)


@every_family
@pytest.mark.parametrize(("size", "points"), [(1, 4001), (2, 801)])
def test_density_integrates_to_one(kind: type[Family], size: int, points: int) -> None:
    family = kind(size)
    params = torch.linspace(-0.9, 1.1, family.num_params, dtype=torch.float64)
    q = family(params)
    z, cell = grid(params[:size], 12.0, points)
    mass = q.log_prob(z).exp().sum() * cell
    assert mass.item() == pytest.approx(1.0, abs=1e-6)


@every_family
def test_draws_have_the_densitys_moments(kind: type[Family]) -> None:
    """E[log q] from draws is minus the entropy, and the draws' mean is loc; a lopsided q, 5 standard errors."""
    family = kind(3)
    params = torch.linspace(-1.0, 1.5, family.num_params, dtype=torch.float64)
    q = family(params)
    z = q.rsample((20_000,))
    log_q = q.log_prob(z)
    expected = -scales(q).log().sum() - 1.5 * math.log(2 * math.pi * math.e)
    assert abs(log_q.mean() - expected) < 5 * log_q.std() / len(z) ** 0.5
    assert ((z.mean(0) - params[:3]).abs() < 5 * z.std(0) / len(z) ** 0.5).all()


def test_full_rank_reads_its_parameters_row_by_row() -> None:
    loc, raw_diagonal, below = [1.0, 2.0, 3.0], [-0.5, 0.0, 0.5], [0.1, 0.2, -0.3]
    q = FullRank(3)(torch.tensor(loc + raw_diagonal + below))
    diagonal = positive(torch.tensor(raw_diagonal)).tolist()
    expected = torch.tensor([[diagonal[0], 0.0, 0.0], [0.1, diagonal[1], 0.0], [0.2, -0.3, diagonal[2]]])
    expected = expected.tril(-1) / 3**0.5 + expected.diag().diag()
    torch.testing.assert_close(q.scale_tril, expected)
    torch.testing.assert_close(q.loc, torch.tensor(loc))


def test_full_rank_holds_the_diagonal_family() -> None:
    params = torch.randn(5, 8, dtype=torch.float64)
    full = torch.cat([params, torch.zeros(5, 6, dtype=torch.float64)], dim=-1)
    z = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(FullRank(4)(full).log_prob(z), Diagonal(4)(params).log_prob(z))


@every_family
def test_zero_parameters_are_the_prior(kind: type[Family]) -> None:
    family = kind(4)
    q = family(torch.zeros(6, family.num_params, dtype=torch.float64))
    z = torch.randn(100, 6, 4, dtype=torch.float64)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    # A scale of 1 + floor moves log q by at most floor · Σ (z² + 1).
    assert ((q.log_prob(z) - prior).abs() <= 1.01 * SCALE_FLOOR * (z**2 + 1).sum(-1)).all()
    far = family(torch.full((6, family.num_params), 0.5, dtype=torch.float64))
    assert ((far.log_prob(z) - prior).abs() > 0.01).any()


def extreme(kind: type[Family], size: int) -> Tensor:
    """Raw parameters of ±1e4 in every pattern of signs that 200 draws give, ``(200, num_params)``."""
    return 1e4 * torch.randn(200, kind(size).num_params).sign()


@pytest.mark.parametrize(
    ("kind", "size"),
    [(Diagonal, 1), (Diagonal, 50), (FullRank, 1), (FullRank, 3), (FullRank, 10)],
)
def test_extreme_parameters_stay_finite(kind: type[Family], size: int) -> None:
    """The densities of its own draws and their gradients: all that an ELBO needs of q."""
    params = extreme(kind, size).requires_grad_()
    q = kind(size)(params)
    assert (scales(q) >= SCALE_FLOOR).all()
    z = q.rsample()
    assert z.isfinite().all()
    log_q = q.log_prob(z)
    assert log_q.isfinite().all()
    log_q.sum().backward()
    assert params.grad is not None
    assert params.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "size"), [(Diagonal, 10), (FullRank, 10)])
def test_wild_parameters_keep_the_density_of_a_draw(kind: type[Family], size: int) -> None:
    """With z = loc + Lε, log q(z) = −½|ε|² − log|L| − ½D log 2π: a wrong one makes an ELBO of any height."""
    q = kind(size)(extreme(kind, size) * 1e-3)  # ±10: what an encoder may say of an image unlike its training data
    log_q = q.log_prob(q.rsample())
    squares = -2 * (log_q + scales(q).log().sum(-1) + 0.5 * size * math.log(2 * math.pi))
    assert squares.min() > 0
    assert squares.max() < 60  # χ² with 10 degrees of freedom; beyond 60 once in 3e8


def test_scales_never_fall_below_the_floor_nor_overflow() -> None:
    raw = torch.tensor([-math.inf, -1e30, -1e4, -104.0, 0.0, 1e4, 1e30])
    scale = positive(raw)
    assert (scale >= SCALE_FLOOR).all()
    assert scale.isfinite().all()
    assert scale[4].item() == pytest.approx(1 + SCALE_FLOOR)
    assert torch.nn.functional.softplus(raw)[3] < SCALE_FLOOR  # what softplus alone would give
    assert (positive(torch.linspace(-20, 20, 1000)).diff() > 0).all()


@pytest.mark.parametrize("size", [1, 4])
def test_full_rank_has_its_numbers_by_rows_and_their_gradients(size: int) -> None:
    """As torch would put them in place by itself."""
    family = FullRank(size)
    params = torch.randn(2, 3, family.num_params, dtype=torch.float64, requires_grad=True)
    raw, below = params[..., size : 2 * size], params[..., 2 * size :]
    rows, columns = torch.tril_indices(size, size, offset=-1)
    expected = torch.diag_embed(positive(raw)).index_put(
        (torch.arange(2)[:, None, None], torch.arange(3)[:, None], rows, columns), below / size**0.5
    )
    found = family(params).scale_tril
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-15)
    weights = torch.randn_like(found)
    gradients = [torch.autograd.grad((weights * each).sum(), params)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0.0, atol=1e-12)
    assert torch.autograd.gradgradcheck(lambda params: family(params).scale_tril.square().sum(), params)


@pytest.mark.parametrize("batch", [(), (5,), (2, 5)])
@pytest.mark.parametrize("draws", [(), (1,), (7,), (4, 3)])
@pytest.mark.parametrize("shared", [False, True])
def test_products_with_many_vectors_are_those_with_each(
    batch: tuple[int, ...], draws: tuple[int, ...], shared: bool
) -> None:
    """Whether the vectors' batch is the matrices' own or one that they are repeated over."""
    matrices = torch.randn(*(1 if shared else size for size in batch), 3, 3, dtype=torch.float64)
    vectors = torch.randn(*draws, *batch, 3, dtype=torch.float64)
    found = _of_each(torch.matmul, matrices, vectors)
    torch.testing.assert_close(found, torch.einsum("...ij,...j->...i", matrices, vectors), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("draws", [(), (1,), (4,)])
@pytest.mark.parametrize("own", [True, False])
def test_the_density_of_a_draw_follows_the_draw_alone(draws: tuple[int, ...], own: bool) -> None:
    """As that of a copy with constant parameters does, whether q remembers the draw or not."""
    family = FullRank(3).double()
    params = torch.randn(5, family.num_params, dtype=torch.float64, requires_grad=True)
    q = family(params)
    value = q.rsample(draws)
    value = value if own else 1.1 * value
    copy = MultivariateNormal(q.loc.detach(), scale_tril=q.scale_tril.detach())
    weights = torch.randn(*draws, 5, dtype=torch.float64)
    found, expected = q.log_prob_stuck(value), copy.log_prob(value)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-10)
    gradients = [
        torch.autograd.grad((weights * each).sum(), params, retain_graph=True)[0] for each in (found, expected)
    ]
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("size", "rank"), [(1, 2), (2, 9), (3, 4)])
def test_more_columns_than_latents_are_refused(size: int, rank: int) -> None:
    assert LowRank(size, rank=size).num_params == (2 + size) * size
    with pytest.raises(UserError, match=rf"^`rank` {rank}: q is of {size} latents?, so more columns than {size} add"):
        LowRank(size, rank=rank)
