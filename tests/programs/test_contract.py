"""What no number here can be of is refused by every function alike, in one line with the site's name."""

import re
from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import config_enumerate
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import calibrate, diagnose
from ppl_vae.evaluation import AnnealingConfig, annealed_importance_bound, elbo, importance_bound, simulate
from ppl_vae.guides import Diagonal
from ppl_vae.inference.fitting import infer
from ppl_vae.predictive.draws import prior_predictive
from ppl_vae.predictive.posteriors import posterior_samples
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.structure import graphical_model
from tests.evaluations import EVALUATIONS, Given
from tests.pairs import all_of, bits, vae_pair

X = bits(6, seed=3)
Prior = Callable[[Batch], None]


def normal(size: int = 2) -> dist.TorchDistribution:
    return dist.Normal(torch.zeros(size), 1.0).to_event(1)


def plate(batch: Batch) -> pyro.plate:
    return pyro.plate("data", len(batch.x), dim=-1)


class Latents(PyroModule):
    """Both programs' latents: z of size 2, and what is wrong besides."""

    def __init__(self, wrong: str) -> None:
        super().__init__()
        self.wrong = wrong
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Batch) -> None:
        if self.wrong == "global":
            pyro.sample("w", normal(1))
        elif self.wrong == "components":
            with pyro.plate("components", 7):
                pyro.sample("w", normal(1))
        with plate(batch):
            self.observe(pyro.sample("z", normal(), infer={"enumerate": self.wrong == "enumerated"}), batch)

    def observe(self, z: Tensor, batch: Batch) -> None:
        """What the model does besides."""


class Model(Latents):
    def observe(self, z: Tensor, batch: Batch) -> None:
        logits = (z.sum(-1) + self.shift)[..., None, None].expand(*z.shape[:-1], 3, 4)
        pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class Guide(Latents):
    def params(self, batch: Batch) -> Tensor:
        return torch.zeros(len(batch.x), 4)


# It draws any program's variables as they are; the others run no program, or none but to ask what it reads.
LENIENT = {
    "structure.graphical_model",
    *("structure.reads_labels", "structure.reads_conditions"),
    "fingerprint.fingerprint_of",
    "unseen.fitted_for",
    "unseen.guide_for",
    "codes.label_number",
    "codes.labels_for",
    "distributions.conditional",
    "exploring.explored",
    "checking.predictive_checks",  # of other data than a table
    "rendering.device_of",
    "rendering.is_drawn",
    *("rendering.takes_labels", "rendering.takes_conditions", "rendering.at_means"),
    "starts.placing",
    *("check.advice_on_scale", "check.given_totals"),
    *("trying.tried", "trying.learned", "layers.networks"),
}

