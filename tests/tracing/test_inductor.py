"""torch's compiler: what it makes of a graph reads and changes the tensors that the graph does."""

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule

from ppl_vae.tracing.capture import compiled, trace
from ppl_vae.tracing.inductor import by_inductor

BASE = torch.zeros(50)
# Inductor writes a few numbers into its code.
BESIDE = {
    "one number": torch.ones(()),
    "of another type": torch.ones((), dtype=torch.float64),
    "a few": torch.ones(3),
    "more": torch.ones(20),
    "truths": torch.ones(3, dtype=torch.bool),
    "whole numbers": torch.ones(3, dtype=torch.int64),
    "none": torch.ones(0),
    "a part of another": BASE[5:45:2],
    "turned": BASE[:40].view(2, 20).t(),
    "one row for all": BASE[:1].expand(20, 1),
}


def test_tensors_beside_the_arguments_are_read_at_each_call() -> None:
    x = torch.arange(20.0).reshape(20, 1)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x * beside + torch.tensor(0.5) + beside.sum() for beside in BESIDE.values())

    fast = compiled(trace(function, [x]), [x])
    for value in (1.0, 0.0, 3.0):
        for beside in (BASE, *BESIDE.values()):
            if beside is not BESIDE["one row for all"]:  # it is BASE's first
                beside.fill_(value)
        for name, found, expected in zip(BESIDE, fast(x), function(x), strict=True):
            torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_without_arguments_it_is_read_too() -> None:
    graph = Graph()
    graph.output((graph.call_function(torch.ops.aten.mul.Tensor, (graph.get_attr("beside"), 2)),))
    holder = nn.Module()
    holder.register_buffer("beside", torch.ones(3))
    fast = by_inductor(GraphModule(holder, graph), [], {})
    holder.beside.fill_(4.0)
    assert fast()[0].tolist() == [8.0] * 3


def test_a_parameter_beside_the_arguments_needs_no_gradient() -> None:
    weight, x = nn.Parameter(torch.ones(4)), torch.ones(4)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return ((x * weight).detach(),)

    (found,) = compiled(trace(function, [x]), [x])(x)
    assert not found.requires_grad
