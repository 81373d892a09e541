"""Flows: maps that can be inverted, log-determinants that are the Jacobian's, densities that are densities."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ppl_vae.guides import Family, InverseAutoregressive, Planar
from ppl_vae.guides.flows import PlanarMap
from ppl_vae.networks.dense import SCALE_FLOOR
from tests.marks import slow_after

FLOWS = [Planar, InverseAutoregressive]
every_flow = pytest.mark.parametrize("kind", FLOWS)


def flow(kind: type[Family], size: int, seed: int = 0) -> Family:
    """A family in float64 whose shared networks, if it has any, are away from their neutral start.

    Not so far that Pyro clamps the logarithm of a scale, to (−5, 3): there its gradients are not the derivatives.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        family = kind(size).double()
        for param in family.parameters():
            torch.nn.init.normal_(param, std=0.08)
    return family


def params_of(family: Family, *shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, family.num_params, dtype=torch.float64, generator=generator)


def jacobian(function: object, x: Tensor) -> Tensor:
    """Of a map of one point ``(D,)``, ``(D, D)``."""
    found = torch.autograd.functional.jacobian(function, x)
    assert isinstance(found, Tensor)
    return found


# --- One planar map ---------------------------------------------------------------------------------------------------


def planar_map(size: int, u: float = 1.0, w: float = 1.0, seed: int = 0) -> PlanarMap:
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.randn(200, n, dtype=torch.float64, generator=generator) for n in (size, size, 1)]
    return PlanarMap(u * draws[0], w * draws[1], draws[2])