WRONG = {
    "global": r"^site 'w' of (Model|Guide) is outside the batch's plate.*make it a parameter\.$",
    "components": r"^site 'w' of (Model|Guide) is outside the batch's plate.*make it a parameter\.$",
    "enumerated": r"^site 'z' of (Model|Guide) is marked for enumeration, which is not supported",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_every_public_function_refuses_it(wrong: str) -> None:
    on = Given(Model(wrong), Guide(wrong), Dataset(X))
    said = {}
    for name, call in EVALUATIONS.items():
        try:
            call(on)
            said[name] = "nothing"
        except UserError as error:
            said[name] = str(error)
    assert {name for name, line in said.items() if not re.match(WRONG[wrong], line)} == LENIENT
    assert not any("\n" in line for line in said.values())


@pytest.mark.parametrize("wrong", WRONG)
def test_so_does_training(wrong: str) -> None:
    with pytest.raises(UserError, match=WRONG[wrong]):
        fit(Model(wrong), Guide(wrong), Dataset(X), settings=FitConfig(epochs=1, device="cpu"))


def test_an_enumeration_that_is_asked_for_from_outside_the_site() -> None:
    """As Pyro's decorator does; of a discrete latent, which by itself is sampled."""

    class Kinds(PyroModule):
        def forward(self, batch: Batch) -> None:
            with plate(batch):
                pyro.sample("k", dist.Categorical(torch.ones(3) / 3))

    class Enumerated(Kinds):
        def forward(self, batch: Batch) -> None:
            config_enumerate(super().forward, "parallel")(batch)

    assert posterior_samples(Kinds(), all_of(X), 2)["k"].shape == (2, 6)
    with pytest.raises(UserError, match=r"^site 'k' of Enumerated is marked for enumeration"):
        posterior_samples(Enumerated(), all_of(X), 2)


def test_what_is_all_right_passes() -> None:
    on = Given(Model(""), Guide(""), Dataset(X))
    for call in (EVALUATIONS["bounds.elbo"], EVALUATIONS["check.check_pair"], EVALUATIONS["gaps.take_apart"]):
        call(on)
    drawn = graphical_model(Model("global"), all_of(X))
    assert [variable.name for variable in drawn.variables] == ["w", "z", "x"]


# --- x is observed, once and as it is -----------------------------------------------------------------------------


class Observing(Latents):
    """A model that observes what a function makes of x, at sites by name."""

    def __init__(self, observed: Callable[[Tensor], dict[str, Tensor]]) -> None:
        super().__init__("")
        self.observed = observed

    def observe(self, z: Tensor, batch: Batch) -> None:
        for name, value in self.observed(batch.x).items():
            loc = z.sum(-1).reshape(*z.shape[:-1], *[1] * (value.dim() - 1)).expand(*z.shape[:-1], *value.shape[1:])
            pyro.sample(name, dist.Normal(loc, 1.0).to_event(value.dim() - 1), obs=value)


OBSERVED: dict[str, tuple[Callable[[Tensor], dict[str, Tensor]], str]] = {
    "levels": (
        lambda x: {"x": (255 * x).round()},
        r"^site 'x': what the model observes is not batch\.x but made of it",
    ),
    "noise": (lambda x: {"x": x + 0.1 * torch.rand_like(x)}, r"^site 'x': what the model observes is not batch\.x"),
    "another shape": (lambda x: {"x": x.flatten(1)}, r"^site 'x': what the model observes is not batch\.x"),
    "a part": (lambda x: {"x": x[:, :2], "rest": x[:, 2:]}, r"^site 'x': what the model observes is not batch\.x"),
    "two parts": (lambda x: {"top": x[:, :2], "rest": x[:, 2:]}, r"^the model observes no site 'x'"),
    "twice": (lambda x: {"x": x, "again": x}, r"^site 'again': the model observes x there and at site 'x' too"),
    "a copy": (lambda x: {"x": x, "again": x.clone()}, r"^site 'again': the model observes x there and at"),
    "x and a part": (lambda x: {"x": x, "top": x[:, :2]}, r"^site 'top': the model observes x there and at site"),
    "nothing": (lambda x: {}, r"^the model observes no site 'x'"),
}

DOORS: dict[str, Callable[[nn.Module, nn.Module, Dataset], object]] = {
    "check_pair": lambda model, guide, data: check_pair(model, guide, data.probe()),
    "fit": lambda model, guide, data: fit(model, guide, data, settings=FitConfig(epochs=1, device="cpu")),
    "elbo": elbo,
    "importance_bound": lambda model, guide, data: importance_bound(model, guide, data, 2),
    "diagnose": lambda model, guide, data: diagnose(model, guide, data, 100),
    "infer": lambda model, _, data: infer(model, Diagonal(2), data),
    "annealed_importance_bound": lambda model, _, data: annealed_importance_bound(
        model, None, data, 2, AnnealingConfig(temperatures=2)
    ),
    "simulate": lambda model, _, data: simulate(model, data.event_shape, 20),
    "calibrate": lambda model, guide, data: calibrate(model, guide, data.event_shape, 20, 7),
}


@pytest.mark.parametrize("observed", OBSERVED)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_observed_is_x(door: str, observed: str) -> None:
    make, message = OBSERVED[observed]
    with pytest.raises(UserError, match=message) as caught:
        DOORS[door](Observing(make), Guide(""), Dataset(X + 0.25))
    assert "\n" not in str(caught.value)


def test_another_dtype_of_the_same_numbers_is_x() -> None:
    elbo(Observing(lambda x: {"x": x.double()}), Guide(""), Dataset(X))


def test_what_is_observed_besides_x_is_not_simulated() -> None:
    """A density of single datapoints all the same: bounds are bounds. But x drawn with it would be x drawn without."""
    model = Observing(lambda x: {"x": x, "total": x.sum((1, 2))})
    elbo(model, Guide(""), Dataset(X))
    for door in ("simulate", "calibrate"):
        with pytest.raises(UserError, match=r"^site 'total': the model observes it besides x, .*elbo, iwae or ais"):
            DOORS[door](model, Guide(""), Dataset(X))


def test_what_no_x_can_be_drawn_from_says_so() -> None:
    with pytest.raises(UserError, match=r"^the model observes no site 'x': end it with"):
        prior_predictive(Observing(lambda x: {}), (3, 4), 2)


def test_vaes_are_all_right() -> None:
    model, guide = vae_pair()
    for door in DOORS.values():
        door(model, guide, Dataset(X))
