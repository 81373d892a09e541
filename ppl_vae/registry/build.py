"""From settings to a model/guide pair.

The constructor of a model or guide, ours or a user's, can ask by name for

* ``event_shape``, ``num_classes``, ``num_data``: of the training data;
* ``x_mean``: its mean, ``(*event)``; ½ everywhere when a trained run is loaded;
* ``layout``, ``alphabet``: how an observation is laid out (:mod:`ppl_vae.programs.layout`), and the characters of text;
* ``latent_dim``, ``hidden``, ``channels``, ``activation``, ``upper_…``, ``word_dropout``,
  ``refinement_…``: the flags of these names;
* ``networks``: what makes encoders and decoders by those flags and ``--net``
  (:class:`ppl_vae.networks.architecture.Networks`);
* ``likelihood``, a new :class:`ppl_vae.models.likelihoods.Likelihood`, and ``make_prior``, from the size of z and the
  number of labels that the guide reads to a new :class:`ppl_vae.models.priors.Prior`;
* guides only: ``model``, its ``latents`` (:class:`ppl_vae.guides.Latents`) and the ``family`` over them.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.data.info import DataInfo, example
from ppl_vae.guides import Family, Latents
from ppl_vae.guides.semi_amortized import Training
from ppl_vae.networks.architecture import Net, Networks
from ppl_vae.networks.dense import Activation
from ppl_vae.registry.factories import (
    GUIDES,
    LIKELIHOODS,
    MODELS,
    Factory,
    LikelihoodName,
    PriorName,
    make_family,
    make_prior,
)
from ppl_vae.registry.files import asks_for, construct, find, names_file
from ppl_vae.runtime.config import Few, Rate, Size, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream


@config
class PairConfig:
    """Which model and guide, and how large."""

    model: str = "vae"
    """The generative program p(x, z): vae, conditional, hierarchical (z2 → z1 → x), sequence, linear-gaussian,
    two-layer-linear-gaussian, or path/to/file.py:Class."""
    guide: str = "amortized"
    """The variational program q(z | x): amortized, per-datapoint, mean-field, semi-amortized, or file.py:Class."""
    family: str = "diagonal"
    """What q is: diagonal, low-rank, full-rank, planar, iaf, point; bottom-up, q(z1 | x) q(z2 | z1)."""
    likelihood: LikelihoodName = "bernoulli"
    """What the decoder's output means: bernoulli for bits; continuous-bernoulli or normal (its scale learned) for grey
    levels, with --binarization none."""
    prior: PriorName = "standard-normal"
    """p(z): standard-normal; mixture, of Gaussians; vamp, of the guide's posteriors at learned pseudo-inputs."""
    num_components: Few = 100
    """Components of --prior mixture and vamp."""
    latent_dim: Size = 10
    """Size of z; of z1, in a model of two layers."""
    net: Net = "mlp"
    """Encoder and decoder of our models and guides: fully connected, or convolutional (data of images only)."""
    upper_latent_dim: Size = 5
    """Size of z2, in a model of two layers."""
    upper_hidden: tuple[Size, ...] = (100,)
    """Widths of the hidden layers between z1 and z2, in a model of two layers, from z1 upwards."""
    hidden: tuple[Size, ...] = (400,)
    """Widths of the encoder's fully connected hidden layers from x upwards; the decoder has them in reverse. No width:
    linear."""
    channels: tuple[Size, ...] = (32, 64)
    """With --net conv: widths of the encoder's convolutions from x upwards, each of which halves height and width; the
    decoder has them in reverse. --hidden comes behind them."""
    activation: Activation = "relu"
    """Nonlinearity after each hidden layer."""
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Sequence model: how often, in training, the decoder is not told the step before, so that it has to ask z."""
    refinement_steps: Few = 5
    """Semi-amortized guides: gradient steps from the encoder's proposal."""
    refinement_rate: Rate = 0.05
    """Semi-amortized guides: their step size."""
    refinement_training: Training = "unroll"
    """Semi-amortized guides: differentiate through the refinement, or train the encoder on its own bound."""

    @property
    def in_words(self) -> str:
        """The pair as captions name it; a guide of the user's own has no family."""
        model, guide = (Path(name).name for name in (self.model, self.guide))
        unusual = [
            words
            for words, usual in (
                (f"{self.likelihood} likelihood", self.likelihood == PairConfig.likelihood),
                (f"{self.prior} prior", self.prior == PairConfig.prior),
            )
            if not usual
        ]
        family = "" if names_file(self.guide) else f" × {self.family}"
        return ", ".join([model, f"{guide}{family}", *unusual])

    def absolute(self) -> "PairConfig":
        """The same with a user's files by absolute path, good from any working directory."""
        model, guide = (str(Path(n).absolute()) if names_file(n) else n for n in (self.model, self.guide))
        return replace(self, model=model, guide=guide)


