"""Estimators by name."""

from dataclasses import replace

import pytest

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.evaluation import EvaluateConfig, estimates
from ppl_vae.evaluation.annealing import AnnealingConfig
from ppl_vae.evaluation.named import ESTIMATORS
from ppl_vae.guides import FullRank
from tests.pairs import optimal, oracle, simulate, stripes_data, vae_pair


@pytest.mark.parametrize("name", [name for name, way in ESTIMATORS.items() if way.estimate])
def test_each_finds_log_px_of_the_oracle(name):
    """Under the exact posterior the ELBO, the importance bound and annealing from it are log p(x) itself."""
    model = oracle()
    settings = EvaluateConfig(estimator=name, num_samples=4, limit=20)
    if settings.anneals:
        settings = replace(settings, annealing=AnnealingConfig(temperatures=5, start="guide", engine="eager"))
    data = Dataset(simulate(model, 30))
    found = estimates(model, optimal(model, FullRank), data, settings, progress=False)
    exact = model.log_px(found.data.x).mean().item()
    bounds = [bound for part, bound in found.results.items() if part == "elbo" or part.startswith("log_px")]
    assert bounds
    for bound in bounds:
        assert bound.mean == pytest.approx(exact, abs=1e-6)
    assert (found.acceptance is not None) == settings.anneals
    assert settings.simulates == (found.data.x is not data.x and not found.data.x.equal(data.x[:20]))


def test_calibration_is_no_estimate():
    with pytest.raises(UserError, match=r"ppl_vae\.calibrate"):
        estimates(*vae_pair(), stripes_data(3), EvaluateConfig(estimator="sbc", limit=2), progress=False)
