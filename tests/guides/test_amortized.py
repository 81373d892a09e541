"""The amortized guide and the base of all guides."""

import pytest
import torch
from pyro import poutine
from torch import nn

from ppl_vae import UserError
from ppl_vae.guides import Amortized, Diagonal, FullRank, Guide
from ppl_vae.models import VAE
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.programs.latents import Latents
from tests.pairs import TwoLatents, all_of, amortized, bits, vae_pair


def test_q_is_the_family_of_the_encoders_output() -> None:
    _, guide = vae_pair(FullRank)
    batch = all_of(bits(5))
    params = guide.encoder(batch.x)
    assert torch.equal(guide.params(batch), params)
    z = torch.randn(5, 2)
    assert torch.equal(guide.q(batch).log_prob(z), guide.family(params).log_prob(z))


def test_samples_the_models_site_in_the_plate() -> None:
    _, guide = vae_pair()
    trace = poutine.trace(guide).get_trace(all_of(bits(5)))
    assert trace.stochastic_nodes == ["data", "z"]
    assert [frame.name for frame in trace.nodes["z"]["cond_indep_stack"]] == ["data"]
    assert trace.nodes["z"]["value"].shape == (5, 2)


def test_several_latents_come_from_one_vector() -> None:
    guide = amortized(TwoLatents(), torch.zeros(5, 4))
    trace = poutine.trace(guide).get_trace(all_of(torch.zeros(5, 4)))
    assert trace.stochastic_nodes == ["data", "_latents", "rate", "mix"]


def test_a_family_of_another_size() -> None:
    model, _ = vae_pair()
    latents = Latents.of(model, all_of(bits(2)))
    with pytest.raises(UserError, match="the latents are 2 numbers, the family is over 3"):
        Amortized(latents, Diagonal(3), Encoder((3, 4), 6))


def test_an_incomplete_guide_cannot_be_made() -> None:
    class Incomplete(Guide):
        pass

    model = VAE(Decoder(2, (3, 4)), 2)
    with pytest.raises(TypeError, match="params"):
        Incomplete(Latents.of(model, all_of(bits(2))), Diagonal(2))


def test_the_documented_recipe_works() -> None:
    """The skeleton in the docstring of ``guides/base.py``."""

    class Shared(Guide):
        def __init__(self, latents: Latents, family: Diagonal) -> None:
            super().__init__(latents, family)
            self.row = nn.Parameter(torch.zeros(family.num_params))

        def params(self, batch):
            return self.row.expand(len(batch.x), -1)

    model, _ = vae_pair()
    guide = Shared(Latents.of(model, all_of(bits(2))), Diagonal(2))
    from ppl_vae.programs.check import check_pair

    check_pair(model, guide, all_of(bits(3)))
    assert guide.q(all_of(bits(5))).batch_shape == (5,)
