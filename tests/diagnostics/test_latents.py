"""The latents of given observations, of a guide that has an answer to them and of one that has none."""

import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from ppl_vae import Batch, UserError, build_guide, build_model
from ppl_vae.data import Dataset
from ppl_vae.diagnostics.latents import encode, infer_latents
from ppl_vae.guides import Diagonal, FullRank, PerDatapoint
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.programs.latents import Latents
from tests.masked_pca import SIZE, pca
from tests.pairs import optimal, oracle, simulate

MODEL = oracle()
DATA = Dataset(simulate(MODEL, 5))


def test_it_has_moments_draws_and_an_elbo_of_each() -> None:
    num = 4000
    found = infer_latents(MODEL, optimal(MODEL, FullRank), DATA, num_samples=num, seed=1)
    mean, std, draws = (found.arrays[f"z_{name}"] for name in ("mean", "std", "samples"))
    assert draws.shape == (num, 5, 3)
    assert (abs(draws.mean(0) - mean) < 5 * std / num**0.5).all()
    assert (abs(draws.std(0) / std - 1) < 5 / (2 * num) ** 0.5).all()
    assert (found.fits, found.notes, found.warnings) == (None, [], [])
    assert str(found) == f"elbo (5,), z_mean (5, 3), z_std (5, 3), z_samples ({num}, 5, 3)"
    rows = found.rows()
    assert list(rows[0])[:3] == ["index", "elbo", "z1_mean"]
    assert [row["z3_std"] for row in rows] == std[:, 2].tolist()


def test_a_code_is_the_mean_whatever_the_observations_come_in() -> None:
    guide = optimal(MODEL, FullRank)
    x, expected = DATA.values(), infer_latents(MODEL, guide, DATA).arrays["z_mean"]
    for given in (DATA, x, x.numpy(), x.tolist()):
        assert (encode(MODEL, guide, given) == expected).all()
    assert abs(expected - MODEL.posterior(x).mean.detach().numpy()).max() < 1e-6


def test_codes_of_two_layers_stand_side_by_side_and_holes_are_not_seen() -> None:
    model = pca().float()
    x = torch.randn(6, SIZE, generator=torch.Generator().manual_seed(1))
    guide = build_guide("amortized", model, Dataset(x), family="full-rank", hidden=(4,))
    x[:, 0] = torch.nan
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = encode(model, guide, x, InferConfig(infer_steps=2, infer_starts=1))
    assert any("the guide has no input for what is missing" in str(each.message) for each in told)
    assert found.shape == (6, sum(site.size for site in guide.latents.sites))
    data = Dataset(torch.zeros(3, 8))
    layers = build_model("hierarchical", data, latent_dim=3, upper_latent_dim=2)
    assert encode(layers, build_guide("amortized", layers, data), data).shape == (3, 5)


def test_where_the_guide_has_no_answer_one_is_fitted_and_said_to_be_unfinished() -> None:
    guide = PerDatapoint(Latents.of(MODEL, DATA.probe()), Diagonal(3), 4)
    unseen = DATA.replace(first=UNSEEN)
    found = infer_latents(MODEL, guide, unseen, InferConfig(infer_steps=2, infer_starts=1), num_samples=2)
    assert found.fits is not None
    assert len(found.fits.converged) == 5
    assert found.warnings == found.doubts
    assert found.doubts[0].startswith("5 of 5 local fits had not converged; raise `infer_steps`")


def test_a_guide_that_cannot_read_holes_is_not_given_what_stands_in_for_them() -> None:
    """Its answer is that of the rows' own fits, whatever stands in, and within reach of the exact posterior."""
    model = pca().float()
    x = torch.randn(6, SIZE, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) > 0.4
    guide = build_guide("amortized", model, Dataset(x), family="full-rank", hidden=(4,))
    assert infer_latents(model, guide, Dataset(x)).fits is None
    given = [Dataset(x.where(mask, torch.tensor(other)), mask=mask) for other in (0.0, 9.0)]
    settings = InferConfig(infer_steps=1500, infer_starts=1)
    found = [infer_latents(model, guide, each, settings, num_samples=4) for each in given]
    for name, values in found[0].arrays.items():
        assert (values == found[1].arrays[name]).all()
    assert found[0].warnings[0].startswith("the guide has no input for what is missing")
    variance = (2 * model.log_scale).exp()
    weight = model.weight * mask.unsqueeze(-1)
    covariance = (torch.eye(weight.shape[-1]) + weight.mT @ weight / variance).inverse()
    exact = covariance @ weight.mT @ ((x - model.mean) / variance).unsqueeze(-1)
    off = (torch.from_numpy(found[0].arrays["z_mean"]) - exact.squeeze(-1).detach()).abs()
    assert (off / covariance.diagonal(dim1=-2, dim2=-1).sqrt().detach()).max() < 0.1
    learned = infer_latents(model, guide, given[0], num_samples=4, holes=True)
    assert learned.fits is None


def test_a_guide_without_a_family_is_refused_where_it_cannot_read_holes() -> None:
    data = Dataset(DATA.x, mask=torch.arange(DATA.event_size).expand_as(DATA.x) > 0)

    class Own(PyroModule):
        def forward(self, batch: Batch) -> None:
            with pyro.plate("data", len(batch.x), dim=-1):
                pyro.sample("z", dist.Normal(batch.x.sum(-1, keepdim=True), torch.ones(3)).to_event(1))

    with pytest.raises(UserError, match="Own has no input for what is missing, and no family"):
        infer_latents(MODEL, Own(), data)
