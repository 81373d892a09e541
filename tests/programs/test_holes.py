"""Holes: what is missing counts for nothing, in closed form."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.data.checks import check_runs
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Amortized, Diagonal, FullRank, PerDatapoint, SemiAmortized
from ppl_vae.models import VAE, SequenceVAE
from ppl_vae.models.likelihoods import Bernoulli, ContinuousBernoulli, Normal, Poisson
from ppl_vae.networks.convolutional import ConvEncoder
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.predictive.imputation import imputed
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.holes import beside_mask, hold_to_mask, seen, shape_beside_mask
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import log_weights
from tests.masked_pca import DIM, SIZE, ExactUnderMask, pca

ROWS = 12


def with_holes(share: float, x: Tensor | None = None) -> Dataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, SIZE, generator=generator).double() if x is None else x
    return Dataset(x, mask=torch.rand(x.shape, generator=generator) >= share)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_probabilistic_pca_in_closed_form(share: float) -> None:
    model, data = pca(), with_holes(share)
    covariance = model.weight @ model.weight.mT + (2 * model.log_scale).exp() * torch.eye(SIZE).double()
    expected = []
    for row, mask in zip(data.x, data.mask, strict=True):
        part = covariance[mask][:, mask]
        marginal = dist.MultivariateNormal(model.mean[mask], part) if mask.any() else None
        expected.append(marginal.log_prob(row[mask]).item() if marginal else 0.0)
    weights = log_weights(model, ExactUnderMask(model), data.batch(torch.arange(ROWS)), 5)
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64).expand(5, -1), rtol=0, atol=1e-10)
    assert elbo(model, ExactUnderMask(model), data, 3).elbo.mean == pytest.approx(sum(expected) / ROWS, abs=1e-10)


LIKELIHOODS = {
    "bits": (Bernoulli, lambda x: (x > 0).double()),
    "grey": (ContinuousBernoulli, lambda x: x.sigmoid()),
    "reals": (Normal, lambda x: x),
    "counts": (Poisson, lambda x: x.abs().round()),
}


@pytest.mark.parametrize("guide", [Amortized, SemiAmortized, PerDatapoint])
@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_what_stands_in_for_holes_counts_for_nothing(kind: str, guide: type) -> None:
    make, of = LIKELIHOODS[kind]
    data = with_holes(0.4)
    x = of(data.x)
    torch.manual_seed(3)
    model = VAE(Decoder(DIM, (SIZE,), (8,)), DIM, make()).double()
    hold_to_mask(model, Dataset(x, mask=data.mask).probe())
    latents = Latents.of(model, Dataset(x).probe())
    family = (FullRank if guide is PerDatapoint else Diagonal)(latents.size)
    encoder = Encoder((SIZE,), family.num_params, (8,), holes=True)
    if guide is PerDatapoint:
        program = PerDatapoint(latents, family, ROWS).double()
    else:
        program = Amortized(latents, family, encoder, holes=True).double()
        program = SemiAmortized(program, model) if guide is SemiAmortized else program
    neutral = torch.where(data.mask, x, torch.zeros(()).double())
    found = [
        importance_bound(model, program, Dataset(neutral + shift * ~data.mask, mask=data.mask), 4, 0).values
        for shift in ((0.0,) if guide is not PerDatapoint else (0.0, 1.0))
    ]
    assert all(torch.equal(found[0], other) for other in found)
    whole = importance_bound(model, program, Dataset(neutral), 4, 0).values
    assert not torch.allclose(found[0], whole)


class Forgetful(PyroModule):
    """Counts what is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.net = PyroModule[nn.Linear](2, SIZE).double()

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2).double(), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(self.net(z), 1.0).to_event(1), obs=batch.x)


def test_a_model_that_counts_what_is_missing_is_refused() -> None:
    forgetful, before = Forgetful(), torch.get_rng_state()
    with pytest.raises(UserError, match=r"Forgetful counts numbers of x that are missing.*seen\(likelihood, batch\)"):
        check_runs(with_holes(0.5), forgetful)
    assert torch.equal(before, torch.get_rng_state())
    rare = with_holes(0.0)
    rare.mask[-1, 0] = False  # in no row of the probe
    guide = PerDatapoint(Latents.of(forgetful, Dataset(rare.x).probe()), Diagonal(2), ROWS).double()
    for refused in (
        lambda: check_runs(rare, forgetful),
        lambda: fit(forgetful, guide, rare, epochs=1, device="cpu", progress=False),
        lambda: imputed(forgetful, guide, rare),
    ):
        with pytest.raises(UserError, match="counts numbers of x that are missing"):
            refused()
    check_runs(Dataset(rare.x), forgetful)


def test_a_likelihood_without_parts_is_refused() -> None:
    x, mask = torch.zeros(2, 3), torch.tensor([[True, False, True]] * 2)
    batch = Batch(x, None, torch.arange(2), mask)
    with pytest.raises(UserError, match=r"MultivariateNormal has no density of a part"):
        seen(dist.MultivariateNormal(torch.zeros(2, 3), torch.eye(3)), batch)
    part = seen(dist.Normal(torch.zeros(2, 3), 1.0).to_event(1), batch).log_prob(x)
    torch.testing.assert_close(part, torch.full((2,), -math.log(2 * math.pi)))
    with pytest.raises(UserError, match="no density of a part"):
        hold_to_mask(sequence(), Batch(torch.zeros(2, 4, 3), None, torch.arange(2), torch.rand(2, 4, 3) > 0.5))


def sequence() -> nn.Module:
    from ppl_vae.networks.recurrent import RecurrentDecoder

    return SequenceVAE(RecurrentDecoder(2, (4, 3), (5,), torch.zeros(3)), 2, "plain")


@pytest.mark.parametrize("shape", [(5,), (8, 8), (8, 8, 3)])
def test_encoders_read_the_mask(shape: tuple[int, ...]) -> None:
    x = torch.randn(4, *shape)
    mask = torch.rand(4, *shape) > 0.5
    assert tuple(beside_mask(x, mask, len(shape)).shape[1:]) == shape_beside_mask(shape)
    kinds = [Encoder(shape, 6, (7,), holes=True)]
    if len(shape) > 1:
        kinds.append(ConvEncoder(shape, 6, (4,), (7,), holes=True))
    for encoder in kinds:
        torch.testing.assert_close(encoder(x), encoder(x, mask=torch.ones_like(mask)))
        assert not torch.allclose(encoder(x), encoder(x, mask=mask))


def test_what_stands_in_for_a_hole_is_not_read() -> None:
    x, mask = torch.randn(4, 5), torch.rand(4, 5) > 0.4
    other = torch.where(mask, x, 100 * torch.randn(4, 5))
    assert torch.equal(beside_mask(x, mask, 1), beside_mask(other, mask, 1))
    encoder = Encoder((5,), 3, (7,), holes=True)
    assert torch.equal(encoder(x, mask=mask), encoder(other, mask=mask))
