"""The names of models, guides, families, likelihoods and priors, and what makes each.

What is named, a class or function here or a class in a user's file, is given what its signature asks for by name
(:mod:`ppl_vae.registry.build` lists what there is); its keyword-only parameters are its settings
(:mod:`ppl_vae.registry.settings`). So a class stands here itself, and a function makes it only where a signature cannot
say how: the layered model has a second network, the sequence model one of another kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ppl_vae.guides import (
    Amortized,
    BottomUp,
    Diagonal,
    Family,
    FullRank,
    InverseAutoregressive,
    LowRank,
    PerDatapoint,
    Planar,
    Point,
    SemiAmortized,
)
from ppl_vae.models import (
    VAE,
    ConditionalVAE,
    HierarchicalVAE,
    LinearGaussian,
    SequenceVAE,
    TwoLayerLinearGaussian,
)
from ppl_vae.models.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    ContinuousBernoulli,
    Likelihood,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
)
from ppl_vae.models.priors import MixtureOfGaussians, Prior, StandardNormal, VampPrior
from ppl_vae.networks.architecture import Networks
from ppl_vae.networks.dense import Encoder
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.layout import Layout
from ppl_vae.registry.settings import settings_from
from ppl_vae.runtime.config import Size
from ppl_vae.runtime.errors import UserError

Factory = Callable[..., nn.Module]
MakePrior = Callable[[int, int], Prior]  # of a size of z and a number of labels


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Settings that several makers read, each by a parameter of the name.

    Args:
        latent_dim: Size of z; of z1, in a model of two layers.
        upper_latent_dim: Size of z2, in a model of two layers.
        upper_hidden: Widths of the hidden layers between z1 and z2, in a model of two layers, from z1 upwards.
    """

    latent_dim: Size = 10
    upper_latent_dim: Size = 5
    upper_hidden: tuple[Size, ...] = (100,)


def _hierarchical(
    latent_dim: int,
    networks: Networks,
    activation: str,
    upper_latent_dim: int,
    upper_hidden: tuple[int, ...],
    x_mean: Tensor,
    likelihood: Likelihood,
    make_prior: MakePrior,
) -> HierarchicalVAE:
    prior = make_prior(upper_latent_dim, 0)
    if isinstance(prior, VampPrior):
        raise UserError("the VampPrior is for models with one latent vector; use `prior` mixture here.")
    decoder = networks.decoder(latent_dim, likelihood.start(x_mean))
    upper = Encoder((upper_latent_dim,), 2 * latent_dim, upper_hidden[::-1], activation)
    return HierarchicalVAE(decoder, upper, upper_latent_dim, likelihood, prior)


@settings_from(SequenceVAE)
def _sequence(
    latent_dim: int, networks: Networks, layout: Layout, x_mean: Tensor, make_prior: MakePrior, **settings: Any
) -> SequenceVAE:
    prior = make_prior(latent_dim, 0)
    if isinstance(prior, VampPrior):
        raise UserError(
            "the VampPrior is for images: it cannot learn pseudo-inputs of text or music; use `prior` mixture here."
        )
    return SequenceVAE(networks.recurrent_decoder(latent_dim, x_mean), latent_dim, layout, prior, **settings)


MODELS: dict[str, Factory] = {
    "vae": VAE,
    "conditional": ConditionalVAE,
    "hierarchical": _hierarchical,
    "sequence": _sequence,
    "linear-gaussian": LinearGaussian,
    "two-layer-linear-gaussian": TwoLayerLinearGaussian,
}


def _labels_read(model: nn.Module) -> int:
    """How many labels the model's guide has to tell apart; 0 if it reads x alone."""
    return model.num_classes if isinstance(model, ConditionalVAE) else 0


