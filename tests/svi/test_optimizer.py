"""The optimizer's settings, and that its steps are Adam's and AdamW's."""

import torch
from torch import nn

from ppl_vae.svi import OptimizerConfig, PairOptimizer


class Numbers(nn.Module):
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))


def test_settings_reach_adam() -> None:
    optimizer = PairOptimizer(Numbers(1.0), Numbers(2.0), OptimizerConfig(learning_rate=0.3, adam_epsilon=1e-4))
    (group,) = optimizer.of_shared.param_groups
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


def test_weight_decay_is_adamws() -> None:
    """torch's own AdamW takes the same steps with matrices, and vectors keep all (Loshchilov and Hutter 2019)."""
    torch.manual_seed(0)
    layer, bare = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    bare.load_state_dict(layer.state_dict())
    optimizer = PairOptimizer(layer, nn.Module(), OptimizerConfig(learning_rate=0.1, weight_decay=0.5))
    groups = [{"params": [bare.weight], "weight_decay": 0.5}, {"params": [bare.bias], "weight_decay": 0.0}]
    torchs = torch.optim.AdamW(groups, lr=0.1)
    for factor in (1.0, 0.3, 0.7):
        optimizer.scale_rates(factor)
        for group in torchs.param_groups:
            group["lr"] = 0.1 * factor
        for name, param in layer.named_parameters():
            param.grad = torch.randn_like(param)
            bare.get_parameter(name).grad = param.grad.clone()
        optimizer.step([])
        torchs.step()
    torch.testing.assert_close(dict(layer.state_dict()), dict(bare.state_dict()), rtol=1e-12, atol=1e-12)


def test_what_has_no_gradient_does_not_decay() -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    optimizer = PairOptimizer(layer, nn.Module(), OptimizerConfig(learning_rate=0.1, weight_decay=0.5))
    layer.bias.grad = torch.ones(2)
    optimizer.step([])
    assert torch.equal(layer.weight, before)


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
    optimizer.scale_rates(0.5)
    optimizer.step([])
    optimizer.load_state_dict(optimizer.state_dict())
