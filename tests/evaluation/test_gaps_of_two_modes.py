"""Where every q has one mode and the posterior two, the gap is not understated, and that a mode is missed is said."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.estimates import Estimate
from ppl_vae.evaluation import Gaps, GapsConfig, take_apart
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.guides.unseen import fit_locally
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.seeding import seeded
from ppl_vae.svi.optimizer import OptimizerConfig
from ppl_vae.training import fit
from ppl_vae.training.config import FitConfig
from tests.pairs import amortized
from tests.two_modes import Array, TwoModes, best_elbo, drawn, elbo_of, log_px

# Of z given eight ones, the best Gaussian is this or its mirror image.
ONES, MEAN, SCALE = np.ones((12, 8)), 1.81, 0.32


class Measured(NamedTuple):
    gaps: Gaps
    log_px: Array
    guide: Array


def rows(model: TwoModes, data: Dataset, mean: float, scale: float) -> PerDatapoint:
    """A guide whose q of every datapoint is N(mean, scale²)."""
    guide = PerDatapoint(Latents.of(model, data.probe()), Diagonal(1), len(data), data.first).double()
    with torch.no_grad():
        guide.table.weight[:, 0] = mean
        for _ in range(60):
            guide.table.weight[:, 1] += np.log(scale) - guide.family(guide.table.weight).stddev.log().squeeze(1)
    return guide


@pytest.fixture(scope="module")
def taken() -> Measured:
    """The gap of a guide in one mode, a bit beside the best q in that mode, which is the only local q."""
    model, data = TwoModes(), Dataset(torch.tensor(ONES))
    guide, local = rows(model, data, MEAN - 0.2, SCALE), rows(model, data, MEAN, SCALE)
    settings = GapsConfig(chains=16, temperatures=6, prior_temperatures=40, leapfrog=5, engine="eager")
    found = take_apart(model, guide, {"diagonal": local}, data, settings)
    return Measured(found, log_px(ONES), np.full(12, elbo_of(ONES[0], MEAN - 0.2, SCALE)))


def is_within(estimate: Estimate, truth: Array, errors: float) -> None:
    """By the error of draws and of datapoints; both are to be small beside what a missed mode costs, log 2."""
    off = estimate.values.double().numpy() - truth
    error = off.std(ddof=1) / len(off) ** 0.5
    assert error < 0.1
    assert abs(off.mean()) < errors * error


def test_bounds_from_the_local_q_miss_a_mode(taken: Measured) -> None:
    for name in ("importance", "annealed"):
        short = taken.log_px - taken.gaps.bounds[name].values.numpy()
        assert abs(short.mean() - np.log(2)) < 0.1


def test_annealing_from_the_prior_does_not(taken: Measured) -> None:
    found = taken.gaps
    assert found.best == "annealed_from_prior"
    is_within(found.log_px, taken.log_px, 5)
    is_within(found.inference, taken.log_px - taken.guide, 5)
    is_within(found.families["diagonal"].approximation, taken.log_px - best_elbo(ONES), 5)


def test_a_missed_mode_is_said(taken: Measured) -> None:
    found = taken.gaps
    (warning,) = found.warnings
    assert warning.startswith(f"annealing from the prior finds {found.beyond_local.mean:.3f} ± ")
    assert "misses a mode" in warning
    assert found.notes == []
    assert found.to_dict()["beyond_local"].items() >= found.beyond_local.to_dict().items()


def test_annealing_that_falls_short_is_a_note_and_no_warning() -> None:
    """Of one temperature it is the importance bound of two draws of the prior."""
    model, data = TwoModes(), Dataset(torch.zeros(200, 8, dtype=torch.float64))
    local = rows(model, data, 0.0, 0.34)
    settings = GapsConfig(chains=2, temperatures=2, prior_temperatures=1, engine="eager")
    found = take_apart(model, local, {"diagonal": local}, data, settings)
    assert found.warnings == []
    (note,) = found.notes
    assert "raise `prior_temperatures`" in note
    assert found.best != "annealed_from_prior"
    is_within(found.log_px, log_px(data.x.numpy()), 5)


@pytest.mark.slow
def test_the_gap_of_local_fits_on_a_hundred_datapoints() -> None:
    """At the defaults: fits that find the best q of one mode, and a bound that finds the other."""
    model, data = TwoModes(), drawn(100)
    x = data.x.numpy()
    fitted = fit_locally(model, Diagonal(1), Latents.of(model, data.probe()), data, InferConfig())
    found = take_apart(model, fitted.guide, {"diagonal": fitted.guide}, data, GapsConfig(engine="eager"))
    truth = log_px(x) - best_elbo(x)
    assert truth.mean() > 0.4
    assert found.best == "annealed_from_prior"
    assert len(found.warnings) == 1
    assert abs(found.inference.mean - truth.mean()) < 3 * found.inference.monte_carlo_stderr
    assert abs(found.families["diagonal"].approximation.mean - truth.mean()) < 3 * found.inference.monte_carlo_stderr


@pytest.mark.slow
def test_the_gap_of_a_trained_guide() -> None:
    """The whole gap of an amortized guide, and the best one-mode q's part of it, both by quadrature on its data."""
    model, train, data = TwoModes(), drawn(2000, seed=1), drawn(100)
    with seeded(0):
        guide = amortized(model, train.x, hidden=(16,))
    settings = FitConfig(epochs=20, batch_size=100, optimizer=OptimizerConfig(0.01), engine="eager", device="cpu")
    fit(model, guide, train, settings=settings, progress=False)
    latents = Latents.of(model, data.probe())
    local = fit_locally(model, Diagonal(1), latents, data, InferConfig(), init=guide.params).guide
    found = take_apart(model, guide, {"diagonal": local}, data, GapsConfig(engine="eager"))
    with torch.no_grad():
        q = guide.family(guide.params(next(data.batches(100))))
    x, exact = data.x.numpy(), log_px(data.x.numpy())
    rows = zip(x, q.mean.flatten().tolist(), q.stddev.flatten().tolist(), strict=True)
    whole, approximation = exact - np.array([elbo_of(*row) for row in rows]), exact - best_elbo(x)
    assert whole.mean() > approximation.mean() + 0.1
    assert approximation.mean() > 0.4
    family = found.families["diagonal"]
    assert abs(found.inference.mean - whole.mean()) < 3 * found.inference.monte_carlo_stderr
    assert abs(family.approximation.mean - approximation.mean()) < 3 * family.approximation.monte_carlo_stderr
    assert family.amortization.mean > 0.1
    assert len(found.warnings) == 1