@pytest.mark.parametrize("size", [1, 2, 5])
def test_planar_map_is_undone(size: int) -> None:
    planar, x = planar_map(size), 2 * torch.randn(200, size, dtype=torch.float64)
    y = planar._call(x)
    assert (y - x).abs().max() > 0.5
    torch.testing.assert_close(planar._inverse(y), x, rtol=0.0, atol=1e-9)
    torch.testing.assert_close(planar._call(planar._inverse(x)), x, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_planar_log_determinant_is_the_jacobians(size: int) -> None:
    planar, x = planar_map(size), torch.randn(200, size, dtype=torch.float64)
    found = planar.log_abs_det_jacobian(x, planar._call(x))
    assert found.shape == (200,)
    for row in range(0, 200, 20):
        one = PlanarMap(planar.u[row], planar.w[row], planar.b[row])  # u is allowed already: see the next test
        one.u, one.dot = planar.u[row], planar.dot[row]
        expected = torch.linalg.slogdet(jacobian(one._call, x[row]))
        assert expected.sign > 0
        torch.testing.assert_close(found[row], expected.logabsdet, rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("scale", [10.0, 1e3, 1e6])
def test_planar_map_is_invertible_however_extreme_u_is(scale: float) -> None:
    """w·u as given is far below −1, where the map folds; what is used stays above it."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(200, 3, dtype=torch.float64, generator=generator)
    u = -scale * w / w.norm(dim=-1, keepdim=True)
    b = torch.randn(200, 1, dtype=torch.float64, generator=generator)
    assert ((w * u).sum(-1) < -1).all()
    planar = PlanarMap(u, w, b)
    assert (planar.dot > -1).all()
    x = torch.randn(200, 3, dtype=torch.float64, generator=generator)
    y = planar._call(x)
    log_det = planar.log_abs_det_jacobian(x, y)
    assert y.isfinite().all()
    assert log_det.isfinite().all()
    # 1 + w·u ≥ 1e-3: rounding of y grows a thousandfold, and that of u (its size) enters y.
    torch.testing.assert_close(planar._inverse(y), x, rtol=0.0, atol=1e-11 * scale + 1e-9)
    # On each line along w the map must be increasing.
    steps = torch.linspace(-5, 5, 1001, dtype=torch.float64)[:, None, None]
    along = (planar.w * planar._call(steps * planar.w / planar.w.square().sum(-1, keepdim=True))).sum(-1)
    assert (along.diff(dim=0) > 0).all()


def test_planar_map_without_a_direction_is_a_shift() -> None:
    zero = torch.zeros(4, 3, dtype=torch.float64)
    u = torch.randn(4, 3, dtype=torch.float64)
    planar = PlanarMap(u, zero, torch.full((4, 1), 0.5, dtype=torch.float64))
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(planar._call(x), x + u * math.tanh(0.5))
    assert planar.log_abs_det_jacobian(x, x).abs().max() < 1e-12


def test_planar_inverse_carries_the_gradient() -> None:
    """∂x/∂y is the inverse of ∂y/∂x, though the bisection is cut out of the graph."""
    u, w, b = (torch.randn(n, dtype=torch.float64) for n in (3, 3, 1))
    x = torch.randn(3, dtype=torch.float64)
    planar = PlanarMap(u, w, b)
    forward = jacobian(planar._call, x)
    backward = jacobian(planar._inverse, planar._call(x))
    torch.testing.assert_close(backward @ forward, torch.eye(3, dtype=torch.float64), rtol=0.0, atol=1e-9)
    inputs = tuple(part[None].requires_grad_() for part in (u, w, b, planar._call(x).detach()))
    assert torch.autograd.gradcheck(lambda u, w, b, y: PlanarMap(u, w, b)._inverse(y), inputs)


# --- Both families ----------------------------------------------------------------------------------------------------


@every_flow
@pytest.mark.parametrize("size", [1, 2, 5])
def test_shapes_and_leading_dimensions(kind: type[Family], size: int) -> None:
    family = flow(kind, size)
    params = params_of(family, 7, 4)
    q = family(params)
    assert (tuple(q.batch_shape), tuple(q.event_shape)) == ((7, 4), (size,))
    assert q.has_rsample
    z = q.rsample((3,))
    assert z.shape == (3, 7, 4, size)
    assert q.log_prob(z).shape == (3, 7, 4)
    one = family(params[2, 1]).log_prob(z[1, 2, 1].clone())
    torch.testing.assert_close(family(params).log_prob(z.clone())[1, 2, 1], one, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize(("size", "num_maps"), [(1, 2), (3, 1), (3, 8)])
def test_planar_num_params(size: int, num_maps: int) -> None:
    family = Planar(size, num_maps=num_maps)
    assert family.num_params == 2 * size + num_maps * (2 * size + 1)
    assert not list(family.parameters())
    assert list(family.state_dict()) == ["directions"]


def test_planar_directions_are_the_same_in_every_process() -> None:
    torch.manual_seed(0)
    first = Planar(3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    second = Planar(3)
    assert torch.equal(first.directions, second.directions)
    assert torch.equal(state, torch.get_rng_state())


def test_iaf_num_params_and_shared_networks() -> None:
    assert InverseAutoregressive(4).num_params == 12
    assert len(InverseAutoregressive(4, iaf_maps=3).maps) == 3
    assert list(InverseAutoregressive(4).parameters())
    assert InverseAutoregressive(300, iaf_maps=1, iaf_hidden=8).num_params == 900  # the hidden layer grows to D


def test_iaf_of_one_dimension_is_its_base() -> None:
    family = InverseAutoregressive(1).double()
    assert not list(family.parameters())
    params = params_of(family, 6)
    z = torch.randn(6, 1, dtype=torch.float64)
    torch.testing.assert_close(family(params).log_prob(z), family.base(params[:, :2]).log_prob(z))


@every_flow
@pytest.mark.parametrize("size", [1, 2, 4])
def test_zero_parameters_are_the_prior(kind: type[Family], size: int) -> None:
    """Of a new family; scales of 1 + floor move log q by at most floor · Σ (z² + 1)."""
    family = kind(size).double()
    q = family(torch.zeros(6, family.num_params, dtype=torch.float64))
    z = torch.randn(50, 6, size, dtype=torch.float64)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert ((q.log_prob(z) - prior).abs() <= 1.01 * SCALE_FLOOR * (z**2 + 1).sum(-1) + 1e-9).all()
    far = flow(kind, size)
    far_q = far(params_of(far, 6))
    assert ((far_q.log_prob(z) - prior).abs() > 0.1).any()


@every_flow
@pytest.mark.parametrize("size", [1, 2, 5])
def test_maps_are_undone(kind: type[Family], size: int) -> None:
    """From the draws back to the base's, without the maps' memory of their last call."""
    family = flow(kind, size)
    q = family(params_of(family, 30))
    transforms = getattr(q, "transforms", [])
    assert bool(transforms) == (kind is Planar or size > 1)
    start = torch.randn(30, size, dtype=torch.float64)
    x = start
    for transform in transforms:
        x = transform(x)
    if transforms:
        assert (x - start).abs().max() > 0.3
    back = x.clone()
    for transform in reversed(transforms):
        back = transform.inv(back.clone())
    torch.testing.assert_close(back, start, rtol=0.0, atol=1e-6)  # 8 maps, each may shrink lengths a thousandfold


@every_flow
def test_log_density_of_a_draw_is_the_change_of_variables(kind: type[Family]) -> None:
    """log q(z) = log N(ε) − log |∂z/∂ε|, the Jacobian by autodiff through the whole chain."""
    size = 3
    family = flow(kind, size)
    params = params_of(family, 4)
    q = family(params)
    z = q.rsample()
    found = q.log_prob(z)
    fresh = family(params)
    back = z.clone()
    for transform in reversed(fresh.transforms):
        back = transform.inv(back.clone())
    for row in range(4):
        one = family(params[row])

        def chain(x: Tensor, one: object = one) -> Tensor:
            for transform in one.transforms:
                x = transform._call(x)
            return x

        log_det = torch.linalg.slogdet(jacobian(chain, back[row])).logabsdet
        expected = one.base_dist.log_prob(back[row]).sum() - log_det
        torch.testing.assert_close(found[row], expected, rtol=0.0, atol=1e-7)


@every_flow
@pytest.mark.parametrize(("size", "points"), [(1, 20_001), (2, 301)])
def test_density_integrates_to_one(kind: type[Family], size: int, points: int) -> None:
    """On a grid far wider than the draws, for lopsided parameters."""
    family = flow(kind, size)
    params = 0.3 * params_of(family)
    q = family(params)
    draws = q.sample((4000,))
    margin = 1.0 + draws.amax(0) - draws.amin(0)
    low, high = draws.amin(0) - margin, draws.amax(0) + margin
    axes = [torch.linspace(a, b, points, dtype=torch.float64) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    z = torch.cartesian_prod(*axes).reshape(-1, size)
    cell = ((high - low) / (points - 1)).prod().item()
    with torch.no_grad():
        mass = family(params).log_prob(z).exp().sum().item() * cell
    assert mass == pytest.approx(1.0, abs=1e-4)
    if kind is Planar or size > 1:  # the same mass, but not the base's density
        base = family.base(params[: family.base.num_params])
        assert (base.log_prob(draws) - family(params).log_prob(draws)).abs().max() > 0.1


@every_flow
@pytest.mark.parametrize("size", slow_after(1, [3, 1]))
def test_density_of_a_draw_has_the_right_gradients(kind: type[Family], size: int) -> None:
    """Of z and of log q(z) in the parameters, and in the networks' too, on fixed noise."""
    family = flow(kind, size)
    params = (0.5 * params_of(family, 2)).requires_grad_()
    shared = [param for name, param in family.named_parameters() if name.endswith("bias")]

    def draw(params: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            q = family(params)
            z = q.rsample()
            return z, q.log_prob(z)

    assert torch.autograd.gradcheck(draw, (params,))
    for bias in shared:
        family.zero_grad()
        _, log_q = draw(params)
        (gradient,) = torch.autograd.grad(log_q.sum(), bias)
        place = int(gradient.abs().argmax())
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                bias[place] += step
                ends.append(draw(params)[1].sum().item())
                bias[place] -= step
        assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


@every_flow
def test_density_elsewhere_has_the_right_gradients(kind: type[Family]) -> None:
    family = Planar(2, num_maps=2).double() if kind is Planar else flow(kind, 2)
    params = (0.5 * params_of(family, 2)).requires_grad_()
    z = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda params, z: family(params).log_prob(z), (params, z))


@every_flow
def test_a_draw_does_not_change_the_density_elsewhere(kind: type[Family]) -> None:
    """The maps remember their last draw, but only for that draw."""
    family = flow(kind, 3)
    params, z = params_of(family, 5), torch.randn(5, 3, dtype=torch.float64)
    expected = family(params).log_prob(z)
    q = family(params)
    drawn = q.rsample()
    torch.testing.assert_close(q.log_prob(z), expected)
    torch.testing.assert_close(
        family(params).log_prob(drawn.clone()), family(params).log_prob(drawn), rtol=0.0, atol=1e-8
    )
    first, _ = q.rsample(), q.rsample()
    torch.testing.assert_close(q.log_prob(first), family(params).log_prob(first.clone()), rtol=0.0, atol=1e-6)


@every_flow
def test_draws_follow_the_density(kind: type[Family]) -> None:
    """E_q[p/q] = 1 for a narrow p inside q, within 5 standard errors."""
    family = flow(kind, 2)
    params = 0.3 * params_of(family)
    q = family(params)
    with torch.no_grad():
        z = q.rsample((20_000,))
        p = Normal(z.mean(0), 0.5 * z.std(0))
        ratio = (p.log_prob(z).sum(-1) - q.log_prob(z)).exp()
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / len(z) ** 0.5
    assert ratio.std() < 20


@every_flow
@pytest.mark.parametrize("size", [1, 10])
def test_wild_parameters_stay_finite(kind: type[Family], size: int) -> None:
    """Float32, ±10: what an encoder may say of an image unlike its training data."""
    family = kind(size)
    params = (10 * torch.randn(200, family.num_params).sign()).requires_grad_()
    q = family(params)
    z = q.rsample()
    log_q = q.log_prob(z)
    log_q.sum().backward()
    assert z.isfinite().all()
    assert log_q.isfinite().all()
    assert params.grad is not None
    assert params.grad.isfinite().all()
