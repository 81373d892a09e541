"""The ELBO without one of its terms ends where theory says: in an autoencoder's points, or in the prior."""

import dataclasses
from functools import partial

import pytest
import torch

from ppl_vae import FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Diagonal, Point
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.svi import OptimizerConfig, TracedStep, engine
from ppl_vae.training.config import objective_of
from tests.pairs import bits, gradients, stripes_data, vae_pair

DATA = stripes_data(60, dynamic=False)
LONG = FitConfig(epochs=400, batch_size=60, optimizer=OptimizerConfig(learning_rate=0.01))


def trained(family, drop, epochs=400):
    model, guide = vae_pair(family)
    fit(model, guide, DATA, None, dataclasses.replace(LONG, drop=drop, epochs=epochs), progress=False)
    return model, guide


def scale(guide) -> float:
    batch = DATA.batch(torch.arange(len(DATA)))
    return posterior_moments(guide, batch)["z"].std.mean().item()


def parts(pair):
    return elbo(*pair, DATA, 20)


@pytest.mark.slow
def test_without_kl_the_guide_shrinks_to_an_autoencoders_points():
    start, whole = trained(Diagonal, "kl", epochs=1), trained(Diagonal, "nothing")
    dropped, autoencoder = trained(Diagonal, "kl"), trained(Point, "kl")
    assert scale(start[1]) > 0.8
    assert scale(whole[1]) > 0.3  # it is the KL that keeps q wide
    assert scale(dropped[1]) < 0.1
    found, target, usual = (parts(pair).reconstruction for pair in (dropped, autoencoder, whole))
    assert usual.mean < target.mean - 1
    assert found.mean > target.mean - 0.3
    assert parts(dropped).kl.mean > 10  # which nobody charges for


def test_without_reconstruction_the_guide_becomes_the_prior():
    pair = trained(Diagonal, "nothing", epochs=100)
    assert parts(pair).kl.mean > 0.3
    model, guide = pair
    before = [param.clone() for param in model.parameters()]
    fit(model, guide, DATA, None, dataclasses.replace(LONG, drop="reconstruction"), progress=False)
    assert parts(pair).kl.mean < 0.01
    assert abs(scale(guide) - 1) < 0.02
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))  # nothing asks of p(x | z)


@pytest.mark.parametrize(("drop", "touches_model"), [("kl", True), ("reconstruction", False), ("nothing", True)])
def test_the_bound_that_is_reported_has_both_terms(drop, touches_model):
    model, guide = vae_pair()
    batch = Dataset(bits(9)).batch(torch.arange(9))
    objective = objective_of(FitConfig(drop=drop))
    torch.manual_seed(0)
    terms = objective.terms(model, guide, batch, 0.0 if drop == "kl" else 1.0)
    terms.loss.backward()
    torch.testing.assert_close(terms.elbo, terms.reconstruction - terms.kl)
    kept = {"kl": terms.reconstruction, "reconstruction": -terms.kl, "nothing": terms.elbo}[drop]
    torch.testing.assert_close(terms.loss, -kept.mean())
    assert any(gradient.abs().sum() > 0 for gradient in gradients(guide))
    assert any(gradient.abs().sum() > 0 for gradient in gradients(model)) == touches_model


@pytest.mark.slow
@pytest.mark.parametrize("drop", ["kl", "reconstruction"])
def test_traced_steps_drop_it_too(drop, monkeypatch):
    """Traced, not compiled, which would take seconds."""
    monkeypatch.setattr(engine, "TracedStep", partial(TracedStep, compile_graph=lambda graph, examples: graph))
    ends = []
    for kind in ("eager", "traced"):
        model, guide = vae_pair()
        fit(model, guide, DATA, None, dataclasses.replace(LONG, drop=drop, epochs=20, engine=kind), progress=False)
        ends.append([param.clone() for param in [*model.parameters(), *guide.parameters()]])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"drop": "kl", "kl_weight": 4.0}, "leaves no KL in the loss for `kl_weight`"),
        ({"drop": "kl", "kl_warmup": 3}, "leaves no KL in the loss for `kl_weight` or `kl_warmup`"),
        ({"drop": "reconstruction", "kl_weight": 0.0}, "leaves nothing of the loss"),
    ],
)
def test_a_term_that_is_dropped_has_no_factor(settings, message):
    with pytest.raises(UserError, match=message):
        objective_of(FitConfig(**settings))


@pytest.mark.parametrize("objective", ["iwae", "dreg"])
def test_an_importance_bound_has_no_such_term(objective):
    with pytest.raises(UserError, match=f"`drop` kl: `objective` {objective} has no such term"):
        objective_of(FitConfig(objective=objective, drop="kl"))
