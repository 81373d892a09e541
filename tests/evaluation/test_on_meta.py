"""What works on given pairs, on torch's meta device: it stays there, and reads values a set number of times."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ppl_vae.data import Dataset
from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound, reverse_annealed_bound
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.evaluation.simulation import simulate
from ppl_vae.inference.fitting import infer
from ppl_vae.predictive import draws, posteriors
from ppl_vae.programs.latents import Latents
from ppl_vae.testing import Case
from tests.conformance import ALL_CASES, CASES
from tests.meta import META, DeviceError, Evaluating, on_meta

Work = Callable[[nn.Module, Any, Dataset, int], object]


def annealing(size: int, start: str) -> AnnealingConfig:
    return AnnealingConfig(temperatures=1 + size, leapfrog=1, start=start, engine="eager")


def downwards(model: nn.Module, guide: Any, data: Dataset, size: int) -> object:
    """The half of bidirectional Monte Carlo that starts at exact posterior draws."""
    simulated, truth = simulate(model, data.event_shape, len(data), data.y)
    posterior = Latents.of(model, simulated.probe()).flattened(truth)
    return reverse_annealed_bound(model, None, simulated, posterior, 4, annealing(size, "prior"))


# By how much work there is: draws, temperatures, steps in a window.
ESTIMATORS: dict[str, Work] = {
    "elbo": lambda model, guide, data, size: elbo(model, guide, data, 8000 * size),
    "importance bound": lambda model, guide, data, size: importance_bound(
        model, guide, data, 8000 * size, engine="eager"
    ),
    "annealing from the prior": lambda model, guide, data, size: annealed_importance_bound(
        model, guide, data, 4, annealing(size, "prior")
    ),
    "annealing from the guide": lambda model, guide, data, size: annealed_importance_bound(
        model, guide, data, 4, annealing(size, "guide")
    ),
    "annealing downwards": downwards,
    "local inference": lambda model, guide, data, size: infer(
        model, guide.family, data, infer_starts=2, infer_window=size, infer_steps=2 * size
    ),
}

QUICK = ("two-latents, low-rank, amortized",)
PAIRS = [pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow) for case in ALL_CASES]


@pytest.fixture(autouse=True)
def no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two draws of a device without values are always equal: there every q that is an image of draws is a point."""
    for module in ("over_draws", "annealing"):
        monkeypatch.setattr(f"ppl_vae.evaluation.{module}.refuse_points", lambda *_: None)


def reads_of(work: Work, case: Case, size: int) -> list[str]:
    model, guide, data = on_meta(case)
    reads: list[str] = []
    with Evaluating(reads):
        work(model, guide, data, size)
    return reads


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("case", PAIRS)
def test_the_number_of_reads_does_not_grow_with_the_work(case: Case, name: str) -> None:
    few, *many = [reads_of(ESTIMATORS[name], case, size) for size in ((1, 3) if case in CASES else (1,))]
    assert few
    assert all(reads == few for reads in many)


def predictive(model: nn.Module, guide: Any, data: Dataset, size: int) -> list[torch.Tensor]:
    """Everything that is drawn or decoded."""
    batch = data.batch(torch.arange(4, device=META))
    prior = draws.prior_predictive(model, data.event_shape, 4, batch.y)
    posterior = draws.posterior_predictive(model, guide, batch, size)
    samples = posteriors.posterior_samples(guide, batch, size)
    moments = posteriors.posterior_moments(guide, batch, 2).values()
    found = [prior.x, prior.means, posterior.x, posterior.means, *samples.values(), *(each.mean for each in moments)]
    found.append(draws.decode(model, prior.latents, data.event_shape, batch.y))
    return [*found, draws.expected_reconstruction(model, samples, batch)]


@pytest.mark.parametrize("case", PAIRS)
def test_predictive_draws_stay_on_the_device_and_read_only_labels(case: Case) -> None:
    def work(*given: Any) -> None:
        assert {tensor.device for tensor in predictive(*given)} == {META}

    few, many = (reads_of(work, case, size) for size in (2, 5))
    assert few == many
    assert all("labels.py" in read for read in few)


def test_a_read_for_each_draw_and_a_tensor_elsewhere_are_found() -> None:
    case = next(case for case in ALL_CASES if case.name == QUICK[0])
    once: Work = lambda model, guide, data, size: [data.x.sum().item() for _ in range(size)]  # noqa: E731
    assert [len(reads_of(once, case, size)) for size in (1, 3)] == [1, 3]
    with pytest.raises(DeviceError):
        reads_of(lambda model, guide, data, size: data.x + torch.ones(4), case, 1)
