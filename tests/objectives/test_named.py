"""Objectives by name, and one of a user's own in their place."""

from inspect import signature
from math import log
from typing import get_args

import pytest
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor

from ppl_vae import FitConfig, UserError, fit
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Diagonal, Point
from ppl_vae.objectives.elbo import Objective, Terms, TraceELBO
from ppl_vae.objectives.importance_weighted import ImportanceWeighted
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.objectives.needs import refuse_scores, require_density, require_pathwise
from ppl_vae.programs.log_weights import log_sum_exp, log_weights
from ppl_vae.programs.pair import frozen, run_pair, weigh
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training import objective_of
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.objectives.test_elbo import ScoreGuide
from tests.pairs import stripes_data, vae_pair


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


def renyi(log_weights: Tensor) -> Tensor:
    """2 log 1/K Σ √wₖ (Li and Turner 2016, α = ½), ``(K, batch) -> (batch,)``: between ELBO and importance bound."""
    return 2 * (log_sum_exp(log_weights / 2) - log(len(log_weights)))


class Renyi(Objective):
    """Nothing that a name here stands for."""

    def terms(self, model, guide, batch, kl_weight=1.0) -> Terms:
        traces = run_pair(model, guide, batch, self.num_particles)
        refuse_scores(traces)
        reconstruction, kl = weigh(traces, batch, self.num_particles)
        loss, bound = -renyi(reconstruction - kl_weight * kl).mean(), renyi((reconstruction - kl).detach())
        reconstruction, kl = reconstruction.detach().mean(0), kl.detach().mean(0)
        return Terms(loss, bound, reconstruction - kl, reconstruction, kl)

    def check(self, model, guide, batch) -> None:
        require_pathwise(model, guide, batch)
        require_density(guide, batch)


ESTIMATES = {
    TraceELBO: lambda *args, **kwargs: elbo(*args, **kwargs).elbo,
    ImportanceWeighted: lambda *args, **kwargs: importance_bound(*args, 3, **kwargs),
}


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if type(OBJECTIVES[name].make(1)) in ESTIMATES])
def test_each_validates_by_its_own_bound(name):
    """On the very draws of :mod:`ppl_vae.evaluation.bounds`, of more datapoints than are evaluated at once."""
    model, guide = vae_pair()
    objective, data = OBJECTIVES[name].make(3), stripes_data(300, seed=9)
    expected = {kind: estimate(model, guide, data, seed=5).mean for kind, estimate in ESTIMATES.items()}
    assert expected[TraceELBO] < expected[ImportanceWeighted] - 0.01
    before = torch.get_rng_state()
    assert objective.validated(model, guide, data, seed=5).bound == expected[type(objective)]
    assert torch.equal(torch.get_rng_state(), before)


def test_one_of_ones_own_is_validated_by_its_own_bound_and_patience_selects_by_that():
    model, guide = vae_pair()
    chosen, objective = settings(epochs=3, kl_warmup=0, patience=3), Renyi(4)
    history = fit(model, guide, TRAIN, VALIDATION, chosen, objective=objective, progress=False)
    assert not history.of_elbo
    seed = stream(chosen.seed, "validation")
    data = VALIDATION.fixed(seed)
    with frozen(model, guide), seeded(stream(seed, "draws")):
        weights = log_weights(model, guide, data.batch(torch.arange(len(data))), 4)
    assert history.best.validation_bound == pytest.approx(renyi(weights).double().mean().item(), abs=1e-5)
    assert weights.mean() + 0.01 < history.best.validation_bound < (weights.logsumexp(0) - log(4)).mean() - 0.01


@pytest.mark.parametrize("family", [Diagonal, Point])
def test_what_it_needs_of_a_pair_is_said_before_the_first_step(family):
    pair = vae_pair(family)
    if family is Point:
        with pytest.raises(UserError, match=r"^site 'z': the guide puts a point there"):
            fit(*pair, TRAIN, settings=settings(patience=0), objective=Renyi(2), progress=False)
    else:
        fit(*pair, TRAIN, settings=settings(epochs=1, patience=0), objective=Renyi(2), progress=False)
    message = r"^site 'z': NonreparameterizedNormal has no reparameterised sample, without which this objective has no"
    with pytest.raises(UserError, match=message):
        require_pathwise(pair[0], ScoreGuide(), VALIDATION.probe())


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


@pytest.mark.parametrize("objective", [TraceELBO, Trace_ELBO(), 3])
def test_what_is_no_objective_is_refused(objective):
    with pytest.raises(UserError, match=r"^`objective` is a \w+; give a name, or an Objective that is made"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), objective=objective)


def test_a_fit_by_an_objective_of_ones_own_goes_on_with_one_of_that_class_only(tmp_path):
    own, whole = vae_pair(), vae_pair()
    alike = {"patience": 0, "kl_warmup": 0, "optimizer": OptimizerConfig(learning_rate=0.01)}
    first, both = settings(epochs=1, **alike), settings(epochs=2, **alike)
    path = tmp_path / "checkpoint.pt"
    fit(*own, TRAIN, settings=first, objective=_HalfOfTheKL(), checkpoint_path=path, progress=False)
    for other in (None, TraceELBO(), "elbo-analytic-kl"):
        with pytest.raises(
            UserError, match="objective differ from the checkpoint's; resume with what it was begun with"
        ):
            fit(*vae_pair(), TRAIN, settings=both, objective=other, checkpoint_path=path, resume=True, progress=False)
    fit(*own, TRAIN, settings=both, objective=_HalfOfTheKL(), checkpoint_path=path, resume=True, progress=False)
    fit(*whole, TRAIN, settings=both, objective=_HalfOfTheKL(), progress=False)
    assert_same(weights(*own), weights(*whole))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("draws", [1, 2])
def test_a_bound_of_several_draws_that_has_one_is_told_of(name, draws):
    said = []
    fit(*vae_pair(), TRAIN, epochs=1, objective=name, num_particles=draws, progress=False, warn=said.append)
    one = f"`objective` {name} with 1 draw of z is the ELBO; give `num_particles` 5 or more."
    assert said == ([one] if draws == 1 and name in ("iwae", "dreg") else [])


def test_it_is_a_warning_of_pythons_where_nobody_listens():
    with pytest.warns(UserWarning, match="`objective` dreg with 1 draw of z is the ELBO"):
        fit(*vae_pair(), TRAIN, epochs=1, objective="dreg", progress=False)
