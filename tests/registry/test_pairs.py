"""Models and guides from classes and names, as a notebook makes them."""

import re

import pytest
import torch
from torch import nn

import ppl_vae as pv
from ppl_vae.guides import Amortized, BottomUp, Diagonal, FullRank, PerDatapoint, SemiAmortized
from ppl_vae.models import VAE, ConditionalVAE, HierarchicalVAE, LinearGaussian
from ppl_vae.models.priors import MixtureOfGaussians
from tests.cli.own_parts import Heavy, Student

DATA = pv.load("digits", binarization="static")


def test_classes_are_made_for_the_data() -> None:
    model = pv.build_model(VAE, DATA, latent_dim=3, hidden=(8,), prior=MixtureOfGaussians, num_components=4)
    assert isinstance(model.prior, MixtureOfGaussians)
    guide = pv.build_guide(Amortized, model, DATA, family=FullRank, hidden=(8,))
    pv.check_pair(model, guide, DATA.train.probe())
    assert isinstance(guide.family, FullRank)
    assert sum(param.numel() for param in model.decoder.parameters()) == 3 * 8 + 8 + 8 * 64 + 64


@pytest.mark.parametrize(
    ("kind", "guide", "family", "made"),
    [
        (ConditionalVAE, SemiAmortized, Diagonal, SemiAmortized),
        (HierarchicalVAE, Amortized, BottomUp, Amortized),
        (LinearGaussian, "mean-field", "diagonal", PerDatapoint),
        ("vae", PerDatapoint, FullRank, PerDatapoint),
        (Student, Amortized, Heavy, Amortized),
    ],
)
def test_names_and_classes_of_anybody(kind: type, guide: type, family: type, made: type) -> None:
    model = pv.build_model(kind, DATA, latent_dim=2)
    found = pv.build_guide(guide, model, DATA, family=family)
    pv.check_pair(model, found, DATA.train.probe())
    assert type(found) is made


def test_a_seed_gives_the_weights_and_leaves_the_callers_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (pv.build_model(VAE, DATA, latent_dim=2, hidden=(4,), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)

    def weights(model: nn.Module) -> torch.Tensor:
        return torch.cat([param.flatten() for param in model.parameters()])

    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_what_nothing_reads_is_refused() -> None:
    model = pv.build_model(VAE, DATA, latent_dim=2, hidden=(4,))
    for make, line in (
        (lambda: pv.build_model(LinearGaussian, DATA, hidden=(3,)), "`hidden`: nothing in this pair reads it; what"),
        (lambda: pv.build_model(VAE, DATA, latentdim=3), "`latentdim`: nothing in this pair reads it."),
        (lambda: pv.build_model(VAE, DATA, latent_dim=0), "`latent_dim`: must be greater than 0, got 0."),
        (lambda: pv.build_guide(Amortized, model, DATA, refinement_steps=9), "`refinement_steps`: nothing in this"),
        (lambda: pv.build_guide("amortised", model, DATA), "unknown guide 'amortised'"),
        (lambda: pv.build_guide(Amortized, model, DATA, family=FullRank(2)), "`family` is a FullRank that is made"),
    ):
        with pytest.raises(pv.UserError, match=f"^{re.escape(line)}"):
            make()
