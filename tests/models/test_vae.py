"""The VAE's generative program."""

import pyro
import pytest
import torch
from pyro import poutine
from torch.distributions import Bernoulli

from ppl_vae.models import VAE, Model
from ppl_vae.networks.dense import Decoder
from tests.pairs import all_of, bits, vae_pair


def test_samples_z_and_observes_x_in_the_plate() -> None:
    model, _ = vae_pair()
    x = bits(5)
    trace = poutine.trace(model).get_trace(all_of(x))
    assert trace.stochastic_nodes == ["data", "z"]
    assert trace.observation_nodes == ["x"]
    assert trace.nodes["z"]["value"].shape == (5, 2)
    trace.compute_log_prob()
    assert trace.nodes["z"]["log_prob"].shape == trace.nodes["x"]["log_prob"].shape == (5,)
    assert torch.equal(trace.nodes["_RETURN"]["value"], x)


def test_likelihood_is_bernoulli_of_the_decoded_latent() -> None:
    model, _ = vae_pair()
    x = bits(5)
    trace = poutine.trace(model).get_trace(all_of(x))
    trace.compute_log_prob()
    z = trace.nodes["z"]["value"]
    expected = Bernoulli(logits=model.decoder(z)).log_prob(x).sum((-1, -2))
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], expected)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(trace.nodes["z"]["log_prob"], prior)


def test_many_latents_in_one_call() -> None:
    model, _ = vae_pair()
    x = bits(5)
    with pyro.plate("samples", 3, dim=-2):
        trace = poutine.trace(model).get_trace(all_of(x))
    trace.compute_log_prob()
    z, together = trace.nodes["z"]["value"], trace.nodes["x"]["log_prob"]
    assert z.shape == (3, 5, 2)
    assert not torch.equal(z[0], z[1])
    one_by_one = torch.stack([Bernoulli(logits=model.decoder(row)).log_prob(x).sum((-1, -2)) for row in z])
    torch.testing.assert_close(together, one_by_one)


def test_flat_observations_too() -> None:
    model = VAE(Decoder(2, (7,)), 2)
    trace = poutine.trace(model).get_trace(all_of(torch.zeros(5, 7)))
    trace.compute_log_prob()
    assert trace.nodes["x"]["log_prob"].shape == (5,)


def test_state_is_the_decoders_weights_only() -> None:
    model, _ = vae_pair()
    assert set(model.state_dict()) == {f"decoder.{name}" for name in model.decoder.state_dict()}


def test_an_incomplete_model_cannot_be_made() -> None:
    class Incomplete(Model):
        pass

    with pytest.raises(TypeError, match="forward"):
        Incomplete()