class Pair(NamedTuple):
    """A model and its guide."""

    model: nn.Module
    guide: nn.Module


def build_pair(settings: PairConfig, info: DataInfo, x_mean: Tensor | None, seed: int) -> Pair:
    """Make a pair, its weights drawn from the seed.

    Args:
        settings: which, and how large.
        info: of the data.
        x_mean: mean of the training data, ``(*event)``, or None if trained weights are about to be loaded.
        seed: of the initial weights; the caller's generators are left alone.

    Raises:
        UserError: unknown names, or a user's class that cannot be used.
    """
    make_model = find("model", settings.model, MODELS)
    make_guide = find("guide", settings.guide, GUIDES)
    _refuse_unread(settings, make_model, make_guide)
    mean = torch.full(info.event_shape, 0.5) if x_mean is None else x_mean
    networks = Networks(
        info.event_shape, info.layout, settings.net, settings.hidden, settings.channels, settings.activation
    )
    available: dict[str, Any] = {
        "event_shape": info.event_shape,
        "num_classes": info.num_classes,
        "num_data": info.num_data,
        "x_mean": mean,
        "latent_dim": settings.latent_dim,
        "hidden": settings.hidden,
        "channels": settings.channels,
        "activation": settings.activation,
        "networks": networks,
        "upper_latent_dim": settings.upper_latent_dim,
        "upper_hidden": settings.upper_hidden,
        "likelihood": LIKELIHOODS[settings.likelihood](),
        "make_prior": partial(
            make_prior, settings.prior, settings.num_components, lambda size: _family(settings, (size,)), networks, mean
        ),
        "layout": info.layout,
        "alphabet": info.alphabet,
        "word_dropout": settings.word_dropout,
        "refinement_steps": settings.refinement_steps,
        "refinement_rate": settings.refinement_rate,
        "refinement_training": settings.refinement_training,
    }
    with seeded(stream(seed, "initial weights")):
        model = construct("model", settings.model, make_model, available)
        given = {**available, "model": model}
        if asks_for(make_guide, "latents", "family"):
            given["latents"] = latents = Latents.of(model, example(info))
            given["family"] = _family(settings, tuple(site.size for site in latents.sites))
        return Pair(model, construct("guide", settings.guide, make_guide, given))


def _family(settings: PairConfig, sizes: tuple[int, ...]) -> Family:
    return make_family(settings.family, sizes, settings.upper_hidden, settings.activation)


def _refuse_unread(settings: PairConfig, make_model: Factory, make_guide: Factory) -> None:
    """Raise a UserError if a flag was to change the pair, and nothing in this pair reads it."""
    for flag, argument in (
        ("likelihood", "likelihood"),
        ("prior", "make_prior"),
        ("upper_latent_dim", "upper_latent_dim"),
        ("word_dropout", "word_dropout"),
    ):
        if getattr(settings, flag) != getattr(PairConfig, flag) and not asks_for(make_model, argument):
            takers = ", ".join(name for name, maker in MODELS.items() if asks_for(maker, argument))
            raise UserError(
                f"--{flag.replace('_', '-')}: model {Path(settings.model).name} takes none; those that do: {takers}."
            )
    if settings.num_components != PairConfig.num_components and settings.prior == "standard-normal":
        raise UserError("--num-components: a standard normal prior has none; add --prior mixture or --prior vamp.")
    layered = asks_for(make_model, "upper_hidden") or asks_for(make_guide, "upper_hidden")
    if settings.upper_hidden != PairConfig.upper_hidden and not layered and settings.family != "bottom-up":
        raise UserError("--upper-hidden: a model of one layer has none; add --model hierarchical.")
    asked = asks_for(make_model, "channels") or asks_for(make_guide, "channels")  # by a user's own
    if settings.channels != PairConfig.channels and settings.net != "conv" and not asked:
        raise UserError("--channels: fully connected networks have none; add --net conv.")
