"""Models and guides from classes and names, as a notebook makes them."""

import enum
import gc
import re
import weakref
from copy import deepcopy
from functools import partial
from typing import Annotated, Any

import numpy as np
import pyro
import pytest
import torch
from pydantic import Field
from pyro.nn import PyroModule
from torch import nn

import ppl_vae as pv
from ppl_vae.data.info import DataInfo
from ppl_vae.guides import Amortized, BottomUp, Diagonal, FullRank, PerDatapoint, SemiAmortized
from ppl_vae.models import VAE, ConditionalVAE, HierarchicalVAE, LinearGaussian
from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import ContinuousBernoulli, Normal
from ppl_vae.models.priors import MixtureOfGaussians, StandardNormal
from ppl_vae.registry.build import build_pair
from ppl_vae.registry.pair_config import PairConfig
from tests.cli import own_parts
from tests.cli.own_parts import Heavy, Student

Flavour = enum.Enum("Flavour", "red blue")
DATA = pv.load("digits", binarization="static")
MEAN = DATA.train.x.mean(0)


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
        (lambda: pv.build_model(VAE, DATA, prior="vamp", num_component=3), "unknown setting 'num_component' (known: "),
        (lambda: pv.build_model(VAE, DATA, latent_dim=0), "`latent_dim`: must be greater than 0, got 0."),
        (lambda: pv.build_guide(Amortized, model, DATA, refinement_steps=9), "`refinement_steps`: nothing in this"),
        (lambda: pv.build_guide("amortised", model, DATA), "unknown guide 'amortised'"),
        (lambda: pv.build_guide(Amortized, model, DATA, family=FullRank(2)), "`family` is a FullRank that is made"),
    ):
        with pytest.raises(pv.UserError, match=f"^{re.escape(line)}"):
            make()


def test_a_misspelt_setting_is_told_with_the_nearest_that_there_is() -> None:
    model = pv.build_model(VAE, DATA, latent_dim=2, hidden=(4,))
    for make, near in (
        (lambda: pv.build_model(VAE, DATA, latent_dims=3), "latent_dim"),
        (lambda: pv.build_model(VAE, DATA, likelihod="normal"), "likelihood"),
        (lambda: pv.build_model(VAE, DATA, sede=1), "seed"),
        (lambda: pv.build_model(Student, DATA, dofs=3), "dof"),
        (lambda: pv.build_guide(Amortized, model, DATA, famly="planar"), "family"),
        (lambda: pv.build_guide(Amortized, model, DATA, hiden=(3,)), "hidden"),
    ):
        with pytest.raises(pv.UserError, match=f"^unknown setting .*; did you mean '{near}'[?]$"):
            make()


# --- What a guide has from its model ----------------------------------------------------------------------------------


class _OfItsDecoder(Model):
    """A model of one's own as ours are: the class, which asks for its network, says all that is to be said."""

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", self.prior())
            output = self.decoder(z, batch.y) if self.decoder.num_classes else self.decoder(z)
            return pyro.sample("x", self.likelihood(output, batch.x.dim() - 1), obs=batch.x)


class Plain(_OfItsDecoder):
    def __init__(self, decoder, latent_dim, *, dof: Annotated[float, Field(gt=0)] = 5.0):
        super().__init__()
        self.decoder, self.prior, self.likelihood, self.dof = decoder, StandardNormal(latent_dim), Normal(), dof


class OfParts(_OfItsDecoder):
    def __init__(self, decoder, likelihood, prior, *, dof: float = 5.0):
        super().__init__()
        self.decoder, self.prior, self.likelihood, self.dof = decoder, prior, likelihood, dof


class Labelled(_OfItsDecoder):
    def __init__(self, decoder, num_classes, likelihood=None, prior=None, *, dof: float = 5.0):
        super().__init__()
        self.decoder, self.prior, self.likelihood, self.dof = decoder, prior, likelihood, dof


@pytest.mark.parametrize(
    ("kind", "parts", "start"),
    [
        (Plain, {}, MEAN),
        (OfParts, {"likelihood": "normal"}, MEAN),
        (OfParts, {"prior": "mixture"}, torch.logit(MEAN.clamp(0.001, 0.999))),
        (Labelled, {"prior": MixtureOfGaussians}, torch.logit(MEAN.clamp(0.001, 0.999))),
        (Labelled, {"likelihood": ContinuousBernoulli}, torch.logit(MEAN.clamp(0.001, 0.999))),
    ],
)
def test_a_model_that_asks_for_its_decoder_is_given_one_that_starts_at_the_data(kind, parts, start) -> None:
    model = pv.build_model(kind, DATA, latent_dim=3, hidden=(4,), dof=7.0, **parts)
    assert model.dof == 7.0
    *_, bias = model.decoder.parameters()
    torch.testing.assert_close(bias.detach(), start.flatten())
    assert model.decoder.num_classes == (10 if kind is Labelled else 0)
    pv.check_pair(model, pv.build_guide("mean-field", model, DATA), DATA.train.probe())


