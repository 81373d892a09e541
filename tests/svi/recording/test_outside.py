"""What a program reads outside its arguments may change between steps: ``compiled(svi)`` sees it, as Pyro does."""

import argparse
import random
import sys
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.poutine.scale_messenger import ScaleMessenger
from torch import Tensor, nn

from ppl_vae.svi.recording.any_program import CompiledSVI
from tests.marks import slow_but

X = torch.linspace(-1, 1, 20)


@dataclass
class Config:
    shift: float = 0.0


class Slots:
    __slots__ = ("shift",)

    def __init__(self) -> None:
        self.shift = 0.0


class Schedule:
    """Its value is worked out from an attribute."""

    def __init__(self) -> None:
        self.epoch, self.losses = 0.0, list[float]()

    @property
    def shift(self) -> float:
        return self.epoch

    def at_present(self) -> float:
        return self.shift


class OfAll:
    shift = 0.0


SETTINGS = {"shift": 0.0}
Way = tuple[Callable[[], Any], Callable[[float], Any]]


def held(holder: Any, read: Callable[[Any], Any], change: Callable[[Any, float], Any]) -> Callable[[], Way]:
    """A holder in a variable of an enclosing function, read in the program and changed between steps."""

    def way() -> Way:
        mine = holder()
        return (lambda: read(mine)), (lambda value: change(mine, value))

    return way


def rebound() -> Way:
    value: Any = 0.0

    def change(to: float) -> None:
        nonlocal value
        value = to

    return (lambda: value), change


def to_a_tensor_and_on() -> Way:
    value: Any = None

    def change(to: float) -> None:
        nonlocal value
        value = torch.tensor(to) if to else None

    return (lambda: 0.0 if value is None else value), change


def a_switch_or_a_number() -> Way:
    value: Any = True

    def change(to: float) -> None:
        nonlocal value
        value = 1 if to else True

    return (lambda: 0.0 if value is True else 3.0), change


def of_a_default() -> Way:
    def read(shift: float = 0.0) -> float:
        return shift

    return (lambda: read()), (lambda to: setattr(read, "__defaults__", (to,)))


def of_a_list_by_default() -> Way:
    values = [0.0]

    def read(values: list[float] = values) -> float:
        return values[0]

    return (lambda: read()), partial(values.__setitem__, 0)


def of_another_file(name: str) -> Callable[[], Way]:
    def way() -> Way:
        module = types.ModuleType("users_settings")
        exec("shift = 0.0\ndef read():\n    return shift\n", vars(module))
        sys.modules["users_settings"] = module
        read = module.read
        reads = {"attribute": lambda: module.shift, "function": lambda: module.read(), "imported": lambda: read()}
        return reads[name], partial(setattr, module, "shift")

    return way


def of_the_process() -> Way:
    return (lambda: SETTINGS["shift"]), partial(SETTINGS.__setitem__, "shift")


def another_function() -> Way:
    functions = [lambda: 0.0]
    return (lambda: functions[0]()), lambda to: functions.__setitem__(0, lambda: to)


def set_later() -> Way:
    config = argparse.Namespace()
    return (lambda: getattr(config, "shift", 0.0)), partial(setattr, config, "shift")


def of_the_store() -> Way:
    store = pyro.get_param_store()
    return (lambda: float(len(store))), lambda to: pyro.param(f"more {to}", torch.tensor(to))


