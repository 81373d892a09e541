"""Hamiltonian transitions: they leave their density as it is, whatever the step size, and do so by their rule."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ppl_vae.evaluation import hmc

ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
BASE = Normal(ZERO, ONE)
TARGET = Normal(2 * ONE, 0.5 * ONE)
# Between the two at β = 0.6, worked out by hand: precision 1 + 0.6 (4 − 1), and 0.6 · 4 · 2 over it is the mean.
BETA, PRECISION = 0.6, 2.8
MEAN, VARIANCE = 4.8 / PRECISION, 1 / PRECISION


def gaussians(vector: Tensor) -> tuple[Tensor, Tensor]:
    """From N(0, 1) to N(2, 0.5²) in each direction."""
    base = BASE.log_prob(vector).sum(-1)
    return base, TARGET.log_prob(vector).sum(-1) - base


def exact_draws(*shape: int) -> Tensor:
    return MEAN + VARIANCE**0.5 * torch.randn(*shape, dtype=torch.float64)


def step_sizes(size: float, num: int = 1) -> Tensor:
    return torch.full((num,), size, dtype=torch.float64)


def moved(vector: Tensor, size: float, num_leapfrog: int, times: int) -> tuple[Tensor, float]:
    """Where the chains are after so many transitions, and the acceptance of the last."""
    state = hmc.evaluate(gaussians, vector)
    for _ in range(times):
        state, acceptance = hmc.transition(gaussians, state, BETA, step_sizes(size, vector.shape[1]), num_leapfrog)
    return state.vector, acceptance.mean().item()


def errors_off(draws: Tensor) -> tuple[float, float]:
    """How many standard errors the mean and the variance of Gaussian draws are off."""
    num = draws.numel()
    mean = (draws.mean().item() - MEAN) / (VARIANCE / num) ** 0.5
    return abs(mean), abs(((draws - MEAN) ** 2).mean().item() / VARIANCE - 1) / (2 / num) ** 0.5


# From half a standard deviation to more than one.
@pytest.mark.parametrize(("size", "num_leapfrog"), [(0.3, 5), (0.55, 3), (0.7, 1)])
def test_density_is_left_as_it_is(size: float, num_leapfrog: int) -> None:
    start = exact_draws(20_000, 1, 8)
    assert max(errors_off(start)) < 5
    end, acceptance = moved(start, size, num_leapfrog, 3)
    assert acceptance < 0.97
    assert (end - start).abs().mean() > 0.2
    assert max(errors_off(end)) < 5


@pytest.mark.parametrize(("size", "num_leapfrog"), [(0.3, 5), (0.55, 3), (0.7, 1)])
def test_without_the_rule_it_would_not_be(monkeypatch: pytest.MonkeyPatch, size: float, num_leapfrog: int) -> None:
    """The leapfrog alone has another density, and the test above sees it."""
    monkeypatch.setattr(hmc, "_where", lambda accepted, new, old: new)
    end, _ = moved(exact_draws(20_000, 1, 8), size, num_leapfrog, 3)
    assert max(errors_off(end)) > 10


def test_from_elsewhere_it_gets_there() -> None:
    start = torch.zeros(5_000, 1, 4, dtype=torch.float64)
    assert errors_off(start)[0] > 100
    end, _ = moved(start, 0.3, 4, 60)
    assert max(errors_off(end)) < 5


def test_small_steps_are_accepted_and_huge_ones_are_not() -> None:
    start = exact_draws(500, 1, 4)
    assert moved(start, 1e-3, 5, 1)[1] > 0.999
    end, acceptance = moved(start, 20.0, 5, 1)
    assert acceptance < 1e-6
    assert torch.equal(end, start)


def test_each_datapoint_has_its_own_step_size() -> None:
    start = exact_draws(2, 2, 3)  # as many chains as datapoints: the one must not be taken for the other
    state, _ = hmc.transition(
        gaussians, hmc.evaluate(gaussians, start), BETA, torch.tensor([1e-6, 0.1], dtype=torch.float64), 3
    )
    distance = (state.vector - start).abs().amax(-1)
    assert (distance[:, 0] < 1e-3).all()
    assert (distance[:, 1] > 1e-2).all()


def test_a_state_serves_at_every_temperature() -> None:
    vector = exact_draws(3, 2, 4)
    state = hmc.evaluate(gaussians, vector)
    for beta in (0.0, 0.3, 1.0):
        leaf = vector.clone().requires_grad_()
        base, ratio = gaussians(leaf)
        (gradient,) = torch.autograd.grad((base + beta * ratio).sum(), leaf)
        torch.testing.assert_close(state.log_density(beta), (base + beta * ratio).detach())
        torch.testing.assert_close(state.gradient(beta), gradient)
    assert not any(part.requires_grad for part in state)
    assert not vector.requires_grad


def test_states_go_together() -> None:
    """Densities and gradients of a chain that stays stay with it."""
    state, acceptance = hmc.transition(
        gaussians, hmc.evaluate(gaussians, exact_draws(200, 3, 4)), BETA, step_sizes(0.6, 3), 3
    )
    assert 0.2 < acceptance.mean() < 0.9
    for kept, again in zip(state, hmc.evaluate(gaussians, state.vector), strict=True):
        torch.testing.assert_close(kept, again)


@pytest.mark.parametrize("outside", [torch.nan, torch.inf, -torch.inf])
def test_a_trajectory_that_leaves_the_numbers_is_not_accepted(outside: float) -> None:
    """Nor one whose density overflows upwards, where the chain would stay for ever."""

    def walled(vector: Tensor) -> tuple[Tensor, Tensor]:
        base, ratio = gaussians(vector)
        return torch.where(vector[..., 0] > 1.5, outside, base), ratio

    start = torch.full((500, 1, 2), 1.4, dtype=torch.float64)
    assert (moved(start, 0.3, 2, 1)[0][..., 0] > 1.5).any()  # without the wall
    state = hmc.evaluate(walled, start)
    for _ in range(5):
        state, acceptance = hmc.transition(walled, state, BETA, step_sizes(0.3), 2)
        assert ((acceptance >= 0) & (acceptance <= 1)).all()
    assert (state.vector[..., 0] <= 1.5).all()
    assert (state.vector != start).any()


def test_a_start_without_density_is_left_for_one_with() -> None:
    def walled(vector: Tensor) -> tuple[Tensor, Tensor]:
        base, ratio = gaussians(vector)
        return torch.where(vector[..., 0] > 1.5, -torch.inf, base), ratio

    start = torch.full((200, 1, 2), 1.6, dtype=torch.float64)
    state, acceptance = hmc.transition(walled, hmc.evaluate(walled, start), BETA, step_sizes(0.3), 2)
    assert ((acceptance == 0) | (acceptance == 1)).all()
    assert 0.2 < (state.vector[..., 0] <= 1.5).double().mean() < 1


def test_a_start_that_is_no_number_has_an_acceptance_all_the_same() -> None:
    """It is averaged over the chains of a datapoint, and the step size follows it."""

    def broken(vector: Tensor) -> tuple[Tensor, Tensor]:
        base, ratio = gaussians(vector)
        return torch.where(vector[..., 0] > 1.5, torch.nan, base), ratio

    start = torch.tensor([[[1.0]], [[1.6]]], dtype=torch.float64)
    state = hmc.evaluate(broken, start)
    assert state.base.isnan().tolist() == [[False], [True]]
    _, acceptance = hmc.transition(broken, state, BETA, step_sizes(0.1), 2)
    assert acceptance.isfinite().all()
    assert acceptance[1] == 0


def test_adapted_follows_the_acceptance_within_its_range() -> None:
    acceptance = torch.tensor([0.0, hmc.TARGET_ACCEPTANCE, 1.0])
    found = hmc.adapted(torch.full((3,), 0.1), acceptance)
    assert found[0] < 0.1 < found[2]
    assert found[1] == pytest.approx(0.1)
    size = torch.full((3,), 0.1)
    for _ in range(500):
        size = hmc.adapted(size, acceptance)
    assert size.tolist() == pytest.approx([1e-4, 0.1, 0.5])
