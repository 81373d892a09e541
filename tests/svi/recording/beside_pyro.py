"""Steps of an SVI and of its recording, side by side."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
)
from torch import Tensor
from torch.distributions import constraints

from ppl_vae.svi.recording.any_program import CompiledSVI
from tests.svi.pyro_examples import Example

COUNT = 10


def as_recorded(graph: Any, _: object) -> Any:
    """No compiler: the graph itself."""
    return graph


def recorded(svi: SVI) -> CompiledSVI:
    """The steps recorded but not compiled, which takes a second rather than a minute."""
    return CompiledSVI(svi, as_recorded)


Outcome = tuple[list[float], dict[str, Tensor], dict[str, Any]]


def outcome(make: Callable[[], Example], wrap: Callable[[SVI], Any], count: int = COUNT) -> tuple[Outcome, Any]:
    """Losses, unconstrained parameters and optimizer state after some steps from seed 0, and what has taken them."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi, calls = make()
    step = wrap(svi)
    losses = [step.step(*args, **kwargs) for args, kwargs in islice(calls(), count)]
    params = {name: value.detach().clone() for name, value in pyro.get_param_store().named_parameters()}
    return (losses, params, svi.optim.get_state()), step


def assert_same(mine: Outcome, theirs: Outcome, tolerance: float = 1e-9) -> None:
    close = {"rtol": tolerance, "atol": tolerance}
    assert all(type(loss) is float for loss in mine[0])
    assert len(set(theirs[0])) > 1
    torch.testing.assert_close(mine[0], theirs[0], **close)
    torch.testing.assert_close(mine[1], theirs[1], **close)
    assert mine[2].keys() == theirs[2].keys()
    for name, state in theirs[2].items():
        torch.testing.assert_close(tensors(mine[2][name]), tensors(state), **close)


def tensors(state: Any) -> list[Any]:
    """All numbers of a torch optimizer's state, in their order."""
    if isinstance(state, dict):
        return [each for value in state.values() for each in tensors(value)]
    if isinstance(state, list | tuple):
        return [each for value in state for each in tensors(value)]
    return [state] if isinstance(state, Tensor | float | int) and not isinstance(state, bool) else []


def assert_recorded(make: Callable[[], Example], count: int = COUNT, num_records: int = 1) -> None:
    theirs, _ = outcome(make, lambda svi: svi, count)
    mine, step = outcome(make, recorded, count)
    assert step.why is None
    assert step.num_records == num_records
    assert_same(mine, theirs)


def regression(loss: Any, optim: Any, guide: Callable[[Any], Any] | None = None, argument: Any = None) -> Example:
    """A line through points, its slope from a normal q whose scale is constrained."""
    x = torch.linspace(-1, 1, 20)
    y = 2 * x + 0.1 * torch.randn(20)

    def model(x: Tensor, y: Tensor, weight: float = 1.0) -> None:
        noise = pyro.param("noise", torch.tensor(0.5), constraint=constraints.positive)
        slope = pyro.sample("slope", dist.Normal(0.0, 3.0))
        with pyro.plate("data", len(x)), poutine.scale(scale=weight):
            pyro.sample("y", dist.Normal(slope.unsqueeze(-1) * x, noise), obs=y)

    def own_guide(x: Tensor, y: Tensor, weight: float = 1.0) -> None:
        loc = pyro.param("loc", torch.tensor(0.0))
        scale = pyro.param("scale", torch.tensor(1.0), constraint=constraints.interval(1e-3, 5.0))
        pyro.sample("slope", dist.Normal(loc, scale))

    def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        while True:
            yield (x, y), {} if argument is None else {"weight": argument()}

    return Example(SVI(model, guide(model) if guide else own_guide, optim, loss), calls)