put: Callable[[Any, float], Any] = lambda values, value: values.__setitem__(0, value)  # noqa: E731
name: Callable[[Any, float], Any] = lambda holder, value: setattr(holder, "shift", value)  # noqa: E731
WAYS: dict[str, Callable[[], Way]] = {
    "variable": rebound,
    "from None to a tensor": to_a_tensor_and_on,
    "from a switch to a number": a_switch_or_a_number,
    "list": held(lambda: [0.0], lambda values: values[0], put),
    "list that grows": held(lambda: [0.0], lambda values: values[-1], lambda values, value: values.append(value)),
    "deque": held(lambda: deque([0.0]), lambda values: values[0], put),
    "set": held(lambda: {0.0}, max, lambda values, value: values.add(value)),
    "dict": held(lambda: {0: 0.0}, lambda values: values[0], put),
    "dict that grows": held(
        lambda: {0: 0.0}, lambda values: values.get(1, 0.0), lambda values, v: values.update({1: v})
    ),
    "nested": held(
        lambda: {"a": ({0: 0.0},)}, lambda values: values["a"][0][0], lambda values, v: put(values["a"][0], v)
    ),
    "dict of tensors": held(
        lambda: {0: torch.zeros(())}, lambda values: values[0], lambda values, v: put(values, torch.tensor(v))
    ),
    "tensor in place": held(lambda: torch.zeros(1), lambda values: values[0], put),
    "NumPy array": held(lambda: np.zeros(1), lambda values: float(values[0]), put),
    "NumPy number": held(
        lambda: [np.float32(0)], lambda values: float(values[0]), lambda values, v: put(values, np.float32(v))
    ),
    "data class": held(Config, lambda config: config.shift, name),
    "namespace": held(lambda: argparse.Namespace(shift=0.0), lambda config: config.shift, name),
    "slots": held(Slots, lambda config: config.shift, name),
    "attribute of a class": held(lambda: OfAll, lambda config: config.shift, name),
    "attribute of its class": held(OfAll, lambda config: config.shift, lambda _, value: name(OfAll, value)),
    "property": held(Schedule, lambda config: config.at_present(), lambda config, v: setattr(config, "epoch", v)),
    "default": of_a_default,
    "list by default": of_a_list_by_default,
    "module's attribute": of_another_file("attribute"),
    "module's function": of_another_file("function"),
    "imported function": of_another_file("imported"),
    "global dict": of_the_process,
    "another function": another_function,
    "attribute set later": set_later,
    "the parameter store": of_the_store,
}
QUICK = (
    *("variable", "from None to a tensor", "list that grows", "nested", "tensor in place", "NumPy array"),
    *("data class", "attribute of its class", "property", "default", "module's function", "another function"),
)


def shifted(read: Callable[[], Any]) -> SVI:
    def model() -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 3.0))
        with pyro.plate("data", len(X)):
            pyro.sample("x", dist.Normal(mean + read(), 1.0), obs=X)

    def guide() -> None:
        pyro.sample("mean", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.1))

    return SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())


def losses(way: Callable[[], Way], wrap: Callable[[SVI], Any], values: tuple[float, ...]) -> tuple[list[float], Any]:
    """Of four steps after each change."""
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    OfAll.shift = SETTINGS["shift"] = 0.0
    read, change = way()
    step, found = wrap(shifted(read)), list[float]()
    for value in values:
        change(value)
        found += [step.step() for _ in range(4)]
    return found, step


def recorded(svi: SVI) -> CompiledSVI:
    return CompiledSVI(svi, lambda graph, _: graph)


@pytest.mark.parametrize("way", slow_but(QUICK, WAYS))
def test_a_change_is_seen(way: str) -> None:
    assert_seen(WAYS[way])


def assert_seen(way: Callable[[], Way]) -> None:
    theirs, _ = losses(way, lambda svi: svi, (0.0, 2.0))
    assert max(theirs[:4]) < min(theirs[4:])  # it matters
    mine, step = losses(way, recorded, (0.0, 2.0))
    assert step.why is None
    assert step.num_records == (1 if way is WAYS["tensor in place"] else 2)
    torch.testing.assert_close(mine, theirs)


def data_of_a_handler() -> Way:
    data = {"y": torch.zeros(())}
    handled = poutine.condition(lambda: pyro.sample("y", dist.Normal(0.0, 1.0)), data=data)
    return handled, lambda to: data.update(y=torch.tensor(to))


