"""Objectives by name, and one of a user's own in their place."""

from inspect import signature
from typing import get_args

import pytest
import torch

from ppl_vae import FitConfig, UserError, fit
from ppl_vae.objectives.elbo import Terms, TraceELBO
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.training import objective_of
from tests.fits import TRAIN, settings, weights
from tests.pairs import vae_pair


def test_every_name_has_an_objective_and_none_is_left_over():
    assert set(OBJECTIVES) == set(get_args(ObjectiveName))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_name_makes_its_objective_with_as_many_draws_as_are_asked_for(name):
    objective = objective_of(FitConfig(objective=name, num_particles=3))
    assert objective.num_particles == 3


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_term_is_left_out_where_the_objective_has_it_and_refused_where_not(name):
    chosen = FitConfig(objective=name, drop="reconstruction")
    if "reconstruct" in signature(OBJECTIVES[name].make).parameters:
        assert not objective_of(chosen).reconstruct
    else:
        with pytest.raises(UserError, match=f"`drop` reconstruction: `objective` {name} has no such term"):
            objective_of(chosen)


class _HalfOfTheKL(TraceELBO):
    def terms(self, model, guide, batch, kl_weight=1.0) -> Terms:
        return super().terms(model, guide, batch, 0.5 * kl_weight)


def test_an_objective_of_ones_own_is_climbed_in_place_of_a_named_one():
    """Half of the KL is a KL weight of a half: the same weights come of both, and others of the ELBO."""
    own, named, usual = vae_pair(), vae_pair(), vae_pair()
    common = settings(epochs=2, patience=0)
    fit(*own, TRAIN, settings=common, objective=_HalfOfTheKL(), progress=False)
    fit(*named, TRAIN, settings=common, kl_weight=0.5, progress=False)
    fit(*usual, TRAIN, settings=common, objective="elbo", progress=False)
    found = weights(*own)
    for name, value in weights(*named).items():
        torch.testing.assert_close(found[name], value)
    assert not all(torch.allclose(found[name], value) for name, value in weights(*usual).items())


@pytest.mark.parametrize("named", [{"num_particles": 3}, {"drop": "kl"}])
def test_settings_of_named_objectives_are_refused_beside_it(named):
    with pytest.raises(UserError, match=f"`{next(iter(named))}` is read by objectives that are named"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), objective=TraceELBO(), **named)
