"""``compiled(svi)`` takes the steps of ``svi``: same losses, parameters and optimizer state on the same noise."""

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
    RenyiELBO,
    Trace_ELBO,
    TraceEnum_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
    config_enumerate,
)
from pyro.infer.autoguide import AutoLowRankMultivariateNormal, AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from torch import Tensor, nn
from torch.distributions import constraints

import ppl_vae
from ppl_vae.svi.recording.any_program import CompiledSVI
from tests.svi.pyro_examples import EXAMPLES, Example, vae

COUNT = 10


@pytest.fixture(autouse=True)
def own_store() -> Iterator[None]:
    """Pyro's store is the process's."""
    with pyro.get_param_store().scope():
        yield


@pytest.fixture
def double() -> Iterator[None]:
    """In float32 Adam's first steps are the signs of gradients, which rounding decides where they are 0."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


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


# --- Pyro's examples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.usefixtures("double")
def test_examples(name: str) -> None:
    assert_recorded(EXAMPLES[name], 22)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_compiled(name: str) -> None:
    """In float32, as users have it: losses to 1e-5."""
    theirs, _ = outcome(EXAMPLES[name], lambda svi: svi, 22)
    mine, step = outcome(EXAMPLES[name], ppl_vae.compiled, 22)
    assert step.why is None
    assert step.num_records == 1
    torch.testing.assert_close(mine[0], theirs[0], rtol=1e-5, atol=0.0)
    torch.testing.assert_close(mine[1], theirs[1], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_compiled_for_two_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        test_examples_compiled("variational autoencoder")
    finally:
        torch.set_num_threads(before)


# --- Losses and optimizers --------------------------------------------------------------------------------------------


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


LOSSES: dict[str, Callable[[], Any]] = {
    "one particle": Trace_ELBO,
    "three particles": lambda: Trace_ELBO(num_particles=3),
    "three at once": lambda: Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1),
    "KL in closed form": TraceMeanField_ELBO,
    "Renyi": lambda: RenyiELBO(alpha=0.3, num_particles=3),
    "importance": lambda: RenyiELBO(alpha=0, num_particles=3, vectorize_particles=True, max_plate_nesting=1),
    "graph": TraceGraph_ELBO,
    "enumeration": lambda: TraceEnum_ELBO(strict_enumeration_warning=False, max_plate_nesting=1),
    "one's own": lambda: (
        lambda model, guide, *args, **kwargs: Trace_ELBO().differentiable_loss(model, guide, *args, **kwargs)
    ),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.usefixtures("double")
def test_losses(name: str) -> None:
    assert_recorded(lambda: regression(LOSSES[name](), pyro.optim.Adam({"lr": 0.05})))


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: pyro.optim.Adam({"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.1}),
    "maximizing Adam": lambda: pyro.optim.Adam({"lr": 0.001, "maximize": True}),
    "AdamW": lambda: pyro.optim.AdamW({"lr": 0.05, "weight_decay": 0.1}),
    "ClippedAdam": lambda: pyro.optim.ClippedAdam({"lr": 0.05, "lrd": 0.9, "clip_norm": 0.5, "weight_decay": 0.1}),
    "centered ClippedAdam": lambda: pyro.optim.ClippedAdam({"lr": 0.05, "centered_variance": True}),
    "a rate for each": lambda: pyro.optim.Adam(lambda name: {"lr": 0.1 if name == "loc" else 0.01}),
    "AMSGrad": lambda: pyro.optim.Adam({"lr": 0.05, "amsgrad": True}),
    "clipped": lambda: pyro.optim.Adam({"lr": 0.05}, {"clip_norm": 0.5}),
    "wrapped Adam": lambda: pyro.optim.PyroOptim(torch.optim.Adam, {"lr": 0.05}),
    "SGD": lambda: pyro.optim.SGD({"lr": 1e-3, "momentum": 0.9}),
    "AdagradRMSProp": lambda: pyro.optim.AdagradRMSProp({"eta": 0.1}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.usefixtures("double")
def test_optimizers(name: str) -> None:
    assert_recorded(lambda: regression(Trace_ELBO(), OPTIMIZERS[name]()))


@pytest.mark.usefixtures("double")
def test_a_loop_with_torchs_optimizer_takes_the_steps_of_an_svi() -> None:
    """What a loop over an ELBO as a module is told to be compiled as."""
    losses, found = [], []
    for looped in (False, True):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        model = BayesianLine()
        x = torch.randn(20, 2)
        guide = AutoNormal(model)
        guide(x, x[:, 0])  # makes its parameters
        if looped:
            loss_fn = Trace_ELBO()(model, guide)
            optimizer = torch.optim.Adam(loss_fn.parameters(), lr=0.05)
            values = []
            for _ in range(COUNT):
                optimizer.zero_grad()
                loss = loss_fn(x, x[:, 0])
                loss.backward()
                optimizer.step()
                values.append(loss.item())
        else:
            step = recorded(SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO()))
            values = [step.step(x, x[:, 0]) for _ in range(COUNT)]
            assert step.num_records == 1
        losses.append(values)
        found.append([param.detach().clone() for param in (*model.parameters(), *guide.parameters())])
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-9, atol=0.0)
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("double")
def test_a_schedule_is_the_users() -> None:
    def run(wrap: Callable[[SVI], Any]) -> tuple[list[float], Any]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        settings = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.1}, "gamma": 0.7}
        scheduler = pyro.optim.ExponentialLR(settings)
        svi, calls = regression(Trace_ELBO(), scheduler)
        step, losses = wrap(svi), []
        for args, kwargs in islice(calls(), COUNT):
            losses.append(step.step(*args, **kwargs))
            scheduler.step()
        return losses, step

    losses, step = run(recorded)
    assert step.num_records == 1
    torch.testing.assert_close(losses, run(lambda svi: svi)[0], rtol=1e-9, atol=0.0)


@pytest.mark.usefixtures("double")
def test_saved_state_goes_on(tmp_path: Any) -> None:
    """Store and optimizer saved after recorded steps, loaded for an SVI that takes Pyro's own."""

    def make() -> Example:
        return regression(Trace_ELBO(), OPTIMIZERS["ClippedAdam"]())

    (whole, *_), _ = outcome(make, recorded, 2 * COUNT)
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    svi, calls = make()
    step = recorded(svi)
    for args, kwargs in islice(calls(), COUNT):
        step.step(*args, **kwargs)
    svi.optim.save(tmp_path / "optim")
    pyro.get_param_store().save(tmp_path / "params")
    state = torch.get_rng_state()
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    again, calls = make()  # the data are drawn from the seed too
    pyro.get_param_store().load(tmp_path / "params")
    again.optim.load(tmp_path / "optim")
    torch.set_rng_state(state)
    rest = [again.step(*args, **kwargs) for args, kwargs in islice(calls(), COUNT)]
    torch.testing.assert_close(rest, whole[COUNT:], rtol=1e-9, atol=0.0)