@pytest.mark.parametrize("kind", [OfParts, Labelled])
@pytest.mark.parametrize("guide", ["amortized", "semi-amortized"])
def test_a_model_of_ones_own_shares_the_vamp_priors_encoder_with_its_guide(kind, guide) -> None:
    """With the labels, where it asks for their number."""
    model = pv.build_model(kind, DATA, latent_dim=3, hidden=(4,), prior="vamp")
    made = pv.build_guide(guide, model, DATA)
    proposal = made.proposal if guide == "semi-amortized" else made
    assert proposal.encoder is model.prior.encoder
    assert proposal.labelled == (kind is Labelled)
    pv.check_pair(model, made, DATA.train.probe())


def test_what_such_a_model_does_not_ask_for_is_not_read() -> None:
    for wrong in ({"prior": "mixture"}, {"likelihood": "normal"}):
        with pytest.raises(pv.UserError, match=f"`{next(iter(wrong))}`: nothing in this pair reads it"):
            pv.build_model(Plain, DATA, **wrong)


class Asking(PyroModule):
    """A guide of a user's own that asks for all sorts of things by name."""

    def __init__(self, event_shape, latent_dim, hidden, activation, likelihood, upper_latent_dim, *, dof: float = 3.0):
        super().__init__()
        self.given = (latent_dim, hidden, activation, type(likelihood), upper_latent_dim, dof)


def test_a_guide_of_ones_own_is_given_what_its_model_was_built_with() -> None:
    model = pv.build_model(
        Student, DATA, latent_dim=3, hidden=(8,), activation="tanh", dof=7.0, likelihood=ContinuousBernoulli
    )
    guide = pv.build_guide(Asking, model, DATA)
    assert guide.given == (3, (8,), "tanh", ContinuousBernoulli, 5, 7.0)
    guide = pv.build_guide(Asking, model, DATA, hidden=(4, 5), dof=2.0)  # what is said counts
    assert guide.given == (3, (4, 5), "tanh", ContinuousBernoulli, 5, 2.0)
    as_by_the_command_line = build_pair(
        PairConfig(
            f"{own_parts.__file__}:Student",
            f"{__file__}:Asking",
            likelihood="continuous-bernoulli",
            settings={"latent_dim": 3, "hidden": [8], "activation": "tanh", "dof": 7.0},
        ),
        DataInfo.of(DATA),
        None,
        0,
    )
    found = as_by_the_command_line.guide.given
    assert (*found[:3], found[3].__name__, *found[4:]) == (3, (8,), "tanh", "ContinuousBernoulli", 5, 7.0)


@pytest.mark.parametrize("guide", ["amortized", "semi-amortized"])
def test_a_guide_of_ours_has_the_networks_of_its_model(guide: str) -> None:
    model = pv.build_model(VAE, DATA, latent_dim=2, hidden=(8,))
    made, said = pv.build_guide(guide, model, DATA), pv.build_guide(guide, model, DATA, hidden=(8,))
    assert [param.shape for param in made.parameters()] == [param.shape for param in said.parameters()]


def test_a_model_from_elsewhere_shows_the_size_of_its_latents() -> None:
    two_layers = deepcopy(pv.build_model(HierarchicalVAE, DATA, latent_dim=4, upper_latent_dim=2))
    for model, sizes in ((own_parts.Fixed((8, 8)), (2, 5)), (two_layers, (4, 2))):
        given = pv.build_guide(Asking, model, DATA).given
        assert (given[0], given[4]) == sizes


def test_what_a_model_was_built_with_is_forgotten_with_it() -> None:
    model = weakref.ref(pv.build_model(VAE, DATA, latent_dim=2, hidden=(4,)))
    gc.collect()
    assert model() is None


@pytest.mark.parametrize("part", [None, 3, object(), StandardNormal(2)])
@pytest.mark.parametrize("kind", ["model", "likelihood", "prior"])
def test_what_is_no_class_is_no_part(kind: str, part: object) -> None:
    parts: dict[str, Any] = {"model": VAE} | {kind: part}
    with pytest.raises(pv.UserError, match=f"^`{kind}` is a .*; pass the class, or its name\\."):
        pv.build_model(parts.pop("model"), DATA, **parts)


