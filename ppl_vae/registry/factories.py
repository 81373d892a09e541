"""The names of models, guides, families, likelihoods, priors, and what makes each one of a run's settings.

What is named, a function here or a class in a user's file, is called with those of the available settings that its
signature asks for by name (:mod:`ppl_vae.registry.build` lists them), so that both follow one rule.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from ppl_vae.guides import (
    Amortized,
    BottomUp,
    Diagonal,
    Family,
    FullRank,
    InverseAutoregressive,
    Latents,
    LowRank,
    PerDatapoint,
    Planar,
    Point,
    SemiAmortized,
)
from ppl_vae.guides.semi_amortized import Training
from ppl_vae.models import (
    VAE,
    ConditionalVAE,
    HierarchicalVAE,
    LinearGaussian,
    SequenceVAE,
    TwoLayerLinearGaussian,
)
from ppl_vae.models.likelihoods import Bernoulli, ContinuousBernoulli, Likelihood, Normal
from ppl_vae.models.priors import MixtureOfGaussians, Prior, StandardNormal, VampPrior
from ppl_vae.networks.architecture import Networks
from ppl_vae.networks.dense import Encoder
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.errors import UserError, unknown_name

LikelihoodName = Literal["bernoulli", "continuous-bernoulli", "normal"]
PriorName = Literal["standard-normal", "mixture", "vamp"]

Factory = Callable[..., nn.Module]
MakePrior = Callable[[int, int], Prior]  # of a size of z and a number of labels


def _vae(latent_dim: int, networks: Networks, x_mean: Tensor, likelihood: Likelihood, make_prior: MakePrior) -> VAE:
    return VAE(
        networks.decoder(latent_dim, likelihood.start(x_mean)), latent_dim, likelihood, make_prior(latent_dim, 0)
    )


def _conditional(
    latent_dim: int,
    networks: Networks,
    x_mean: Tensor,
    num_classes: int,
    likelihood: Likelihood,
    make_prior: MakePrior,
) -> ConditionalVAE:
    if not num_classes:
        raise UserError("the conditional model needs labels and this data has none; add y, or use --model vae.")
    decoder = networks.decoder(latent_dim, likelihood.start(x_mean), num_classes)
    return ConditionalVAE(decoder, latent_dim, num_classes, likelihood, make_prior(latent_dim, num_classes))


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
        raise UserError("the VampPrior is for models with one latent vector; use --prior mixture here.")
    decoder = networks.decoder(latent_dim, likelihood.start(x_mean))
    upper = Encoder((upper_latent_dim,), 2 * latent_dim, upper_hidden[::-1], activation)
    return HierarchicalVAE(decoder, upper, upper_latent_dim, likelihood, prior)


def _sequence(
    latent_dim: int,
    networks: Networks,
    layout: Layout,
    word_dropout: float,
    x_mean: Tensor,
    make_prior: MakePrior,
) -> SequenceVAE:
    prior = make_prior(latent_dim, 0)
    if isinstance(prior, VampPrior):
        raise UserError("the VampPrior is for images: half a character is no pseudo-input; use --prior mixture here.")
    return SequenceVAE(networks.recurrent_decoder(latent_dim, x_mean), latent_dim, layout, word_dropout, prior)


MODELS: dict[str, Factory] = {
    "vae": _vae,
    "conditional": _conditional,
    "hierarchical": _hierarchical,
    "sequence": _sequence,
    "linear-gaussian": LinearGaussian,
    "two-layer-linear-gaussian": TwoLayerLinearGaussian,
}


def _labels_read(model: nn.Module) -> int:
    """How many labels the model's guide has to tell apart; 0 if it reads x alone."""
    return model.num_classes if isinstance(model, ConditionalVAE) else 0


