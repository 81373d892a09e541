"""An exact posterior passes whatever its ranks are like: continuous, discrete, or ties alone."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import nn

from ppl_vae import Batch
from ppl_vae.diagnostics import calibrate
from ppl_vae.diagnostics import calibration as calibration_module
from ppl_vae.diagnostics.calibration import LEVEL, judge
from ppl_vae.evaluation import simulate
from tests.conjugate import Oracle, Program, beta_bernoulli, discrete, flat, gamma_poisson

EXACT: dict[str, Callable[[], Oracle]] = {
    "continuous": beta_bernoulli,
    "continuous, counts": gamma_poisson,
    "discrete": discrete,
    "ties": flat,
}


@pytest.mark.parametrize("exact", EXACT)
def test_an_exact_posterior_passes(exact: str) -> None:
    oracle = EXACT[exact]()
    found = calibrate(oracle.model, oracle.guide, oracle.event_shape, 400, 15)
    assert found.passed, found.verdict
    assert set(found.failures) == {"none"}
    assert (int(found.ranks.min()), int(found.ranks.max())) == (0, 15)


def test_ties_are_broken_evenly() -> None:
    """Of a flat likelihood every draw's is a tie: each of the L + 1 ranks equally often, from the seed."""
    oracle = flat()
    found = calibrate(oracle.model, oracle.guide, oracle.event_shape, 8000, 7)
    counts = torch.bincount(found.ranks[:, -1], minlength=8)
    assert (counts - 1000).abs().max() < 5 * (8000 * 1 / 8 * 7 / 8) ** 0.5
    again = calibrate(oracle.model, oracle.guide, oracle.event_shape, 8000, 7)
    assert torch.equal(again.ranks, found.ranks)
    other = calibrate(oracle.model, oracle.guide, oracle.event_shape, 8000, 7, seed=1)
    assert not torch.equal(other.ranks[:, -1], found.ranks[:, -1])


def test_ranks_without_ties_owe_nothing_to_chance() -> None:
    """Counted by hand: z* of each simulation among the draws that the guide hands out one after another."""
    drawn = torch.randn(9, 40, dtype=torch.float64)

    def model(batch: Batch) -> None:
        z = pyro.sample("z", dist.Normal(torch.zeros((), dtype=torch.float64), 1.0))
        pyro.sample("x", dist.Normal(z.unsqueeze(-1), 0.5).to_event(1), obs=batch.x)

    guide = Program(lambda batch: pyro.sample("z", dist.Delta(drawn)))
    found = calibrate(Program(model), guide, (1,), 40, 9)
    _, truth = simulate(Program(model), (1,), 40)
    assert torch.equal(found.ranks[:, 0], (drawn < truth["z"]).sum(0))


def test_what_is_tied_but_for_its_last_digits_is_tied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same z can give another sum in a call of one draw than in one of many."""
    coordinates = calibration_module._coordinates

    def rounded(model: nn.Module, batch: Batch, values: dict[str, torch.Tensor]) -> torch.Tensor:
        found = coordinates(model, batch, values).float()
        found[..., -1] *= 1 + (len(found) > 1) * 3 * torch.finfo(torch.float32).eps
        return found

    monkeypatch.setattr(calibration_module, "_coordinates", rounded)
    for exact in (flat, discrete):
        oracle = exact()
        found = calibrate(oracle.model, oracle.guide, oracle.event_shape, 400, 15)
        assert found.passed, found.verdict


# --- How often an exact posterior is refused --------------------------------------------------------------------------


def false_alarms(oracle: Oracle, repeats: int, num_simulations: int, num_samples: int) -> int:
    """How many of so many calibrations refuse it. One call has all simulations, which are independent."""
    found = calibrate(oracle.model, oracle.guide, oracle.event_shape, repeats * num_simulations, num_samples)
    verdicts = [judge(ranks, num_samples, found.names) for ranks in found.ranks.split(num_simulations)]
    assert len(verdicts) == repeats
    return sum(not each.passed for each in verdicts)


@pytest.mark.parametrize("exact", EXACT)
def test_false_alarms(exact: str) -> None:
    """At a level of 1 %, over 300 repeats: no more than a binomial count reaches once in 100,000 times."""
    alarms = false_alarms(EXACT[exact](), 300, 40, 7)
    assert stats.binom.sf(alarms - 1, 300, LEVEL) > 1e-5, alarms


@pytest.mark.slow
@pytest.mark.parametrize("exact", EXACT)
def test_false_alarms_at_the_usual_size(exact: str) -> None:
    """The same with as many simulations and draws as a calibration has by default."""
    alarms = false_alarms(EXACT[exact](), 300, 1000, 63)
    assert stats.binom.sf(alarms - 1, 300, LEVEL) > 1e-5, alarms