class Coloured(Student):
    """Takes what is no setting."""

    def __init__(self, *args: Any, colour: Flavour = Flavour.red, shades: int = 3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen = colour, shades


@pytest.mark.parametrize("shades", [np.int64(4), torch.tensor(4), np.array(4), 4])
def test_a_setting_can_be_a_number_of_numpys_or_torchs(shades: Any) -> None:
    model = pv.build_model(
        Coloured, DATA, latent_dim=np.int32(2), hidden=[np.int64(3)], dof=torch.tensor(2.5), shades=shades
    )
    assert (model.seen, model.dof) == ((Flavour.red, 4), 2.5)
    assert [type(each) for each in (model.seen[1], model.dof)] == [int, float]


@pytest.mark.parametrize(
    "value", [Flavour.blue, torch.zeros(2), np.zeros(2), nn.ReLU(), print, {"a": 1}, [None, object()]]
)
def test_what_can_be_no_setting_is_bound_to_the_class(value: Any) -> None:
    with pytest.raises(pv.UserError, match=r"^`colour`: a setting is a number, a word.*functools\.partial"):
        pv.build_model(Coloured, DATA, latent_dim=2, colour=value)
    model = pv.build_model(partial(Coloured, colour=value), DATA, latent_dim=2, hidden=(3,))
    assert model.seen[0] is value


@pytest.mark.parametrize("labelled", [True, False])
def test_a_data_set_of_ones_own_is_training_data(labelled: bool) -> None:
    y = torch.tensor([0, 2] * 10) if labelled else None
    data = pv.Dataset(torch.rand(20, 3, 2), y)
    info = DataInfo.of(data)
    assert (info.event_shape, info.num_data, info.num_classes) == ((3, 2), 20, 3 if labelled else 0)
    assert info.unseen == ((1,) if labelled else ())
    model = pv.build_model(ConditionalVAE if labelled else VAE, data, latent_dim=2, hidden=(4,))
    guide = pv.build_guide(PerDatapoint, model, data)
    pv.check_pair(model, guide, data.probe())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digits", "`data` is a str, the name of data; pass ppl_vae.load(...) of it."),
        (np.zeros((2, 3)), "`data` is a ndarray; give what"),
        (nn.Linear(1, 1), "`data` is a Linear; give what"),
        (pv.Dataset(torch.zeros(0, 3)), "the data has no rows"),
        (pv.Dataset(torch.zeros(1, 3), torch.tensor([-1])), "y holds -1"),
    ],
)
def test_what_is_no_data_is_told_what_is(data: Any, message: str) -> None:
    model = nn.Linear(1, 1)
    for call in (lambda: pv.build_model(VAE, data), lambda: pv.build_guide(Amortized, model, data)):
        with pytest.raises(pv.UserError, match=f"^{re.escape(message)}"):
            call()


def test_swapped_arguments_are_told_their_order() -> None:
    for model in (DATA, VAE, "vae"):
        with pytest.raises(pv.UserError, match=r"the order is build_guide\(guide, model, data\)"):
            pv.build_guide(Amortized, model, nn.Linear(1, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "part", "other"),
    [
        *(
            ("model", part, kind)
            for part, kind in ((FullRank, "family"), (Amortized, "guide"), (StandardNormal, "prior"))
        ),
        *(("prior", part, kind) for part, kind in ((VAE, "model"), (Normal, "likelihood"))),
    ],
)
def test_a_part_of_another_kind_is_told_its_place(kind: str, part: type, other: str) -> None:
    parts: dict[str, Any] = {"model": VAE} | {kind: part}
    with pytest.raises(
        pv.UserError, match=f"^`{kind}` is {part.__name__}, which is no {kind}; what takes it is `{other}`"
    ):
        pv.build_model(parts.pop("model"), DATA, **parts)


def test_a_family_is_no_guide() -> None:
    model = pv.build_model(VAE, DATA, latent_dim=2, hidden=(4,))
    with pytest.raises(pv.UserError, match=r"^`guide` is FullRank, which is no guide; what takes it is `family`"):
        pv.build_guide(FullRank, model, DATA)


def test_a_class_in_place_of_a_word_is_told_the_word() -> None:
    with pytest.raises(pv.UserError, match=r'^`activation`: .* give that, as "tanh"; '):
        pv.build_model(VAE, DATA, activation=nn.Tanh)
