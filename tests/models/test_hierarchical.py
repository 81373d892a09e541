"""The hierarchical VAE: both layers sampled in one plate, each given the one above."""

import torch
from pyro import poutine
from torch.distributions import Bernoulli, Normal

from ppl_vae.data import Dataset
from ppl_vae.diagnostics import diagnose
from ppl_vae.guides import Amortized, BottomUp
from ppl_vae.models import HierarchicalVAE
from ppl_vae.models.priors import MixtureOfGaussians
from ppl_vae.networks.dense import Decoder, Encoder, positive
from ppl_vae.programs.latents import Latents
from tests.pairs import all_of, bits


def hierarchical(**kwargs: object) -> HierarchicalVAE:
    return HierarchicalVAE(Decoder(3, (3, 4), (8,)), Encoder((2,), 6, (8,)), 2, **kwargs)


def test_two_layers_in_one_plate() -> None:
    model, x = hierarchical(), bits(5)
    trace = poutine.trace(model).get_trace(all_of(x))
    assert trace.stochastic_nodes == ["data", "z2", "z1"]
    trace.compute_log_prob()
    z2, z1 = trace.nodes["z2"]["value"], trace.nodes["z1"]["value"]
    assert (z2.shape, z1.shape) == ((5, 2), (5, 3))
    loc, raw_scale = model.upper(z2).chunk(2, -1)
    torch.testing.assert_close(trace.nodes["z1"]["log_prob"], Normal(loc, positive(raw_scale)).log_prob(z1).sum(-1))
    expected = Bernoulli(logits=model.decoder(z1)).log_prob(x).sum((-1, -2))
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], expected)


def test_a_mixture_on_top() -> None:
    model = hierarchical(prior=MixtureOfGaussians(2, num_components=3))
    trace = poutine.trace(model).get_trace(all_of(bits(5)))
    trace.compute_log_prob()
    z2 = trace.nodes["z2"]["value"]
    torch.testing.assert_close(trace.nodes["z2"]["log_prob"], model.prior().log_prob(z2))


def test_both_layers_are_in_the_diagnostics() -> None:
    model = hierarchical()
    family = BottomUp((2, 3), (8,))
    guide = Amortized(Latents.of(model, all_of(bits(2))), family, Encoder((3, 4), family.num_params, (8,)))
    found = diagnose(model, guide, Dataset(bits(20)), num_samples=100)
    assert found.units.names == ("z2_1", "z2_2", "z1_1", "z1_2", "z1_3")
    assert found.units.kl.isfinite().all()
    assert set(found.units.methods) == {"z2", "z1"}
