"""Structures that are known, read from the programs that have them."""

import importlib.util
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from ppl_vae import Batch
from ppl_vae import graphical_model as module
from ppl_vae.errors import UserError
from ppl_vae.graphical_model import GraphicalModel, graphical_model
from tests.conformance import ALL_CASES
from tests.pairs import TwoLatents, all_of, amortized, oracle, vae_pair


def plain(found: GraphicalModel) -> dict[str, tuple[str | None, bool, tuple[str, ...]]]:
    return {variable.name: (variable.distribution, variable.observed, variable.parents) for variable in found.variables}


def case(name: str) -> tuple[torch.nn.Module, torch.nn.Module, Batch]:
    (found,) = (each for each in ALL_CASES if each.name == name)
    return *found.pair(), Batch(found.x[:2], None if found.y is None else found.y[:2], torch.arange(2))


def test_a_vae() -> None:
    model, guide = vae_pair()
    batch = all_of(torch.zeros(5, 3, 4))
    found = graphical_model(model, batch)
    assert plain(found) == {"z": ("Normal", False, ()), "x": ("Bernoulli", True, ("z",))}
    assert found.plates == {"data": 5}
    assert {variable.plates for variable in found.variables} == {("data",)}
    assert plain(graphical_model(guide, batch)) == {"x": (None, True, ()), "z": ("Normal", False, ("x",))}


def test_probabilistic_pca() -> None:
    found = graphical_model(oracle(), all_of(torch.zeros(2, 5, dtype=torch.float64)))
    assert plain(found) == {"z": ("Normal", False, ()), "x": ("Normal", True, ("z",))}


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(
    ("family", "kind"),
    [("diagonal", "Normal"), ("full-rank", "MultivariateNormal"), ("planar", "transformed Normal")],
)
def test_labels_are_given_and_have_no_distribution(
    tracked: bool, family: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tracked:
        monkeypatch.setattr(module, "_tracked", module._tried)
    model, guide, batch = case(f"conditional, {family}, amortized")
    assert plain(graphical_model(model, batch)) == {
        "y": (None, True, ()),
        "z": ("Normal", False, ()),
        "x": ("Bernoulli", True, ("y", "z")),
    }
    assert plain(graphical_model(guide, batch)) == {
        "x": (None, True, ()),
        "y": (None, True, ()),
        "z": (kind, False, ("x", "y")),
    }


@pytest.mark.parametrize("tracked", [True, False])
def test_two_latents_and_a_guide_that_draws_them_in_one_piece(tracked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tracked:
        monkeypatch.setattr(module, "_tracked", module._tried)
    model = TwoLatents()
    batch = all_of(torch.randn(2, 4))
    assert plain(graphical_model(model, batch)) == {
        "rate": ("Gamma", False, ()),
        "mix": ("Dirichlet", False, ()),
        "x": ("Normal", True, ("rate", "mix")),
    }
    assert plain(graphical_model(amortized(model, batch.x), batch)) == {
        "x": (None, True, ()),
        "rate": ("transformed Normal", False, ("x",)),
        "mix": ("transformed Normal", False, ("x",)),
    }


def test_a_guide_that_provenance_cannot_be_carried_through() -> None:
    _, guide, batch = case("vae, full-rank, semi-amortized")
    with pytest.raises(UserError, match="cannot run"):
        module._tracked(guide, batch)
    assert plain(graphical_model(guide, batch)) == {
        "x": (None, True, ()),
        "z": ("MultivariateNormal", False, ("x",)),
    }


def test_a_row_for_each_datapoint_depends_on_no_x() -> None:
    _, guide, batch = case("vae, diagonal, per-datapoint")
    assert plain(graphical_model(guide, batch)) == {"z": ("Normal", False, ())}


class Levels(PyroModule):
    """A global variable, a chain of two latents, and plates one in the other."""

    def forward(self, batch: Batch) -> None:
        scale = pyro.sample("scale", dist.Gamma(2.0, 1.0))
        with pyro.plate("data", len(batch.x), dim=-2):
            top = pyro.sample("top", dist.Laplace(torch.zeros(1), 1.0))
            with pyro.plate("pixels", 3, dim=-1):
                below = pyro.sample("below", dist.Normal(top, scale))
                pyro.sample("x", dist.Poisson(below.exp()), obs=batch.x)


@pytest.mark.parametrize("tracked", [True, False])
def test_chains_and_nested_plates(tracked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tracked:
        monkeypatch.setattr(module, "_tracked", module._tried)
    found = graphical_model(Levels(), all_of(torch.ones(4, 3)))
    assert plain(found) == {
        "scale": ("Gamma", False, ()),
        "top": ("Laplace", False, ()),
        "below": ("Normal", False, ("scale", "top")),
        "x": ("Poisson", True, ("below",)),
    }
    assert [variable.plates for variable in found.variables] == [(), ("data",), ("data", "pixels"), ("data", "pixels")]
    assert found.plates == {"data": 4, "pixels": 3}


def test_the_users_example() -> None:
    path = Path(__file__).parents[1] / "examples" / "mine.py"
    if not path.exists():
        pytest.skip("needs the checkout, not an installed wheel")
    spec = importlib.util.spec_from_file_location("mine", path)
    assert spec is not None
    assert spec.loader is not None
    mine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mine)
    batch = all_of(torch.zeros(2, 3, 4))
    model = mine.Mine(event_shape=(3, 4), latent_dim=2, hidden=(5,), x_mean=torch.full((3, 4), 0.5))
    guide = mine.Guide(event_shape=(3, 4), latent_dim=2, hidden=(5,))
    assert plain(graphical_model(model, batch)) == {"z": ("Laplace", False, ()), "x": ("Bernoulli", True, ("z",))}
    assert plain(graphical_model(guide, batch)) == {"x": (None, True, ()), "z": ("Laplace", False, ("x",))}


def test_leaves_everything_as_it_was() -> None:
    model, guide = vae_pair()
    state = torch.get_rng_state()
    for program in (model, guide):
        graphical_model(program, all_of(torch.zeros(2, 3, 4)))
        assert program.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_program_that_does_not_run_is_named() -> None:
    with pytest.raises(UserError, match="VAE cannot run on x of shape"):
        graphical_model(vae_pair()[0], all_of(torch.zeros(2, 5)))
