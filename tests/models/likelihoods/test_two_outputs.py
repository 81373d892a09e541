"""Likelihoods that need two numbers of the decoder for each of x, in every model and under both kinds of networks."""

import pytest
import torch

import ppl_vae as pv
from ppl_vae.programs.check import check_pair

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(20, 9, 10, generator=GENERATOR)
COLOUR = torch.rand(20, 9, 10, 3, generator=GENERATOR)
COUNTS = torch.poisson(torch.full((20, 6), 3.0), generator=GENERATOR)
LABELS = torch.arange(20) % 3


@pytest.mark.parametrize("x", [IMAGES, COLOUR, COUNTS], ids=["images", "colour", "counts"])
@pytest.mark.parametrize("net", ["mlp", "conv"])
@pytest.mark.parametrize("model", ["vae", "conditional", "hierarchical"])
def test_a_decoder_has_the_outputs_that_its_likelihood_needs(model: str, net: str, x: torch.Tensor) -> None:
    if net == "conv" and x is COUNTS:
        pytest.skip("a table is no image")
    likelihood, settings = "zero-inflated-negative-binomial", {}
    if x is not COUNTS:
        likelihood, settings = "normal", {"noise_scale": "decoder"}
    data = pv.Dataset(x, LABELS)
    made = pv.build_model(model, data, likelihood=likelihood, net=net, hidden=(8,), latent_dim=3, **settings)
    guide = pv.build_guide("amortized", made, data)
    labels = [LABELS[:2]] if model == "conditional" else []
    assert made.decoder(torch.zeros(2, 3), *labels).shape == (2, *x.shape[1:], 2)
    check_pair(made, guide, data.probe())
    before = pv.elbo(made, guide, data).elbo.mean
    pv.fit(made, guide, data, epochs=20, batch_size=10, engine="eager", device="cpu", progress=False)
    assert pv.elbo(made, guide, data).elbo.mean > before


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_a_table_in_any_units_has_any_prior(prior: str) -> None:
    data = pv.Dataset(1000 * torch.randn(40, 4, generator=GENERATOR) + 500)
    model = pv.build_model("vae", data, prior=prior, num_components=4, hidden=(8,), latent_dim=2)
    guide = pv.build_guide("amortized", model, data)
    check_pair(model, guide, data.probe())
    history = pv.fit(model, guide, data, epochs=10, batch_size=20, engine="eager", device="cpu", progress=False)
    assert history[-1].elbo > -45  # of four independent normals it is −33.3
