"""Estimators by name."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import MultivariateNormal

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.evaluation import EvaluateConfig, estimates
from ppl_vae.evaluation.annealing import AnnealingConfig
from ppl_vae.evaluation.named import ESTIMATORS
from ppl_vae.guides import FullRank
from tests.masked_pca import SIZE, ExactUnderMask, pca
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


def test_simulated_data_has_the_holes_of_the_data():
    """From the exact posterior given what was seen, both bounds are log p(x_seen) itself."""
    model = pca()
    x = torch.zeros(3, SIZE).double()
    holes = Dataset(x, mask=torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) > 0.5)
    annealing = AnnealingConfig(temperatures=5, start="guide", engine="eager")
    settings = EvaluateConfig(estimator="bdmc", limit=6, num_samples=4, annealing=annealing)
    found = estimates(model, ExactUnderMask(model), holes, settings, progress=False)
    assert torch.equal(found.data.mask, holes.mask.repeat(2, 1))
    assert found.protocol.split == "simulated, with holes as in given"
    covariance = model.weight @ model.weight.mT + (2 * model.log_scale).exp() * torch.eye(SIZE).double()
    exact = [
        MultivariateNormal(model.mean[seen], covariance[seen][:, seen]).log_prob(row[seen])
        for row, seen in zip(found.data.x, found.data.mask, strict=True)
    ]
    for name in ("log_px_lower", "log_px_upper"):
        torch.testing.assert_close(found.results[name].values, torch.stack(exact).detach(), rtol=1e-6, atol=1e-6)