def scale_of_a_handler() -> Way:
    handler = ScaleMessenger(scale=1.0)
    handled = handler(lambda: pyro.factor("f", torch.tensor(-1.0)))
    return (lambda: handled() or 0.0), lambda to: setattr(handler, "scale", 1.0 + 10 * to)


def hook() -> Way:
    layer = nn.Identity()
    zero = torch.zeros(())
    return (lambda: layer(zero)), lambda to: layer.register_forward_hook(lambda *_: torch.tensor(to))


PARTS: dict[str, Callable[[], Way]] = {
    "data of a handler": data_of_a_handler,
    "scale of a handler": scale_of_a_handler,
    "hook of a module": hook,
}


@pytest.mark.parametrize("way", PARTS.values(), ids=PARTS)
def test_a_change_of_a_part_is_seen(way: Callable[[], Way]) -> None:
    assert_seen(way)


def test_what_a_training_class_keeps_for_itself_is_nothing_to_a_record() -> None:
    """Losses in a list, a count of epochs: the programs do not read them."""

    class Training:
        def __init__(self) -> None:
            self.losses, self.steps = list[float](), 0
            self.svi = CompiledSVI(SVI(self.model, self.guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()), as_it_is)

        def model(self, x: Tensor) -> None:
            mean = pyro.sample("mean", dist.Normal(0.0, 3.0))
            pyro.sample("x", dist.Normal(mean, 1.0).expand([len(x)]).to_event(1), obs=x)

        def guide(self, x: Tensor) -> None:
            pyro.sample("mean", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 1.0))

        def run(self) -> None:
            for _ in range(6):
                self.losses.append(self.svi.step(X))
                self.steps += 1

    training = Training()
    training.run()
    assert training.svi.why is None
    assert training.svi.num_records == 1


def as_it_is(graph: Any, _: object) -> Any:
    return graph


@pytest.mark.slow
def test_a_guide_of_pyros_has_few_places() -> None:
    """They are looked at before every step."""

    def model() -> None:
        for number in range(10):
            pyro.sample(f"z{number}", dist.Normal(0.0, 1.0))

    step = recorded(SVI(model, AutoNormal(model), pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()))
    for _ in range(3):
        step.step()
    assert step.num_records == 1
    assert len(step.outside.places) < 500


# --- What a record cannot follow --------------------------------------------------------------------------------------


