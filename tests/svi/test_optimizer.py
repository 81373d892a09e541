"""The optimizer's settings and its schedule."""

import pytest
import torch
from torch import nn

from ppl_vae.svi import OptimizerConfig, PairOptimizer


class Numbers(nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))


def test_settings_reach_adam() -> None:
    optimizer = PairOptimizer(Numbers(1.0), Numbers(2.0), OptimizerConfig(learning_rate=0.3, adam_epsilon=1e-4))
    (group,) = optimizer.adam.param_groups
    assert (group["lr"], group["eps"], group["betas"]) == (0.3, 1e-4, (0.9, 0.999))


def test_a_step_is_adams() -> None:
    """The first step of Adam is lr · g / (|g| + ε) (Kingma and Ba 2015), for the model and for the guide."""
    model, guide = Numbers(1.0, -2.0), Numbers(3.0)
    optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.1, adam_epsilon=0.5))
    for program, gradient in ((model, torch.tensor([0.5, -1.5])), (guide, torch.tensor([0.7]))):
        program.values.grad = gradient
    expected = [
        program.values.detach() - 0.1 * program.values.grad / (program.values.grad.abs() + 0.5)
        for program in (model, guide)
    ]
    optimizer.step([])
    torch.testing.assert_close([model.values.detach(), guide.values.detach()], expected)


def rates(settings: OptimizerConfig, steps: int) -> list[float]:
    optimizer = PairOptimizer(Numbers(1.0), Numbers(2.0), settings)
    found = []
    for step in range(steps):
        optimizer.set_progress(step / steps)
        found.append(optimizer.adam.param_groups[0]["lr"])
    return found


def test_constant_schedule() -> None:
    assert set(rates(OptimizerConfig(learning_rate=0.3), 10)) == {0.3}


def test_cosine_schedule_falls_to_zero() -> None:
    found = rates(OptimizerConfig(learning_rate=0.3, schedule="cosine"), 100)
    assert found[0] == 0.3
    assert found[50] == pytest.approx(0.15)
    assert 0 < found[-1] < 1e-3 * 0.3
    assert found == sorted(found, reverse=True)


def test_state_goes_on_where_it_was() -> None:
    """The same steps with and without a trip through the state."""

    def run(trip: bool) -> torch.Tensor:
        model, guide = Numbers(1.0, -2.0), Numbers(3.0)
        optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.1))
        for step in range(4):
            if trip and step == 2:
                state = optimizer.state_dict()
                optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.1))
                optimizer.load_state_dict(state)
            for program in (model, guide):
                program.values.grad = torch.full_like(program.values, 0.5 - step)
            optimizer.step([])
        return torch.cat([model.values, guide.values]).detach()

    assert torch.equal(run(trip=True), run(trip=False))


def test_a_pair_without_parameters() -> None:
    optimizer = PairOptimizer(nn.Module(), nn.Module(), OptimizerConfig(clip_norm=1.0))
    optimizer.zero_grad()
    optimizer.set_progress(0.5)
    optimizer.step([])
    optimizer.load_state_dict(optimizer.state_dict())
