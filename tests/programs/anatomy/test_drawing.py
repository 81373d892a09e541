"""How known guides draw."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import nn

from ppl_vae import Batch, figures
from ppl_vae.guides import Point
from ppl_vae.programs.anatomy.drawing import reparameterised
from ppl_vae.runtime.errors import UserError
from tests.pairs import PriorGuide, TwoLatents, all_of, amortized, bits, vae_pair
from tests.programs.test_structure import case


@pytest.mark.parametrize(
    ("name", "given", "own", "formula"),
    [
        ("vae, diagonal, amortized", ("x",), False, "loc + scale · ε"),
        ("vae, full-rank, amortized", ("x",), False, "loc + L ε"),
        ("vae, iaf, amortized", ("x",), False, "T(ε; φ, x)"),
        ("vae, diagonal, per-datapoint", (), True, "loc + scale · ε"),
        ("conditional, diagonal, amortized", ("x", "y"), False, "loc + scale · ε"),
        ("vae, planar, per-datapoint", (), True, "T(ε; φₙ)"),
    ],
)
def test_what_z_is_worked_out_from(name: str, given: tuple[str, ...], own: bool, formula: str) -> None:
    _, guide, batch = case(name)
    found = reparameterised(guide, batch)
    assert (found.latents, found.given, found.own, found.formula) == (("z",), given, own, formula)
    assert found.noise == "N(0, I)"


def test_latents_on_other_supports_are_maps_of_the_noise() -> None:
    model, batch = TwoLatents(), all_of(torch.randn(2, 4))
    found = reparameterised(amortized(model, batch.x), batch)
    assert (found.latents, found.formula, found.noise) == (("rate", "mix"), "T(ε; φ, x)", "N(0, I)")
    _, guide, batch = case("hierarchical, diagonal, amortized")
    assert reparameterised(guide, batch).formula == "loc + scale · ε"


class Counts(PyroModule):
    """z ~ Poisson: no gradient passes through a count."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 2)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Poisson(self.net(batch.x).exp()).to_event(1))


def test_who_has_nothing_to_draw() -> None:
    _, point = vae_pair(Point)
    with pytest.raises(UserError, match="'z' is a point"):
        reparameterised(point, all_of(bits(2)))
    with pytest.raises(UserError, match="carry no gradient"):
        reparameterised(Counts(), all_of(torch.rand(2, 4)))
    with pytest.raises(UserError, match="learns nothing"):
        reparameterised(PriorGuide(3, 0.5), all_of(torch.zeros(2, 5, dtype=torch.float64)))


def test_the_gradient_ends_at_the_draw_and_passes_the_map() -> None:
    _, guide = vae_pair()
    left, right = figures.reparameterisation(reparameterised(guide, all_of(bits(2)))).axes
    labels = [{str(patch.get_label()): patch for patch in axes.patches} for axes in (left, right)]
    assert "gradient: z → φ" not in labels[0]
    assert "gradient: z → φ" in labels[1]
    assert "ε" in labels[1]
    assert [str(line.get_label()) for line in left.lines] == ["gradient ends"]
    assert [type(each["z"]).__name__ for each in labels] == ["Circle", "RegularPolygon"]