def _amortized(model: nn.Module, latents: Latents, family: Family, networks: Networks) -> Amortized:
    if isinstance(model, SequenceVAE):
        return Amortized(latents, family, networks.recurrent_encoder(family.num_params))
    num_classes = _labels_read(model)
    if isinstance(prior := getattr(model, "prior", None), VampPrior):
        return Amortized(latents, prior.family, prior.encoder, labelled=num_classes > 0)  # type: ignore[arg-type]
    encoder = networks.encoder(family.num_params, num_classes)
    return Amortized(latents, family, encoder, labelled=num_classes > 0)


def _per_datapoint(model: nn.Module, latents: Latents, family: Family, num_data: int) -> PerDatapoint:
    if isinstance(getattr(model, "prior", None), VampPrior):
        raise UserError(
            "the VampPrior is a mixture of an encoder's posteriors, and this guide has no encoder; use --guide "
            "amortized or semi-amortized, or --prior mixture."
        )
    return PerDatapoint(latents, family, num_data)


def _mean_field(model: nn.Module, latents: Latents, family: Family, num_data: int) -> PerDatapoint:
    if not isinstance(family, Diagonal):
        raise UserError("mean-field means the diagonal family; for another one say --guide per-datapoint.")
    return _per_datapoint(model, latents, family, num_data)


def _semi_amortized(
    model: nn.Module,
    latents: Latents,
    family: Family,
    networks: Networks,
    refinement_steps: int,
    refinement_rate: float,
    refinement_training: Training,
) -> SemiAmortized:
    proposal = _amortized(model, latents, family, networks)
    return SemiAmortized(proposal, model, refinement_steps, refinement_rate, refinement_training)


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
"""The families over a vector, whatever the latents; :func:`make_family` knows ``bottom-up`` too."""

FAMILY_NAMES = (*FAMILIES, "bottom-up")


def family_name(family: Family | None) -> str | None:
    """What a family is called here; None if it has no name, or there is none."""
    kinds = {kind: name for name, kind in FAMILIES.items()} | {BottomUp: "bottom-up"}
    return kinds.get(type(family))  # type: ignore[arg-type]


def make_family(name: str, sizes: Sequence[int], hidden: tuple[int, ...], activation: str) -> Family:
    """The family of that name.

    Args:
        name: one of ``FAMILY_NAMES``.
        sizes: of the latents' sites, in the model's order.
        hidden: widths of the networks from layer to layer, for ``bottom-up``.
        activation: theirs.

    Raises:
        UserError: unknown name; or ``bottom-up`` for a single latent.
    """
    if name == "bottom-up":
        if len(sizes) == 1:
            raise UserError("--family bottom-up goes from layer to layer, and this model has one; use diagonal.")
        return BottomUp(sizes, hidden, activation)
    if name not in FAMILIES:
        raise unknown_name("family", name, FAMILY_NAMES)
    return FAMILIES[name](sum(sizes))


LIKELIHOODS: dict[LikelihoodName, Callable[[], Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "normal": Normal,
}


def make_prior(
    name: PriorName,
    num_components: int,
    family: Callable[[int], Family],
    networks: Networks,
    x_mean: Tensor,
    latent_dim: int,
    num_classes: int,
) -> Prior:
    """The prior of that name.

    Args:
        name: which.
        num_components: of the two mixtures.
        family: of the VampPrior, from the size of z.
        networks: which make its encoder.
        x_mean: mean of the training data, ``(*event)``.
        latent_dim: size of z.
        num_classes: how many labels the guide tells apart; 0 if it reads x alone.

    Raises:
        UserError: a VampPrior of points.
    """
    match name:
        case "standard-normal":
            return StandardNormal(latent_dim)
        case "mixture":
            return MixtureOfGaussians(latent_dim, num_components)
        case "vamp":
            q = family(latent_dim)
            if isinstance(q, Point):
                raise UserError("a point has no density to mix: take another --family for --prior vamp.")
            return VampPrior(q, networks.encoder(q.num_params, num_classes), x_mean, num_components, num_classes)
