"""What changes between the steps of ``compiled(svi)`` is seen: data, floats, modes, attributes, parameters."""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
    Trace_ELBO,
)
from torch import nn
from torch.distributions import constraints

from ppl_vae.svi.recording.any_program import CompiledSVI
from tests.marks import slow_after
from tests.svi.pyro_examples import EXAMPLES, Example, vae
from tests.svi.recording.beside_pyro import (
    COUNT,
    assert_recorded,
    assert_same,
    outcome,
    recorded,
    regression,
)


@pytest.mark.usefixtures("double")
def test_a_ragged_last_batch_is_a_record_of_its_own() -> None:
    def make() -> Example:
        svi, _ = vae()
        x = torch.bernoulli(torch.full((50, 64), 0.5))

        def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
            while True:
                for rows in torch.randperm(50).split(20):
                    yield (x[rows],), {}

        return Example(svi, calls)

    assert_recorded(make, num_records=2)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", [float, np.float64])
def test_a_float_may_follow_a_schedule(kind: Callable[[float], float]) -> None:
    def make() -> Example:
        weights = iter(range(1, 1000))
        return regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}), argument=lambda: kind(math.sqrt(next(weights))))

    assert_recorded(make)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", slow_after(1, [int, np.int64, np.uint8, np.float32]))
def test_other_numbers_have_a_record_each(kind: Callable[[int], float]) -> None:
    def make() -> Example:
        weights = iter([1, 1, 1, 2, 2, 2] * 20)
        return regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}), argument=lambda: kind(next(weights)))

    assert_recorded(make, num_records=2)


@pytest.mark.usefixtures("double")
def test_attributes_modes_closures_and_globals_are_seen_to_change() -> None:
    class Program(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.weight, self.data = nn.Linear(3, 1), 1.0, torch.randn(10, 3)

        def model(self) -> None:
            pyro.module("layer", self.layer)
            loc = self.layer(self.data).squeeze(-1)
            loc = loc if self.training else 2 * loc
            with pyro.plate("data", 10), poutine.scale(scale=self.weight):
                pyro.sample("y", dist.Normal(loc + shift, 1.0), obs=self.data[:, 0])

    def run(wrap: Callable[[SVI], Any]) -> tuple[list[float], Any]:
        nonlocal shift
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        program, shift = Program(), 0.0
        step, losses = wrap(SVI(program.model, lambda: None, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO())), []
        for change in (None, program.eval, program.train, "weight", "shift", "data"):
            if callable(change):
                change()
            elif change == "weight":
                program.weight = 0.5
            elif change == "shift":
                shift = 1.0
            elif change == "data":
                program.data = program.data + 1
            losses += [step.step() for _ in range(4)]
        return losses, step

    shift = 0.0
    with pytest.warns(UserWarning, match="4 steps are compiled"):  # the last change is one too many
        losses, step = run(recorded)
    with_pyro, _ = run(lambda svi: svi)
    assert step.num_records == 4
    torch.testing.assert_close(losses, with_pyro, rtol=1e-9, atol=0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("double")
def test_taking_turns_with_pyros_own_steps() -> None:
    class Turns:
        def __init__(self, svi: SVI) -> None:
            self.own, self.traced, self.count = svi, recorded(svi), 0

        def step(self, *args: Any, **kwargs: Any) -> float:
            self.count += 1
            return (self.own if self.count % 5 == 0 else self.traced).step(*args, **kwargs)

    make = EXAMPLES["deep Markov model"]
    mine, turns = outcome(make, Turns)
    assert turns.traced.num_records == 1
    assert_same(mine, outcome(make, lambda svi: svi)[0])


def set_anew() -> None:
    pyro.get_param_store()["loc"] = torch.tensor(5.0)


def bound_anew() -> None:
    pyro.get_param_store()._constraints["scale"] = constraints.greater_than(0.5)


@pytest.mark.parametrize("change", slow_after(1, [set_anew, bound_anew]))
@pytest.mark.usefixtures("double")
def test_parameters_that_were_set_anew_are_the_ones_that_move(change: Callable[[], None]) -> None:
    def run(wrap: Callable[[SVI], Any]) -> list[float]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        svi, calls = regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}))
        step, losses = wrap(svi), []
        for number, (args, kwargs) in enumerate(islice(calls(), COUNT)):
            if number == 8:
                change()
            losses.append(step.step(*args, **kwargs))
        return losses

    torch.testing.assert_close(run(recorded), run(lambda svi: svi), rtol=1e-9, atol=0.0)


def test_recording_leaves_generators_and_gradients_alone() -> None:
    pyro.set_rng_seed(0)
    svi, calls = vae()
    step = recorded(svi)
    (x,), _ = next(calls())
    step.step(x)
    state, before = torch.get_rng_state(), [p.detach().clone() for p in pyro.get_param_store()._params.values()]
    step.compile_graph = lambda graph, _: lambda *tensors: (torch.zeros(()),)  # a step that does nothing
    assert step.step(x) == 0.0
    assert step.num_records == 1
    assert torch.equal(torch.get_rng_state(), state)
    for param, value in zip(pyro.get_param_store()._params.values(), before, strict=True):
        assert torch.equal(param, value)
        assert not param.grad.any()


def test_the_compiler_is_given_no_tensor_twice() -> None:
    """What a program reads outside its arguments becomes an input; left in the graph it would be one more."""
    seen = []

    def compile_graph(graph: Any, inputs: Any) -> Any:
        kept = {tensor.data_ptr() for tensor in (*graph.parameters(), *graph.buffers())}
        seen.append(len(kept & {tensor.data_ptr() for tensor in inputs if tensor.numel()}))
        return graph

    svi, calls = EXAMPLES["sparse gamma"]()
    step = CompiledSVI(svi, compile_graph)
    for args, kwargs in islice(calls(), 2):
        step.step(*args, **kwargs)
    svi, calls = vae()
    step = CompiledSVI(svi, compile_graph)
    for args, kwargs in islice(calls(), 2):
        step.step(*args, **kwargs)
    assert seen == [0, 0]


def test_the_loss_as_a_tensor() -> None:
    pyro.set_rng_seed(0)
    svi, calls = vae()
    step = recorded(svi)
    (x,), _ = next(calls())
    losses = [step.step_tensor(x) for _ in range(3)]
    assert all(loss.shape == () and loss.dtype == torch.float64 and not loss.requires_grad for loss in losses)
    assert isinstance(step.evaluate_loss(x), float)  # Pyro's own
