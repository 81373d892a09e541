"""``compiled(svi)`` takes the steps of ``svi``: same losses, parameters and optimizer state on the same noise."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
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
from tests.marks import slow_but
from tests.svi.pyro_examples import EXAMPLES, Example
from tests.svi.recording.beside_pyro import COUNT, assert_recorded, outcome, recorded, regression

# --- Pyro's examples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "deep Markov model" else name for name in EXAMPLES]
)
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


@pytest.mark.parametrize("name", slow_but(["one particle", "importance", "graph"], LOSSES))
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


@pytest.mark.parametrize("name", slow_but(["Adam", "a rate for each", "ClippedAdam", "SGD"], OPTIMIZERS))
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
