"""torch's compiler: what it makes of a graph reads and changes the tensors that the graph does."""

import pytest
import torch
from torch import Tensor

from ppl_vae.tracing.capture import compiled, trace


@pytest.mark.parametrize("size", [(), (3,), (20,)])  # inductor writes a few numbers into its code
def test_a_tensor_beside_the_arguments_is_read_at_each_call(size: tuple[int, ...]) -> None:
    beside, x = torch.ones(size), torch.arange(20.0).reshape(20, 1)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return (x * beside + torch.tensor(0.5),)

    fast = compiled(trace(function, [x]), [x])
    for value in (1.0, 3.0):
        beside.fill_(value)
        torch.testing.assert_close(fast(x), function(x))


def test_a_parameter_beside_the_arguments_needs_no_gradient() -> None:
    weight, x = torch.nn.Parameter(torch.ones(4)), torch.ones(4)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return ((x * weight).detach(),)

    (found,) = compiled(trace(function, [x]), [x])(x)
    assert not found.requires_grad
