"""What cannot be recorded is run as Pyro runs it, and said once."""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    SVI,
    Trace_ELBO,
)
from torch import Tensor

import ppl_vae
from tests.svi.pyro_examples import Example
from tests.svi.recording.beside_pyro import (
    assert_recorded,
    assert_same,
    outcome,
    recorded,
    regression,
)


def deciding(read: Callable[[Tensor], Any]) -> Example:
    """A program that decides by a value."""

    def model(x: Tensor) -> None:
        loc = pyro.param("loc", torch.tensor(0.3))
        scale = 1.0 if read(loc) else 2.0
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(loc, scale), obs=x)

    def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        while True:
            yield (torch.ones(5),), {}

    return Example(SVI(model, lambda x: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()), calls)


def deciding_by_its_own(generator: torch.Generator) -> Example:
    """A program that draws from a generator apart."""
    example = deciding(lambda _: True)
    model = example.svi.model

    def drawing(x: Tensor) -> None:
        model(x + torch.randn((), generator=generator))

    return Example(SVI(drawing, lambda x: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()), example.calls)


class Counting:
    """A program that is another at each call."""

    def __init__(self) -> None:
        self.count = 0.0

    def __call__(self, loc: Tensor) -> bool:
        self.count += 1
        loc.requires_grad_(self.count > 0)
        return self.count % 2 == 0


class Opaque:
    """An argument that one cannot look into."""

    def __init__(self) -> None:
        self.x = torch.ones(5)


UNRECORDED: dict[str, tuple[Callable[[], Example], str]] = {
    "item": (lambda: deciding(lambda loc: loc.item() > 0), "reads a tensor's value"),
    "bool": (lambda: deciding(lambda loc: loc > 0), "reads a tensor's value"),
    "float": (lambda: deciding(lambda loc: float(loc.detach().exp()) > 2), "reads a tensor's value"),
    "counting": (lambda: deciding(Counting()), "another at each call"),
    "a generator": (lambda: deciding_by_its_own(torch.Generator().manual_seed(1)), "a Generator of its own"),
}


@pytest.mark.parametrize("name", UNRECORDED)
def test_falling_back_takes_the_same_steps_and_says_why_once(name: str) -> None:
    make, why = UNRECORDED[name]
    theirs, _ = outcome(make, lambda svi: svi)
    with pytest.warns(UserWarning, match=why) as told:
        mine, step = outcome(make, recorded)
    assert len(told) == 1
    assert why in step.why
    assert_same(mine, theirs)


def test_an_argument_that_one_cannot_look_into() -> None:
    given = Opaque()
    svi = SVI(
        lambda given: pyro.sample("x", dist.Normal(pyro.param("loc", torch.zeros(5)), 1.0).to_event(1), obs=given.x),
        lambda given: None,
        pyro.optim.Adam({"lr": 0.1}),
        Trace_ELBO(),
    )
    with pytest.warns(UserWarning, match="an argument is a Opaque"):
        losses = [recorded(svi).step(given)]
    given.x = given.x + 1
    assert svi.step(given) != losses[0]


def test_a_float_that_decides_is_no_tensor() -> None:
    """Each of its values has a record, as far as there are records."""

    def make() -> Example:
        def model(x: Tensor, power: float) -> None:
            scale = 1.0 if power > 1 else 2.0
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(0.3)), scale), obs=x)

        def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
            while True:
                yield (torch.ones(5), 0.5), {}
                yield (torch.ones(5), 1.5), {}

        return Example(SVI(model, lambda x, power: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()), calls)

    theirs, _ = outcome(make, lambda svi: svi)
    mine, step = outcome(make, recorded)
    assert step.num_records == 2
    assert_same(mine, theirs, 1e-5)


def test_a_float_that_decides_and_always_changes() -> None:
    svi, _ = regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}))

    def model(x: Tensor, power: float) -> None:
        pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0 if power > 1 else 2.0), obs=x)

    step = recorded(SVI(model, lambda x, power: None, svi.optim, Trace_ELBO()))
    with pytest.warns(UserWarning, match="others at every call .with floats as tensors: the program reads"):
        losses = [step.step(torch.tensor(1.0), number / 50) for number in range(1, 100)]
    assert step.num_records == 0
    assert len(set(losses)) > 50


def test_a_program_of_a_notebook_without_a_name() -> None:
    """Its globals need not say of which module they are."""
    source = """
def model(x, weight):
    with pyro.plate("data", len(x)), pyro.poutine.scale(scale=weight):
        pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0), obs=x)
"""
    names: dict[str, Any] = {"pyro": pyro, "dist": dist, "torch": torch}
    exec(source, names)
    step = recorded(SVI(names["model"], lambda x, weight: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()))
    for number in range(1, 5):
        step.step(torch.ones(3), number / 5)
    assert step.num_records == 1


def test_handlers_around_a_step_see_it() -> None:
    svi, calls = regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}))
    step = recorded(svi)
    ((x, y), _), *_ = islice(calls(), 1)
    for _ in range(3):
        step.step(x, y)
    with pytest.warns(UserWarning, match="inside Pyro handlers"), poutine.trace(param_only=True) as seen:
        step.step(x, y)
    assert {"loc", "scale", "noise"} <= seen.trace.nodes.keys()
    assert step.why is None


def test_many_shapes_are_too_many() -> None:
    svi, calls = regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}))
    step = recorded(svi)
    ((x, y), _), *_ = islice(calls(), 1)
    sizes = [*range(3, 9)] * 3
    with pytest.warns(UserWarning, match="4 steps are compiled") as told:
        assert all(math.isfinite(step.step(x[:size], y[:size])) for size in sizes)
    assert len(told) == 1
    assert step.num_records == 4


def test_a_loss_that_is_not_a_number_is_told_as_pyro_does() -> None:
    svi, calls = regression(Trace_ELBO(), pyro.optim.Adam({"lr": 0.05}))
    step = recorded(svi)
    ((x, y), _), *_ = islice(calls(), 1)
    for _ in range(3):
        step.step(x, y)
    with pytest.warns(UserWarning, match="Encountered NaN"):
        assert math.isnan(step.step(x * math.nan, y))


@pytest.mark.usefixtures("double")
def test_who_asks_what_is_a_float_gets_one() -> None:
    def make() -> Example:
        def model(x: Tensor, weight: Any) -> None:
            with poutine.scale(scale=weight if isinstance(weight, float) else 2.0), pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0), obs=x)

        def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
            while True:
                yield (torch.ones(5), 0.5), {}
                yield (torch.ones(5), 1.5), {}

        return Example(SVI(model, lambda x, weight: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()), calls)

    assert_recorded(make, num_records=2)


@pytest.mark.parametrize("value", [Trace_ELBO()(torch.nn.Linear(1, 1), print), torch.nn.Linear(1, 1), print, None])
def test_what_is_no_svi_is_refused(value: Any) -> None:
    with pytest.raises(
        ppl_vae.UserError, match=f"^compiled takes a pyro.infer.SVI, not a {type(value).__name__}; give it"
    ):
        ppl_vae.compiled(value)