# --- Programs ---------------------------------------------------------------------------------------------------------


class BayesianLine(PyroModule):
    """Priors and a constrained parameter as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.line = PyroModule[nn.Linear](2, 1)
        self.line.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.noise = PyroParam(torch.tensor(0.5), constraint=constraints.positive)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        mean = self.line(x).squeeze(-1)
        noise = self.noise
        with pyro.plate("data", len(x), subsample_size=8) as rows:
            pyro.sample("y", dist.Normal(mean[rows], noise), obs=None if y is None else y[rows])
        return mean


def bayesian_line(guide: Callable[[Any], Any]) -> Example:
    model = BayesianLine()
    x = torch.randn(20, 2)
    y = x.sum(dim=-1)

    def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        while True:
            yield (x,), {"y": y}

    return Example(SVI(model, guide(model), pyro.optim.Adam({"lr": 0.01}), Trace_ELBO()), calls)


@pytest.mark.parametrize("guide", [AutoNormal, AutoLowRankMultivariateNormal])
@pytest.mark.usefixtures("double")
def test_modules_with_priors_autoguides_and_subsampling(guide: Callable[[Any], Any]) -> None:
    assert_recorded(lambda: bayesian_line(guide))


def mixture() -> Example:
    """Assignments enumerated in the model, and a Bernoulli of the guide that no gradient passes through."""
    x = torch.cat([torch.randn(10) - 3, torch.randn(10) + 3])

    @config_enumerate
    def model(x: Tensor) -> None:
        weights = pyro.param("weights", torch.ones(2) / 2, constraint=constraints.simplex)
        means = pyro.param("means", torch.tensor([-1.0, 1.0]))
        shift = pyro.sample("shift", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            which = pyro.sample("which", dist.Categorical(weights))
            pyro.sample("x", dist.Normal(means[which] + shift, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("shift", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.1))

    def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        while True:
            yield (x,), {}

    return Example(SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), TraceEnum_ELBO(max_plate_nesting=1)), calls)


def coins(loss: Any, infer: dict[str, Any]) -> Example:
    """A discrete latent of the guide: by the score function, or enumerated."""
    x = torch.tensor([1.0, 1.0, 0.0, 1.0])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(0.3))
            pyro.sample("x", dist.Bernoulli(0.2 + 0.6 * z), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            logits = pyro.param("logits", torch.zeros(len(x)))
            pyro.sample("z", dist.Bernoulli(logits=logits), infer=infer)

    def calls() -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        while True:
            yield (x,), {}

    return Example(SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss), calls)


DISCRETE: dict[str, Callable[[], Example]] = {
    "enumerated in the model": mixture,
    "score function": lambda: coins(Trace_ELBO(), {}),
    "score function, graph": lambda: coins(TraceGraph_ELBO(), {}),
    "enumerated in parallel": lambda: coins(TraceEnum_ELBO(max_plate_nesting=1), {"enumerate": "parallel"}),
}


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.usefixtures("double")
def test_discrete_latents(name: str) -> None:
    assert_recorded(DISCRETE[name])


class Normalized(nn.Module):
    """A layer that keeps running means, which a step moves."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def model(self, x: Tensor) -> None:
        pyro.module("layers", self.layers)
        loc = self.layers(x).squeeze(-1)
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(loc, 1.0), obs=x[:, 0])

    def guide(self, x: Tensor) -> None:
        pass


@pytest.mark.usefixtures("double")
def test_buffers_move_as_they_do_in_pyro() -> None:
    buffers = []
    for wrap in (recorded, lambda svi: svi):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        program = Normalized()
        step = wrap(SVI(program.model, program.guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO()))
        for _ in range(COUNT):
            step.step(torch.randn(10, 3))
        buffers.append(dict(program.named_buffers()))
    assert buffers[0]["layers.1.num_batches_tracked"] == COUNT
    torch.testing.assert_close(buffers[0], buffers[1], rtol=1e-9, atol=1e-9)


# --- What changes between steps ---------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.float32])
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


@pytest.mark.parametrize("change", [set_anew, bound_anew])
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


# --- What cannot be recorded ------------------------------------------------------------------------------------------


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
