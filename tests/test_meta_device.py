"""Ready for a GPU, as far as can be seen without one: steps and evaluations of every pair on torch's meta device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.objectives.elbo import Objective
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from ppl_vae.testing import Case
from tests.conformance import ALL_CASES
from tests.meta import META, DeviceError, ReadError, a_step, on_meta

# A pair of each kind: of every family, every parameterisation, and the models that differ in more than a density.
QUICK = (
    "two-latents, diagonal, per-datapoint",
    "two-latents, iaf, amortized",
    "vae, iaf, per-datapoint",
    "conditional, low-rank, amortized",
    "convolutional, full-rank, amortized",
    "text, diagonal, amortized",
    "vamp-prior, diagonal, semi-amortized",
    "two-layer-linear-gaussian, bottom-up, amortized",
)
PAIRS = [pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow) for case in ALL_CASES]


def take_step(case: Case, objective: Objective, **settings: Any) -> Tensor:
    model, guide, data = on_meta(case)
    optimizer = PairOptimizer(model, guide, OptimizerConfig(**settings))
    step = EagerStep(model, guide, objective, optimizer, data)
    index = torch.arange(4, device=META)
    with a_step():
        return step(index)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("case", PAIRS)
def test_a_whole_step_stays_on_the_device_and_reads_nothing(case: Case, objective: ObjectiveName) -> None:
    sums = take_step(case, OBJECTIVES[objective].make(2), clip_norm=1.0)
    assert (sums.device, sums.shape) == (META, (3,))


class Elsewhere(VAE):
    """Adds what is made on the CPU, or was there before the model moved."""

    kept = torch.zeros(3, 4)

    def __init__(self, inner: VAE, of_its_own: bool) -> None:
        super().__init__(inner.decoder, 2)
        self.of_its_own = of_its_own

    def forward(self, batch: Batch) -> Tensor:
        shift = torch.zeros(3, 4) if self.of_its_own else self.kept
        return super().forward(batch._replace(x=batch.x + shift))


class Reading(Amortized):
    """Looks at a value, as a clamp by hand does."""

    def params(self, batch: Batch) -> Tensor:
        params = super().params(batch)
        return params if params.abs().max().item() < 100 else params.clamp(-100, 100)


class Masking(Amortized):
    """Picks rows by a mask, whose number only the device knows."""

    def params(self, batch: Batch) -> Tensor:
        params = super().params(batch)
        return params + 0 * params[params.abs() < 100].sum()


def planted(change: Callable[[nn.Module, nn.Module], tuple[nn.Module, nn.Module]]) -> Case:
    case = next(case for case in ALL_CASES if case.name == "vae, diagonal, amortized")
    return case._replace(make=lambda: change(*case.make()))


def guided(kind: type[Amortized]) -> Callable[[nn.Module, Any], tuple[nn.Module, nn.Module]]:
    return lambda model, guide: (model, kind(guide.latents, guide.family, guide.encoder))


PLANTED = {
    "a tensor made on the CPU": (DeviceError, lambda model, guide: (Elsewhere(model, True), guide)),
    "a tensor left on the CPU": (DeviceError, lambda model, guide: (Elsewhere(model, False), guide)),
    "a value that is read": (ReadError, guided(Reading)),
    "rows by a mask": (ReadError, guided(Masking)),
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", PLANTED)
def test_what_a_gpu_would_refuse_or_wait_for_is_found(kind: str, objective: ObjectiveName) -> None:
    error, change = PLANTED[kind]
    with pytest.raises(error):
        take_step(planted(change), OBJECTIVES[objective].make(2))


def test_pyros_own_objective_is_found_to_wait() -> None:
    from pyro.infer import Trace_ELBO

    model, guide, data = on_meta(planted(lambda *pair: pair))
    with pytest.raises(ReadError), a_step():
        Trace_ELBO(max_plate_nesting=1).loss_and_grads(model, guide, data.batch(torch.arange(4, device=META)))
