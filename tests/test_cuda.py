"""What a GPU computes is what a CPU computes: the same parameters, the same noise, the same numbers.

The comparisons need a GPU; `make gpu-check` runs them. Without one, the CPU is compared with itself, so that what
compares is tried, and ``tests/test_meta_device.py`` sees that nothing is made elsewhere and nothing waited for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from ppl_vae.data import Dataset
from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.guides import Point
from ppl_vae.inference.fitting import infer
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep
from ppl_vae.testing import Case
from tests.conformance import CASES
from tests.host_noise import HostNoise
from tests.pairs import bits, vae_pair

BATCH = 4
SLOW = pytest.mark.slow
CPU_WITH_ITSELF = "vae, diagonal, amortized"
OBJECTIVE = pytest.mark.parametrize("objective", OBJECTIVES)
# Of a pair in float64: what the order of sums may change, after some steps of Adam.
CLOSE = {"rtol": 1e-7, "atol": 1e-7}


def places() -> list[Any]:
    """Every pair of the quick table on a GPU, one on the CPU."""
    on_gpu = [pytest.param(case, "cuda", id=f"{case.name}-cuda", marks=pytest.mark.cuda) for case in CASES]
    return [*on_gpu, *(pytest.param(case, "cpu", id="cpu") for case in CASES if case.name == CPU_WITH_ITSELF)]


def placed(case: Case, device: str) -> tuple[nn.Module, nn.Module, Dataset]:
    model, guide = (program.to(device) for program in case.pair())
    return model, guide, Dataset(case.x, case.y).to(torch.device(device))


def eager_step(case: Case, objective: ObjectiveName, device: str) -> EagerStep:
    model, guide, data = placed(case, device)
    optimizer = PairOptimizer(model.train(), guide.train(), OptimizerConfig(learning_rate=0.01, clip_norm=5.0))
    return EagerStep(model, guide, OBJECTIVES[objective].make(2), optimizer, data)


def after_steps(step: EagerStep | TracedStep, count: int = 3) -> list[Tensor]:
    """The sums of some steps, and all that they have moved."""
    torch.manual_seed(1)
    index = torch.arange(BATCH, device=step.data.x.device)
    with pyro.validation_enabled(False):
        sums = [step(index).clone() for _ in range(count)]
    return [value.cpu() for value in (*sums, *step.optimizer.state_tensors())]


@OBJECTIVE
@pytest.mark.parametrize(("case", "device"), places())
def test_eager_steps_are_the_cpus(case: Case, device: str, objective: ObjectiveName) -> None:
    with HostNoise():
        found, expected = (after_steps(eager_step(case.double(), objective, where)) for where in (device, "cpu"))
    torch.testing.assert_close(found, expected, **CLOSE)


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.cuda
@OBJECTIVE
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_step_waits_for_the_gpu(case: Case, objective: ObjectiveName) -> None:
    step = eager_step(case, objective, "cuda")
    index = torch.arange(BATCH, device="cuda")
    with pyro.validation_enabled(False):
        step(index)  # libraries are loaded, and the optimizer makes its moments
        with waiting_is_an_error():
            step(index)


def as_recorded(graph: GraphModule, examples: object) -> Any:
    """Torch's own kernels; compiling takes half a minute for each pair."""
    return graph


# Running statistics are moved by each step, which is said not to be recorded.
RECORDED = [case for case in CASES if not case.name.startswith("batch-norm")]


@pytest.mark.cuda
@OBJECTIVE
@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_every_step_can_be_recorded_as_a_cuda_graph(case: Case, objective: ObjectiveName) -> None:
    eager = eager_step(case, objective, "cuda")
    step = TracedStep(eager, BATCH, as_recorded)
    before = [param.detach().clone() for param in eager.optimizer.shared]
    found = after_steps(step)
    assert all(value.isfinite().all() for value in found)
    assert not all(torch.equal(old, new) for old, new in zip(before, eager.optimizer.shared, strict=True)) or not before
    assert not torch.equal(found[0], found[1])


def steps_of_a_point(device: str, *, compiled: bool) -> list[Tensor]:
    """Twenty steps with a guide that draws nothing: what is compiled draws where it runs."""
    model, guide = (program.to(device) for program in vae_pair(Point))
    optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.01))
    eager = EagerStep(model, guide, TraceELBO(), optimizer, Dataset(bits(20)).to(torch.device(device)))
    return after_steps(TracedStep(eager, BATCH) if compiled else eager, 20)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.cuda), pytest.param("cpu", marks=SLOW)])
def test_compiled_steps_are_the_cpus(device: str) -> None:
    found = steps_of_a_point(device, compiled=True)
    torch.testing.assert_close(found, steps_of_a_point("cpu", compiled=False), rtol=1e-4, atol=1e-4)


# By what is worked out on (model, guide, data), each a tensor.
WORKED_OUT = {
    "elbo": lambda *given: elbo(*given, num_samples=20).elbo.values,
    "importance bound": lambda *given: importance_bound(*given, num_samples=20, engine="eager").values,
    "annealing": lambda *given: (
        annealed_importance_bound(
            *given, num_chains=4, settings=AnnealingConfig(temperatures=10, leapfrog=2, start="guide", engine="eager")
        ).log_px.values
    ),
}


@pytest.mark.parametrize("name", WORKED_OUT)
@pytest.mark.parametrize(("case", "device"), places())
def test_estimates_are_the_cpus(case: Case, device: str, name: str) -> None:
    with HostNoise():
        found, expected = (WORKED_OUT[name](*placed(case.double(), where)).cpu() for where in (device, "cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.cuda
def test_local_inference_converges_on_a_gpu() -> None:
    case = next(case for case in CASES if case.name == CPU_WITH_ITSELF)
    model, guide, data = placed(case, "cuda")
    found = infer(model, guide.family, data, infer_starts=2)
    assert found.params.device.type == "cuda"
    assert found.converged.double().mean() > 0.5


def test_the_same_noise_has_the_cpus_values() -> None:
    def drawn() -> list[Tensor]:
        torch.manual_seed(0)
        mean = torch.zeros(3)
        gamma, dirichlet = torch._standard_gamma(torch.ones(2)), torch._sample_dirichlet(torch.ones(2))
        return [torch.randn(2), torch.rand_like(mean), torch.bernoulli(mean + 0.5), mean.normal_(), gamma, dirichlet]

    plain = drawn()
    with HostNoise():
        assert all(map(torch.equal, drawn(), plain))
