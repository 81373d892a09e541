"""Elementary functions as polynomials: torch's own to a few units of the last place, and compiled alone."""

from collections.abc import Callable
from math import inf, nan

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ppl_vae.tracing.capture import trace
from ppl_vae.tracing.elementary import ELEMENTARY


def _cross_entropy(bit: float) -> Callable[[Tensor], Tensor]:
    return lambda x: functional.binary_cross_entropy_with_logits(x, torch.full_like(x, bit), reduction="none")


def _linear(x: Tensor) -> Tensor:
    return functional.linear(x[:, None], x.new_tensor([[1.5]]), x.new_tensor([0.3]))


# A function, torch's own.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "log_sigmoid": functional.logsigmoid,
    "cross entropy, bit 0": _cross_entropy(0.0),
    "cross entropy, bit 1": _cross_entropy(1.0),
    "linear": _linear,
}
_X = torch.cat([torch.linspace(-30, 30, 6_001), torch.logspace(-30, -1, 59), -torch.logspace(-30, -1, 59)])


def _traced(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor, list[str]]:
    """Value, gradient of its sum, and the operations of the graph."""

    def both(x: Tensor) -> tuple[Tensor, ...]:
        leaf = x.detach().requires_grad_()
        value = function(leaf)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    graph = trace(both, [x])
    return *graph(x), [str(node.target) for node in graph.graph.nodes]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_is_torchs_to_a_few_units_of_the_last_place_and_so_is_its_gradient(name: str) -> None:
    value, gradient, operations = _traced(FUNCTIONS[name], _X)
    exact = _X.double().requires_grad_()
    FUNCTIONS[name](exact).sum().backward()
    place = torch.finfo(torch.float32).eps
    # Of a cross entropy the error is measured against its terms, which may cancel.
    against = functional.softplus(_X.double().abs()) if "cross" in name or name == "linear" else 0.0
    right = FUNCTIONS[name](exact).detach()
    assert ((value - right).abs() <= 4 * place * torch.maximum(right.abs(), torch.as_tensor(against))).all()
    assert ((gradient - exact.grad).abs() <= 8 * place * exact.grad.abs() + 1e-6).all()
    assert not {str(operation) for operation in ELEMENTARY} & set(operations)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "linear"])
def test_ends_and_nan_are_torchs(name: str) -> None:
    ends = torch.tensor([-inf, -1e30, 0.0, 1e30, inf, nan])
    value, _, _ = _traced(FUNCTIONS[name], ends)
    torch.testing.assert_close(value, FUNCTIONS[name](ends), equal_nan=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_numbers_than_float32_are_left_to_torch(name: str) -> None:
    value, _, operations = _traced(FUNCTIONS[name], _X.double())
    assert torch.equal(value, FUNCTIONS[name](_X.double()))
    assert {str(operation) for operation in ELEMENTARY} & set(operations)


def test_a_steeper_softplus_is_torchs() -> None:
    value, _, _ = _traced(lambda x: functional.softplus(x, beta=2.0), _X)
    assert torch.equal(value, functional.softplus(_X, beta=2.0))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_columns_are_those_that_torch_selects(dim: int) -> None:
    x, index = torch.randn(3, 4), torch.tensor([2, 0, 2])

    def selected(x: Tensor, index: Tensor) -> tuple[Tensor]:
        return (x.index_select(dim, index),)

    graph = trace(selected, [x, index])
    assert torch.equal(graph(x, index)[0], x.index_select(dim, index))
    assert any("ppl_vae.columns" in str(node.target) for node in graph.graph.nodes) == (dim != 0)