def _amortized(model: nn.Module, latents: Latents, family: Family, networks: Networks, conditioned: bool) -> Amortized:
    if isinstance(model, SequenceVAE):
        return Amortized(latents, family, networks.recurrent_encoder(family.num_params))
    if isinstance(prior := getattr(model, "prior", None), VampPrior):
        if conditioned:
            raise UserError("the VampPrior's pseudo-inputs have no conditions; use `prior` mixture here.")
        labelled = prior.y is not None  # as the encoder, which is the prior's too, was made
        holes = bool(getattr(prior.encoder, "holes", False))
        return Amortized(latents, prior.family, prior.encoder, labelled=labelled, holes=holes)  # type: ignore[arg-type]
    num_classes = _labels_read(model)
    encoder = networks.encoder(family.num_params, num_classes, conditioned=conditioned)
    given = {"labelled": num_classes > 0, "holes": networks.holes, "conditioned": conditioned}
    return Amortized(latents, family, encoder, **given)


def _per_datapoint(model: nn.Module, latents: Latents, family: Family, num_data: int) -> PerDatapoint:
    if isinstance(getattr(model, "prior", None), VampPrior):
        raise UserError(
            "the VampPrior is a mixture of an encoder's posteriors, and this guide has no encoder; use `guide` "
            "amortized or semi-amortized, or `prior` mixture."
        )
    return PerDatapoint(latents, family, num_data)


def _mean_field(model: nn.Module, latents: Latents, family: Family, num_data: int) -> PerDatapoint:
    if not isinstance(family, Diagonal):
        raise UserError("mean-field means the diagonal family; for another one say `guide` per-datapoint.")
    return _per_datapoint(model, latents, family, num_data)


@settings_from(SemiAmortized)
def _semi_amortized(
    model: nn.Module, latents: Latents, family: Family, networks: Networks, conditioned: bool, **settings: Any
) -> SemiAmortized:
    return SemiAmortized(_amortized(model, latents, family, networks, conditioned), model, **settings)


GUIDES: dict[str, Factory] = {
    "amortized": _amortized,
    "per-datapoint": _per_datapoint,
    "mean-field": _mean_field,
    "semi-amortized": _semi_amortized,
}

FAMILIES: dict[str, Callable[[int], Family]] = {
    "diagonal": Diagonal,
    "low-rank": LowRank,
    "full-rank": FullRank,
    "planar": Planar,
    "iaf": InverseAutoregressive,
    "point": Point,
}
"""The families over a vector, whatever the latents."""


def family_name(family: Family | None) -> str | None:
    """What a family is called: by its name here, or a user's own by that of its class; None if there is none."""
    kinds = {kind: name for name, kind in FAMILIES.items()} | {BottomUp: "bottom-up"}
    return None if family is None else kinds.get(type(family), type(family).__name__)


def _bottom_up(sizes: tuple[int, ...], upper_hidden: tuple[int, ...], activation: str) -> BottomUp:
    if len(sizes) == 1:
        raise UserError(
            "`family` bottom-up is for models with several layers of latents, and this model has one; use diagonal."
        )
    return BottomUp(sizes, upper_hidden, activation)


EVERY_FAMILY: dict[str, Factory] = {**FAMILIES, "bottom-up": _bottom_up}

FAMILY_NAMES = tuple(EVERY_FAMILY)

LIKELIHOODS: dict[str, Factory] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "normal": Normal,
    "student-t": StudentT,
    "poisson": Poisson,
    "negative-binomial": NegativeBinomial,
    "zero-inflated-negative-binomial": ZeroInflatedNegativeBinomial,
    "categorical": Categorical,
    "columns": Columns,
}


@settings_from(VampPrior)
def _vamp(
    latent_dim: int, family: Family, networks: Networks, x_mean: Tensor, num_classes: int, **settings: Any
) -> VampPrior:
    if isinstance(family, Point):
        raise UserError(
            "the guide puts z at one point, which has no density to mix: use another `family` for `prior` vamp."
        )
    encoder = networks.encoder(family.num_params, num_classes)
    return VampPrior(family, encoder, x_mean, num_classes=num_classes, **settings)


PRIORS: dict[str, Factory] = {"standard-normal": StandardNormal, "mixture": MixtureOfGaussians, "vamp": _vamp}

TABLES: Mapping[str, Mapping[str, Factory]] = {
    "model": MODELS,
    "guide": GUIDES,
    "family": EVERY_FAMILY,
    "likelihood": LIKELIHOODS,
    "prior": PRIORS,
}
"""What makes each part of a pair, by kind and name."""
