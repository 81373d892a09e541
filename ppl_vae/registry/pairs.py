"""Models and guides from their classes, for data: what a notebook calls."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, cast

from torch import nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.data.splits import Splits, splits_of
from ppl_vae.networks.architecture import Net
from ppl_vae.registry.build import Assembly, made_with, recipe_of
from ppl_vae.registry.factories import TABLES, Factory
from ppl_vae.registry.files import find, names_file
from ppl_vae.registry.pair_config import AUTO, OPTIONAL_PARTS, PairConfig, makers_of, unread_error
from ppl_vae.registry.settings import given
from ppl_vae.registry.suited import suited
from ppl_vae.runtime.config import Seed, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream

Part = str | Callable[..., nn.Module]
"""A part of a pair: its name on the command line, ``path/to/file.py:Class``, or the class."""


@in_range
def build_model(
    model: Part,
    data: Splits | Dataset,
    *,
    likelihood: Part = AUTO,
    prior: Part = "standard-normal",
    net: Net | Literal["auto"] = "auto",
    seed: Seed = 0,
    **settings: object,
) -> nn.Module:
    """A new model p(x, z) for data: it has their shape, and begins at their mean.

    Args:
        model: the class, ours or your own, or its name.
        data: of :func:`ppl_vae.load`, or a :class:`ppl_vae.Dataset` to train on.
        likelihood: what the decoder's output means, where the model takes one; auto is the one that suits the data,
            see :mod:`ppl_vae.registry.suited`.
        prior: p(z), where the model takes one.
        net: of encoder and decoder: mlp, or conv for images; auto is what suits the data.
        seed: of its weights; the caller's generators are left alone.
        settings: of its own, keyword-only parameters of its class, and of its parts: ``latent_dim=10``,
            ``hidden=(400,)``.

    Raises:
        UserError: unknown names or settings, one that nothing in the model reads, or one out of its range.
    """
    data = splits_of(data)
    parts: dict[str, Part] = {"model": model, "likelihood": likelihood, "prior": prior}
    asked, makers = _asked(parts, net, settings)
    asked = suited(asked, data, maker=makers["model"]).pair
    makers["likelihood"] = makers.get("likelihood") or find("likelihood", asked.likelihood)
    assembly = Assembly(asked, DataInfo.of(data), data.train, makers_of(PairConfig()) | makers)
    with seeded(stream(seed, "initial weights")):
        made = assembly.make_model()
    _refuse_unread(assembly, asked, ("likelihood", "prior", "net", "seed"))
    return made


@in_range
def build_guide(
    guide: Part,
    model: nn.Module,
    data: Splits | Dataset,
    *,
    family: Part = "diagonal",
    net: Net | None = None,
    seed: Seed = 0,
    **settings: object,
) -> nn.Module:
    """A new guide q(z | x) of a model: what is not said here is as the model was built with.

    Args:
        guide: the class, ours or your own, or its name: where q comes from.
        model: p(x, z), anybody's.
        data: that the model was built for; a per-datapoint guide has a row for each of its training datapoints.
        family: what q is, the class or its name, where the guide takes one.
        net: of its encoder: mlp, or conv for images; None for that of the model.
        seed: of its weights; the caller's generators are left alone.
        settings: as for :func:`build_model`; those that model and guide both read, as ``hidden``, are the model's where
            they are not here, as on the command line. A model that was not built here has told the size of its latents.

    Raises:
        UserError: as :func:`build_model`; or the guide cannot be one of this model.
    """
    if not isinstance(model, nn.Module):
        raise UserError(
            f"`model` is a {type(model).__name__} and no model that is made already; the order is build_guide(guide, "
            "model, data), the guide a class or a name."
        )
    data = splits_of(data)
    info = DataInfo.of(data)
    base, of_model = made_with(model, info)
    asked, makers = _asked({"guide": guide, "family": family}, net or cast(Net, base.net), settings)
    named = replace(base, guide=asked.guide, family=asked.family, net=asked.net, settings=base.settings | settings)
    assembly = Assembly(named, info, data.train, {**of_model, **makers})
    assembly.model = model
    with seeded(stream(seed, "initial weights of a guide")):
        made = assembly.make_guide()
    _refuse_unread(assembly, replace(asked, net=net or PairConfig.net), ("family", "net", "seed"))
    return made


def config_of(model: nn.Module, guide: nn.Module) -> PairConfig:
    """The names and settings by which a pair can be made again, anywhere.

    Args:
        model: of :func:`build_model`.
        guide: of :func:`build_guide`, made for this model.

    Raises:
        UserError: one of them was made otherwise, or of a class that is in no file; or they have unlike settings.
    """
    of_model, of_guide = recipe_of(model), recipe_of(guide)
    if of_model is None or of_guide is None:
        kind, program = ("model", model) if of_model is None else ("guide", guide)
        raise UserError(
            f"`{kind}`, a {type(program).__name__}, was not made by build_{kind}, which knows how to make it again; "
            "make it by that."
        )
    (first, makers), (second, others) = of_model, of_guide
    for name, value in first.settings.items():
        if second.settings.get(name, value) != value:
            raise UserError(
                f"`{name}` is {value} of the model and {second.settings[name]} of the guide; a run has one: build both "
                "with the same."
            )
    if first.net != second.net:
        raise UserError(f"`net` is {first.net} of the model and {second.net} of the guide; build both with the same.")
    made = {kind: makers for kind in ("model", "likelihood", "prior")} | {kind: others for kind in ("guide", "family")}
    names: dict[str, Any] = {
        kind: _findable(kind, getattr(second if found is others else first, kind), found[kind])
        for kind, found in made.items()
    }
    return replace(first, **names, settings=first.settings | second.settings)


def _findable(kind: str, name: str, maker: Factory) -> str:
    """The name of a part by which it is found in another process."""
    if names_file(name) or TABLES[kind].get(name) is maker:
        return name
    try:
        return f"{inspect.getfile(cast(type, maker))}:{maker.__name__}"
    except (OSError, TypeError):
        raise UserError(
            f"{kind} {name} is in no file, and a run has to find it when it is opened; put it into one, and build with "
            f"'path/to/file.py:{name}' in its place."
        ) from None


def _asked(
    parts: Mapping[str, Part], net: Net | Literal["auto"], settings: dict[str, Any]
) -> tuple[PairConfig, dict[str, Factory]]:
    """What the caller has named, and what makes these parts."""
    found = {kind: _found(kind, part) for kind, part in parts.items() if part != AUTO}
    names: dict[str, Any] = {kind: AUTO for kind in parts} | {kind: name for kind, (name, _) in found.items()}
    return PairConfig(**names, net=net, settings=given(settings)), {kind: maker for kind, (_, maker) in found.items()}


def _found(kind: str, part: Part) -> tuple[str, Factory]:
    """The name of a part and what makes it; a class of ours is made as the command line makes it."""
    if isinstance(part, str):
        return part, find(kind, part)
    if isinstance(part, nn.Module) or not callable(part):
        made = " that is made already" if isinstance(part, nn.Module) else ""
        raise UserError(f"`{kind}` is a {type(part).__name__}{made}; pass the class, or its name.")
    if found := _in_table(kind, part):
        return found
    if others := [other for other in TABLES if _in_table(other, part)]:
        name = getattr(part, "__name__", kind)
        raise UserError(f"`{kind}` is {name}, which is no {kind}; what takes it is `{others[0]}`, {others[0]}={name}.")
    return getattr(part, "__name__", kind), part


def _in_table(kind: str, part: object) -> tuple[str, Factory] | None:
    """The name and the maker that a class of ours has in the table of a kind of part."""
    for name, maker in TABLES[kind].items():
        if part is maker or getattr(maker, "__annotations__", {}).get("return") is part:
            return name, maker
    return None


def _refuse_unread(assembly: Assembly, asked: PairConfig, keywords: tuple[str, ...]) -> None:
    """Raise a UserError if nothing has read a thing that was asked for; the caller has these keywords too."""
    if unread := [name for name in asked.chosen if name not in assembly.read]:
        raise unread_error(unread, {*keywords, *OPTIONAL_PARTS, *assembly.offered})
