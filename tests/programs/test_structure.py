"""Structures that are known, read from the programs that have them."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule, PyroParam
from torch import Tensor
from torch.distributions import constraints

from ppl_vae import Batch, figures
from ppl_vae.programs import structure as module
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.structure import GraphicalModel, graphical_model, reads_labels
from ppl_vae.runtime.errors import UserError
from tests.conformance import ALL_CASES
from tests.marks import slow_after
from tests.pairs import PriorGuide, TwoLatents, all_of, amortized, oracle, vae_pair


def plain(found: GraphicalModel) -> dict[str, tuple[str | None, bool, tuple[str, ...]]]:
    return {variable.name: (variable.distribution, variable.observed, variable.parents) for variable in found.variables}


def case(name: str) -> tuple[torch.nn.Module, torch.nn.Module, Batch]:
    (found,) = (each for each in ALL_CASES if each.name == name)
    return *found.pair(), Batch(found.x[:2], None if found.y is None else found.y[:2], torch.arange(2))


def test_a_vae() -> None:
    model, guide = vae_pair()
    batch = all_of(torch.zeros(5, 3, 4))
    found = graphical_model(model, batch)
    assert plain(found) == {"z": ("N(0, I)", False, ()), "x": ("Bernoulli", True, ("z",))}
    assert found.plates == {"data": 5}
    assert {variable.plates for variable in found.variables} == {("data",)}
    assert plain(graphical_model(guide, batch)) == {"x": (None, True, ()), "z": ("Normal", False, ("x",))}


def test_probabilistic_pca() -> None:
    found = graphical_model(oracle(), all_of(torch.zeros(2, 5, dtype=torch.float64)))
    assert plain(found) == {"z": ("N(0, I)", False, ()), "x": ("Normal", True, ("z",))}


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(
    ("family", "kind"),
    [("diagonal", "Normal"), ("full-rank", "MultivariateNormal"), ("planar", "transformed Normal")],
)
def test_labels_are_given_and_have_no_distribution(
    tracked: bool, family: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tracked:
        monkeypatch.setattr(module, "_tracked", module.tried)
    model, guide, batch = case(f"conditional, {family}, amortized")
    assert plain(graphical_model(model, batch)) == {
        "y": (None, True, ()),
        "z": ("N(0, I)", False, ()),
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
        monkeypatch.setattr(module, "_tracked", module.tried)
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
        monkeypatch.setattr(module, "_tracked", module.tried)
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
    path = Path(__file__).parents[2] / "examples" / "mine.py"
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


class Prior(PyroModule):
    """z ~ N(loc(x, y), scale), the scale a constrained parameter; x ~ N(z, 1)."""

    def __init__(self, loc: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.loc = loc
        self.scale = PyroParam(torch.tensor(0.7), constraint=constraints.positive)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.loc(batch), self.scale).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=batch.x)


SHAPES_ALONE: dict[str, Callable[[Batch], Tensor]] = {
    "new_zeros": lambda batch: batch.x.new_zeros(len(batch.x), 3),
    "new_tensor": lambda batch: batch.x.new_tensor([1.0, 2.0, 3.0]),
    "new_full": lambda batch: batch.x.new_full((3,), 0.5),
    "zeros_like": lambda batch: torch.zeros_like(batch.x),
    "zeros_like by name": lambda batch: torch.zeros_like(input=batch.x),
    "zeros_like of a part": lambda batch: torch.zeros_like(batch.x[..., 0])[:, None].expand(-1, 3),
    "ones_like of labels": lambda batch: torch.ones_like(batch.y)[:, None].float().expand(-1, 3),
    "full_like": lambda batch: torch.full_like(batch.x, 0.5),
    "randn_like": lambda batch: torch.randn_like(batch.x),
    "shape": lambda batch: torch.zeros(batch.x.shape),
    "len": lambda batch: torch.zeros(len(batch.x), 3),
    "size and type": lambda batch: torch.zeros(batch.x.size(), dtype=batch.x.dtype, device=batch.x.device),
    "expand_as": lambda batch: torch.zeros(3).expand_as(batch.x),
    "type_as": lambda batch: torch.zeros(3).type_as(batch.x),
    "to": lambda batch: torch.zeros(3, dtype=torch.float64).to(batch.x),
    "broadcast": lambda batch: torch.broadcast_tensors(torch.zeros(3), batch.x)[0],
}
VALUES: dict[str, tuple[Callable[[Batch], Tensor], tuple[str, ...]]] = {
    "x": (lambda batch: 0.5 * batch.x, ("x",)),
    "y": (lambda batch: batch.y[:, None].float().expand(-1, 3), ("y",)),
    "filled with x": (lambda batch: torch.full_like(batch.y, batch.x[0, 0], dtype=torch.float32)[:, None], ("x",)),
    "new of x": (lambda batch: batch.x.new_full((3,), 1.0) * batch.y[:, None], ("y",)),
    "x as another": (lambda batch: batch.x.to(torch.float64).type_as(batch.y).float(), ("x",)),
    "broadcast": (lambda batch: torch.broadcast_tensors(torch.zeros(3), batch.x)[1], ("x",)),
}


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(
    ("loc", "parents"),
    slow_after(11, [*((loc, ()) for loc in SHAPES_ALONE.values()), *VALUES.values()]),
    ids=[*SHAPES_ALONE, *(f"values: {name}" for name in VALUES)],
)
def test_a_shape_read_from_x_is_no_dependence_and_a_value_is(
    loc: Callable[[Batch], Tensor], parents: tuple[str, ...], tracked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tracked:
        monkeypatch.setattr(module, "_tracked", module.tried)
    batch = all_of(torch.tensor([[0.3, 1.0, 0.2], [0.7, 0.1, 0.9]]), torch.tensor([1, 0]))
    program = Prior(loc)
    if tracked:
        with frozen(program):
            module._tracked(program, batch)  # it is carried through, and nothing has to be tried
    found = graphical_model(program, batch)
    assert plain(found) == {
        **({"y": (None, True, ())} if "y" in parents else {}),
        "z": ("Normal", False, parents),
        "x": ("Normal", True, ("z",)),
    }
    figure = figures.graphical_model(found)
    arrows = {str(patch.get_label()) for patch in figure.axes[0].patches} & {"x → z", "y → z", "z → x"}
    assert arrows == {"z → x", *(f"{parent} → z" for parent in parents)}


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


# --- What is learned --------------------------------------------------------------------------------------------------


SHARED, OWN = (), ("data",)


def learned(program: torch.nn.Module, batch: Batch) -> dict[tuple[str, ...], tuple[str, ...]]:
    """By the plates that parameters are in, the variables that depend on them."""
    return {each.plates: each.children for each in graphical_model(program, batch).parameters}


@pytest.mark.parametrize(
    ("name", "theta", "phi"),
    [
        ("vae, full-rank, amortized", {SHARED: ("x",)}, {SHARED: ("z",)}),
        ("conditional, diagonal, amortized", {SHARED: ("x",)}, {SHARED: ("z",)}),
        ("vae, diagonal, per-datapoint", {SHARED: ("x",)}, {OWN: ("z",)}),
        # A flow's maps are shared, the base's parameters are not.
        ("vae, iaf, per-datapoint", {SHARED: ("x",)}, {SHARED: ("z",), OWN: ("z",)}),
        # Refined for each datapoint, but nothing of that is kept.
        ("vae, full-rank, semi-amortized", {SHARED: ("x",)}, {SHARED: ("z",)}),
        ("hierarchical, diagonal, amortized", {SHARED: ("z1", "x")}, {SHARED: ("z2", "z1")}),
    ],
)
def test_what_is_learned_and_by_whom(name: str, theta: object, phi: object) -> None:
    model, guide, batch = case(name)
    assert learned(model, batch) == theta
    assert learned(guide, batch) == phi


def test_two_latents_that_are_cut_from_one_vector_share_its_parameters() -> None:
    model = TwoLatents()
    batch = all_of(torch.randn(2, 4))
    assert learned(amortized(model, batch.x), batch) == {SHARED: ("rate", "mix")}


def test_nothing_is_learned_where_no_parameter_requires_a_gradient() -> None:
    model, batch = oracle(), all_of(torch.zeros(2, 5, dtype=torch.float64))
    assert learned(model, batch) == {SHARED: ("x",)}
    model.requires_grad_(False)
    assert learned(model, batch) == {}
    assert learned(PriorGuide(3, 0.5), batch) == {}


class Own(PyroModule):
    """A guide of a user's: q(z) = N(row of the datapoint, one scale for all)."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = torch.nn.Embedding(7, 2)
        self.scale = PyroParam(torch.tensor(0.7), constraint=constraints.positive)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.loc(batch.index), self.scale).to_event(1))


