"""Steps of local inference, compiled: the same as eager ones on the same noise, and what they cannot be made of."""

from collections.abc import Callable

import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from ppl_vae import Batch, UserError
from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, Family, FullRank, Planar
from ppl_vae.inference import blocks, fitting, steps, weights
from ppl_vae.inference.fitting import InferConfig, Inferred, infer
from ppl_vae.inference.steps import AdamState, CompiledSteps, ElboGradient, Steps, several_steps
from ppl_vae.models import ConditionalVAE
from ppl_vae.networks.dense import Decoder
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import frozen
from tests.marks import slow_after
from tests.pairs import bits, oracle, simulate, vae_pair

BRIEF = InferConfig(infer_steps=8, infer_window=4, infer_starts=2)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is traced is run as it was traced: to compile takes seconds."""

    def same(graph: GraphModule, _: object) -> GraphModule:
        return graph

    monkeypatch.setattr(steps, "compiled", same)
    monkeypatch.setattr(weights, "compiled", same)


def both(model: nn.Module, family: Family, data: Dataset) -> tuple[Inferred, Inferred]:
    """By traced and by eager steps."""
    traced, eager = (infer(model, family, data, settings=BRIEF, infer_engine=engine) for engine in ("traced", "eager"))
    return traced, eager


def agree(traced: Inferred, eager: Inferred, within: float) -> None:
    """And there is something to agree on: the steps have moved the rows."""
    torch.testing.assert_close(traced.params, eager.params, rtol=0.0, atol=within)
    assert torch.equal(traced.steps, eager.steps)
    assert eager.params.abs().amax(1).min() > 100 * within


def conditional() -> tuple[nn.Module, Dataset]:
    torch.manual_seed(0)
    return ConditionalVAE(Decoder(2, (3, 4), (5,), num_classes=3), 2, 3), Dataset(bits(6), torch.arange(6) % 3)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("make", slow_after(2, [Diagonal, FullRank, Planar]))
def test_traced_steps_are_the_eager_ones(make: Callable[[int], Family]) -> None:
    torch.manual_seed(0)
    agree(*both(oracle(), make(3).double(), Dataset(simulate(oracle(), 7))), 1e-9)


@pytest.mark.usefixtures("uncompiled")
def test_labels_reach_a_traced_step() -> None:
    model, data = conditional()
    agree(*both(model, Diagonal(2), data), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("make", [Diagonal, FullRank])
def test_compiled_steps_are_the_eager_ones(make: Callable[[int], Family]) -> None:
    model, data = conditional()
    agree(*both(model, make(2), data), 1e-4)


@pytest.mark.slow
def test_compiled_fits_arrive_where_eager_ones_do() -> None:
    """To the end, each datapoint stopping on its own, in slices and with copies."""
    model = oracle()
    data = Dataset(simulate(model, 20))
    settings = InferConfig(infer_starts=2, infer_particles=4, infer_halvings=9, infer_engine="traced")
    found = infer(model, FullRank(3), data, settings=settings)
    assert found.converged.all()
    assert len(set(found.steps.tolist())) > 1
    exact, q = model.posterior(data.x), FullRank(3).double()(found.params)
    torch.testing.assert_close(q.loc, exact.loc.detach(), rtol=0.0, atol=2e-3)
    torch.testing.assert_close(q.covariance_matrix, exact.covariance_matrix.detach(), rtol=0.0, atol=2e-3)


@pytest.mark.usefixtures("uncompiled")
def test_a_step_is_adams_of_each_row() -> None:
    """As Kingma and Ba write it, with a step size of each row's own."""

    class Given(ElboGradient):
        def __call__(self, params: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
            return (3 * params).sin() + params, params.sum(1)

    x, model = simulate(oracle(), 5), oracle()
    elbo_gradient = Given(model, Diagonal(3).double(), Latents.of(model, Dataset(x).probe()), 1)
    params, rate = torch.randn(5, 6).double(), 0.1 * torch.rand(5, 1).double()
    rows, expected = AdamState.at(params), params
    mean, square = torch.zeros_like(params), torch.zeros_like(params)
    for step in range(1, 41):
        rows, _ = steps.one_step(elbo_gradient, rows, rate, Dataset(x).batch(torch.arange(5)))
        gradient = (3 * expected).sin() + expected
        mean, square = 0.9 * mean + 0.1 * gradient, 0.95 * square + 0.05 * gradient**2
        expected = expected + rate * (mean / (1 - 0.9**step)) / ((square / (1 - 0.95**step)).sqrt() + 1e-8)
    torch.testing.assert_close(rows.params, expected, rtol=0.0, atol=1e-12)
    assert (expected - params).abs().min() > 1e-3


@pytest.mark.parametrize("num", slow_after(2, [5, 4, 1, 11]))
def test_more_rows_are_taken_in_turn_and_fewer_with_copies(monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    """Rows that a step has not enough of are copies of the first of its slice, and draw noise of their own."""
    monkeypatch.setattr(blocks, "_FEWEST", 4)
    monkeypatch.setattr(blocks, "_ELEMENTS", 0)
    model, family, data = oracle(), Diagonal(3).double(), Dataset(simulate(oracle(), 11))
    batch = data.batch(torch.arange(num))
    start, rate = AdamState.at(torch.randn(num, 6).double()), torch.full((num, 1), 0.05).double()
    with frozen(model, family):
        elbo_gradient = ElboGradient(model, family, Latents.of(model, data.probe()), 1)
        compiled = CompiledSteps(elbo_gradient, batch, 100)
        assert compiled.size == 4
        torch.manual_seed(0)
        after, mean = compiled(start, rate, batch, 3)
        torch.manual_seed(0)
        for first in range(0, num, 4):
            count = min(4, num - first)
            places = torch.arange(first, first + 4)
            places[count:] = first
            part = AdamState(*(each[places] for each in start))
            expected, elbos = several_steps(elbo_gradient, part, rate[places], data.batch(places), 3)
            for each, own in zip((*after, mean), (*expected, elbos), strict=True):
                torch.testing.assert_close(each[first : first + count], own[:count])
    assert len(mean) == num
    assert (after.params != start.params).all()


@pytest.mark.usefixtures("uncompiled")
def test_hardly_any_rows_are_taken_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    model, family, data = oracle(), Diagonal(3).double(), Dataset(simulate(oracle(), 40))
    called = list[int]()

    def counted(*given: object) -> tuple[AdamState, Tensor]:
        called.append(1)
        return several_steps(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "several_steps", counted)
    with frozen(model, family):
        elbo_gradient = ElboGradient(model, family, Latents.of(model, data.probe()), 1)
        walk = Steps(elbo_gradient, CompiledSteps(elbo_gradient, data.batch(torch.arange(40)), 64))
        for num, eager in ((4, 0), (3, 1)):
            batch = data.batch(torch.arange(num))
            walk(AdamState.at(torch.zeros(num, 6).double()), torch.ones(num, 1).double(), batch, 1)
            assert len(called) == eager


class Reading(nn.Module):
    """The oracle, which reads a value on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = oracle()

    def forward(self, batch: Batch) -> None:
        if batch.x.sum().item() > -1e9:
            self.inner(batch)


def test_what_cannot_be_traced_is_fitted_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset(simulate(oracle(), 4))
    eager = infer(Reading(), Diagonal(3).double(), data, settings=BRIEF, infer_engine="eager")
    monkeypatch.setattr(fitting, "worth_compiling", lambda *_: True)
    found = infer(Reading(), Diagonal(3).double(), data, settings=BRIEF)
    assert torch.equal(found.params, eager.params)
    with pytest.raises(UserError, match=r"^what is asked for cannot be traced \(the program reads a tensor's value"):
        infer(Reading(), Diagonal(3).double(), data, settings=BRIEF, infer_engine="traced")


@pytest.mark.usefixtures("uncompiled")
def test_tracing_changes_nothing() -> None:
    """Neither generators, nor parameters, nor Pyro's store; and the same seed means the same answer."""
    model, guide = vae_pair()
    model.train()
    data = Dataset(bits(6))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator, stored = torch.get_rng_state(), set(pyro.get_param_store())
    first = infer(model, guide.family, data, guide.latents, settings=BRIEF, infer_engine="traced")
    assert torch.equal(torch.get_rng_state(), generator)
    assert set(pyro.get_param_store()) == stored
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(param.requires_grad and param.grad is None for param in model.parameters())
    assert model.training
    torch.manual_seed(9)
    again = infer(model, guide.family, data, guide.latents, settings=BRIEF, infer_engine="traced")
    assert torch.equal(first.params, again.params)