def counting_slowly() -> Callable[[], float]:
    """Two calls in turn are the same."""
    count = 0

    def read() -> float:
        nonlocal count
        count += 1
        return float(count // 4)

    return read


def counting_in_a_list() -> Callable[[], float]:
    seen: list[int] = []

    def read() -> float:
        seen.append(1)
        return float(len(seen) // 4)

    return read


def moving_a_tensor() -> Callable[[], Tensor]:
    mean = torch.zeros(())

    def read() -> Tensor:
        nonlocal mean
        mean = 0.9 * mean + 0.1
        return mean

    return read


def large_array() -> Callable[[], float]:
    array = np.zeros(20_000)

    def read() -> float:
        array[-1] += 1
        return float(array[-1])

    return read


def seeded_for_a_while() -> Callable[[], Tensor]:
    def read() -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return torch.randn(())

    return read


UNRECORDED: dict[str, tuple[Callable[[], Callable[[], Any]], str]] = {
    "counting slowly": (counting_slowly, "changes what it reads from outside"),
    "counting in a list": (counting_in_a_list, "changes what it reads from outside"),
    "a tensor that is another each time": (moving_a_tensor, "another at each call"),
    "Python's generator": (lambda: lambda: 5.0 if random.random() < 0.2 else 0.0, "a generator not torch's"),
    "NumPy's generator": (lambda: lambda: 5.0 if np.random.rand() < 0.2 else 0.0, "a generator not torch's"),
    "a seed": (lambda: lambda: torch.manual_seed(3) and 0.0, "sets the seed"),
    "a seed for a while": (seeded_for_a_while, "sets the seed"),
    "an array of a tensor": (lambda: lambda: float(np.asarray(X.cumsum(0))[-1]), "reads a tensor's value"),
    "a text of a tensor": (lambda: lambda: float(len(str(X))), "reads a tensor's value"),
    "a shape of values": (lambda: lambda: float(len(X.round().unique())), "shape depends on values"),
    "a mask as an index": (lambda: lambda: X[X > 0].sum(), "shape depends on values"),
    "a large array": (large_array, "a large NumPy array"),
}


@pytest.mark.parametrize(
    "kind",
    slow_but(
        ["counting slowly", "Python's generator", "a seed", "an array of a tensor", "a shape of values"], UNRECORDED
    ),
)
def test_what_cannot_be_followed_is_pyros_own_and_as_it_would_have_been(kind: str) -> None:
    make, why = UNRECORDED[kind]
    found = []
    for wrap in (lambda svi: svi, recorded):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        step, values = wrap(shifted(make())), list[float]()
        found.append(values)
        if wrap is recorded:
            with pytest.warns(UserWarning, match=why) as told:
                values += [step.step() for _ in range(16)]
            assert len(told) == 1
        else:
            values += [step.step() for _ in range(16)]
    torch.testing.assert_close(found[1], found[0])


# --- Parameters -------------------------------------------------------------------------------------------------------


def freeze(layer: nn.Linear) -> None:
    layer.weight.requires_grad_(not layer.weight.requires_grad)


def hook_gradients(layer: nn.Linear) -> None:
    layer.weight.register_hook(lambda gradient: gradient / 10)


def swap(layer: nn.Linear) -> None:
    layer.weight.data = torch.ones_like(layer.weight)


def replace(layer: nn.Linear) -> None:
    layer.bias = nn.Parameter(torch.ones_like(layer.bias))


def leave_gradients(layer: nn.Linear) -> None:
    layer.weight.pow(2).sum().backward()


def forget(_: nn.Linear) -> None:
    pyro.clear_param_store()


@pytest.mark.filterwarnings("ignore:weight was not registered")  # Pyro, of what is frozen
@pytest.mark.parametrize(
    "change", [freeze, pytest.param(hook_gradients, marks=pytest.mark.slow), swap, replace, leave_gradients, forget]
)
def test_parameters_that_are_meddled_with(change: Callable[[nn.Linear], None]) -> None:
    def run(wrap: Callable[[SVI], Any]) -> tuple[list[float], Any]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        layer, x = nn.Linear(3, 1).double(), torch.randn(20, 3, dtype=torch.float64)

        def model() -> None:
            pyro.module("layer", layer, update_module_params=False)
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(layer(x).squeeze(-1), 1.0), obs=x[:, 0])

        step = wrap(SVI(model, lambda: None, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()))
        found = list[float]()
        for _ in range(3):
            found += [step.step() for _ in range(4)]
            change(layer)
        return found, step

    theirs, _ = run(lambda svi: svi)
    mine, step = run(recorded)
    assert step.num_records >= 1
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_a_step_that_is_stopped_has_not_been_one() -> None:
    """What stops it comes before anything has moved."""
    stop = False

    def compile_graph(graph: Any, _: object) -> Any:
        def run(*tensors: Tensor) -> Any:
            if stop:
                raise KeyboardInterrupt
            return graph(*tensors)

        return run

    def step_of(each: CompiledSVI) -> float:
        return float(each.step())

    pyro.set_rng_seed(0)
    svi = shifted(lambda: 0.0)
    step = CompiledSVI(svi, compile_graph)
    before = [step_of(step) for _ in range(4)]
    stop = True
    with pytest.raises(KeyboardInterrupt):
        step.step()
    stop = False
    after = [step_of(step) for _ in range(4)]
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    whole = shifted(lambda: 0.0)
    torch.testing.assert_close(before + after, [whole.step() for _ in range(8)], rtol=1e-5, atol=0.0)
    counts = [next(iter(each.state_dict()["state"].values()))["step"] for each in svi.optim.optim_objs.values()]
    assert counts == [8]