def test_a_users_own_rows_are_told_from_what_datapoints_share() -> None:
    batch = all_of(torch.zeros(3, 4))
    guide = Own()
    assert learned(guide, batch) == {SHARED: ("z",), OWN: ("z",)}
    guide.scale_unconstrained.requires_grad_(False)
    assert learned(guide, batch) == {OWN: ("z",)}


def test_a_learned_prior_is_no_standard_normal() -> None:
    batch = all_of(torch.zeros(2, 3))
    program = Prior(lambda batch: torch.zeros(len(batch.x), 3))
    with torch.no_grad():
        program.scale_unconstrained.zero_()  # a scale of 1 now
    assert learned(program, batch) == {SHARED: ("z",)}
    assert plain(graphical_model(program, batch))["z"][0] == "Normal"
    program.scale_unconstrained.requires_grad_(False)
    assert plain(graphical_model(program, batch))["z"][0] == "N(0, I)"


# --- Labels -----------------------------------------------------------------------------------------------------------


class Joint(PyroModule):
    """z ~ N(0, 1), y | z ~ Bernoulli, x | z ~ N(z, 1): the labels are generated, like x."""

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            pyro.sample("label", dist.Bernoulli(logits=z), obs=None if batch.y is None else batch.y.float())
            pyro.sample("x", dist.Normal(z, 1.0), obs=batch.x)


class Shifted(PyroModule):
    """z | y ~ N(y, 1), x | z ~ N(z, 1): x depends on the labels through z."""

    def forward(self, batch: Batch) -> None:
        assert batch.y is not None
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(batch.y.float(), 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=batch.x)


@pytest.mark.parametrize("tracked", [True, False])
def test_who_reads_labels(tracked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tracked:
        monkeypatch.setattr(module, "_tracked", module.tried)
    conditional, _, batch = case("conditional, diagonal, amortized")
    assert reads_labels(conditional, batch)
    assert not reads_labels(conditional, batch._replace(y=None))
    assert not reads_labels(vae_pair()[0], Batch(torch.zeros(2, 3, 4), torch.zeros(2).long(), torch.arange(2)))
    numbers = Batch(torch.zeros(2), torch.zeros(2).long(), torch.arange(2))
    assert reads_labels(Shifted(), numbers)
    assert not reads_labels(Joint(), numbers)
