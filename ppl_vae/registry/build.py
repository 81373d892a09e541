"""From settings to a model/guide pair.

The constructor of a model or guide, ours or a user's, can ask by name for

* ``event_shape``, ``num_classes``, ``num_conditions``, ``num_data``: of the training data;
* ``conditions``: what these are called and their means and spreads (:class:`ppl_vae.data.conditions.Condition`);
* ``x_mean``, ``x_std``: its mean and the standard deviation of each number, ``(*event)``; ½ and 1 everywhere when a
  trained run is loaded, so that what is made of them has to be kept in a parameter or buffer;
* ``kinds``, ``blocks``, ``largest``: what the columns of a table hold, how many stand together, and the largest
  numbers; see :class:`ppl_vae.data.info.DataInfo`;
* ``layout``, ``alphabet``: how an observation is laid out (:mod:`ppl_vae.programs.layout`), and the characters of text;
* ``networks``: what makes encoders and decoders (:class:`ppl_vae.networks.architecture.Networks`);
* ``likelihood``, a new :class:`ppl_vae.models.likelihoods.Likelihood`, and ``make_prior``, from the size of z and the
  number of labels that the guide reads to a new :class:`ppl_vae.models.priors.Prior`;
* models only: ``decoder``, a new network from z to an observation, ``(..., latent_dim)`` to ``(..., *event)``, and
  ``prior``, a new one over ``latent_dim`` numbers. Where the model asks for ``num_classes``, they are told labels too,
  and where it asks for ``num_conditions`` or ``conditions``, the decoder is told conditions; it starts at the data's
  mean, as the output of the ``likelihood`` where the model asks for one;
* guides only: ``model``, its ``latents`` (:class:`ppl_vae.programs.latents.Latents`), the ``family`` over them, and
  whether the model reads conditions, ``conditioned``;
* any setting of ours, ``latent_dim``, ``hidden``, ``activation`` and so on; and
* as a keyword-only parameter, a setting of its own (:mod:`ppl_vae.registry.settings`).

That of a family can ask for ``latent_dim``, the size of all latents, or ``sizes``, that of each; that of a prior for
``latent_dim``, ``num_classes``, ``networks`` and ``family``; that of a likelihood for what is of the data. All of them
have settings of their own in the same way.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ppl_vae.data.conditions import Condition
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, example
from ppl_vae.models.likelihoods import Likelihood
from ppl_vae.networks.architecture import Net, Networks
from ppl_vae.networks.scaling import Scaling
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.structure import reads_conditions
from ppl_vae.registry.factories import Factory
from ppl_vae.registry.files import construct
from ppl_vae.registry.pair_config import OPTIONAL_PARTS, PairConfig, makers_of, offered_beside, unread_error
from ppl_vae.registry.settings import NOTHING, Setting, missing, parameters_of, plain, settings_of, typed
from ppl_vae.runtime.seeding import seeded, stream


class Pair(NamedTuple):
    """A model and its guide."""

    model: nn.Module
    guide: nn.Module


def build_pair(settings: PairConfig, info: DataInfo, train: Dataset | None, seed: int) -> Pair:
    """Make a pair, its weights drawn from the seed.

    Args:
        settings: which, and how large; what the pair does not read is not looked at, see :func:`settled`.
        info: of the data.
        train: the training data, or None if trained weights are about to be loaded.
        seed: of the initial weights; the caller's generators are left alone.

    Raises:
        UserError: unknown names, a user's class that cannot be used, or a setting out of its range.
    """
    return Assembly(settings, info, train).pair(seed)


def settled(settings: PairConfig, info: DataInfo, *, refuse: bool = True) -> PairConfig:
    """The same pair with every setting that it reads, and with no other: what a run records.

    Args:
        settings: which pair.
        info: of the data.
        refuse: whether what was set and nothing reads is an error.

    Raises:
        UserError: as :func:`build_pair`; or a setting, or a part that is not the usual one, that nothing reads.
    """
    return _settled([settings], info, refuse=refuse)[0]


def settled_together(pairs: Sequence[PairConfig], info: DataInfo) -> list[PairConfig]:
    """As :func:`settled`, of pairs that are compared: what is set is for those that read it, at least one of them."""
    return _settled(pairs, info, refuse=True)


def unread_parts(settings: PairConfig, info: DataInfo) -> list[str]:
    """The kinds of parts that nothing in a pair reads: a model may have a prior of its own, a guide no family.

    Raises:
        UserError: as :func:`build_pair`.
    """
    assembly = Assembly(settings, info, None)
    assembly.pair(0)
    return [kind for kind in OPTIONAL_PARTS if kind not in assembly.read]


def _settled(pairs: Sequence[PairConfig], info: DataInfo, *, refuse: bool) -> list[PairConfig]:
    assemblies = [Assembly(pair, info, None) for pair in pairs]
    for assembly in assemblies:
        assembly.pair(0)
    read = {name for assembly in assemblies for name in assembly.read}
    unread = [name for name in dict.fromkeys(each for pair in pairs for each in pair.chosen) if name not in read]
    if refuse and unread:
        raise unread_error(unread, [*OPTIONAL_PARTS, *(name for each in assemblies for name in each.offered)])
    return [each.settled() for each in assemblies]


class Assembly:
    """A pair in the making: what its makers can ask for, and what they have read.

    Attributes:
        offered: the settings that there are.
    """

    def __init__(
        self,
        settings: PairConfig,
        info: DataInfo,
        train: Dataset | None,
        makers: Mapping[str, Factory] | None = None,
    ) -> None:
        self.settings, self.info = settings, info
        self.x_mean = torch.full(info.event_shape, 0.5) if train is None else train.mean()
        self.x_std = torch.ones(info.event_shape) if train is None else train.spread()
        self.makers = makers or makers_of(settings)
        self.offered = offered_beside(list(self.makers.values()))
        self._read: set[str] = set()

    @property
    def read(self) -> set[str]:
        """The names of settings and parts that were asked for."""
        return self._read | (self.networks.read if "networks" in vars(self) else set())

    def pair(self, seed: int) -> Pair:
        """The pair, its weights drawn from the seed."""
        with seeded(stream(seed, "initial weights")):
            self.model = self.make_model()
            return Pair(self.model, self.make_guide())

    def make_model(self) -> nn.Module:
        """A model, its weights drawn from torch's own generator; what it was made with is known from then on."""
        model = self._made("model", self._of_data | self._parts | self._of_model)
        _MADE_WITH[model] = self.settled(), self.makers
        return model

    def make_guide(self) -> nn.Module:
        """A guide of ``self.model``, likewise."""
        of_guide: dict[str, Callable[[], object]] = {
            "model": lambda: self.model,
            "latents": lambda: self.latents,
            "family": self._family_of_guide,
            "conditioned": lambda: reads_conditions(self.model, example(self.info)),
        }
        guide = self._made("guide", self._of_data | self._parts | of_guide)
        _MADE_WITH[guide] = self.settled(), self.makers
        return guide

    def settled(self) -> PairConfig:
        """The pair's settings as it has read them, the defaults too."""
        return replace(self.settings, settings={name: self.plain(name) for name in self.offered if name in self.read})

    def plain(self, name: str) -> Any:
        """The value of a setting, as it is recorded."""
        value = self.settings.settings.get(name, self.offered[name].default)
        if value is NOTHING:
            raise missing(self.offered[name])
        return plain(value)

    @cached_property
    def networks(self) -> Networks:
        """What makes encoders and decoders."""
        values = typed(settings_of(Networks), {name: self.plain(name) for name in settings_of(Networks)})
        of_data = self.info.event_shape, self.info.layout
        scaling = Scaling.of(self.info.kinds, self.x_mean, self.x_std)
        net, beside = cast(Net, self.settings.net), _unit_scale(self.info.conditions)
        return Networks(*of_data, net, self.info.holes, scaling, beside, **values)

    @cached_property
    def latents(self) -> Latents:
        """Those of the model."""
        return Latents.of(self.model, example(self.info))

    @property
    def _of_data(self) -> dict[str, Callable[[], object]]:
        known = ("event_shape", "num_classes", "num_conditions", "conditions", "num_data", "layout", "alphabet")
        return {name: partial(getattr, self.info, name) for name in (*known, "kinds", "blocks", "largest")} | {
            "x_mean": lambda: self.x_mean,
            "x_std": lambda: self.x_std,
            "networks": lambda: self.networks,
        }

    @property
    def _parts(self) -> dict[str, Callable[[], object]]:
        return {"likelihood": lambda: self._made("likelihood", self._of_data), "make_prior": lambda: self._prior}

    @property
    def _of_model(self) -> dict[str, Callable[[], object]]:
        asked, own = parameters_of(self.makers["model"]), settings_of(self.makers["model"])
        labels = self.info.num_classes if "num_classes" in asked else 0
        likelihood = cache(self._parts["likelihood"])  # of the model and of its decoder's start

        def latent_dim() -> Any:
            return self._value(own.get("latent_dim") or self.offered["latent_dim"])

        def decoder() -> nn.Module:
            start = cast(Likelihood, likelihood()).start(self.x_mean) if "likelihood" in asked else self.x_mean
            conditioned = bool(self.info.conditions) and not {"num_conditions", "conditions"}.isdisjoint(asked)
            return self.networks.decoder(latent_dim(), start, labels, conditioned=conditioned)

        return {"likelihood": likelihood, "decoder": decoder, "prior": lambda: self._prior(latent_dim(), labels)}

    def _family_of_guide(self) -> nn.Module:
        return self._family(tuple(site.size for site in self.latents.sites))

    def _family(self, sizes: tuple[int, ...]) -> nn.Module:
        given = {"latent_dim": partial(_same, sum(sizes)), "sizes": partial(_same, sizes)}
        return self._made("family", given, shared=("upper_hidden", "activation"))

    def _prior(self, latent_dim: int, num_classes: int) -> nn.Module:
        of_prior: dict[str, Callable[[], object]] = {
            "latent_dim": partial(_same, latent_dim),
            "num_classes": partial(_same, num_classes),
            "family": lambda: self._family((latent_dim,)),
        }
        return self._made("prior", self._of_data | of_prior)

    def _made(
        self, kind: str, given: Mapping[str, Callable[[], object]], shared: Iterable[str] | None = None
    ) -> nn.Module:
        self._read.add(kind)
        own = settings_of(self.makers[kind])
        names = [*own, *(self.offered if shared is None else shared)]
        settings = {name: partial(self._value, own.get(name) or self.offered[name]) for name in names}
        return construct(kind, self.settings.parts[kind], self.makers[kind], settings | dict(given))

    def _value(self, setting: Setting) -> object:
        self._read.add(setting.name)
        value = self.plain(setting.name)
        if setting.name not in self.settings.settings and setting.default is self.offered[setting.name].default:
            return setting.default
        return typed({setting.name: setting}, {setting.name: value})[setting.name]


Made = tuple[PairConfig, Mapping[str, Factory]]
"""What a program was made with: settings as it has read them, and what made its parts."""

_MADE_WITH: WeakKeyDictionary[nn.Module, Made] = WeakKeyDictionary()


def made_with(model: nn.Module, info: DataInfo) -> Made:
    """The settings that a model was made with, so that a guide can be made with the same, and what made its parts.

    Of a model that was not made here, the sizes that its latents show: z, or z1 and z2.

    Args:
        model: p(x, z), anybody's.
        info: of its data.
    """
    if model in _MADE_WITH:
        return _MADE_WITH[model]
    sizes = [site.size for site in Latents.of(model, example(info)).sites]
    shown = dict(zip(("latent_dim", "upper_latent_dim"), reversed(sizes), strict=False))
    return PairConfig(settings=shown), makers_of(PairConfig())


def recipe_of(program: nn.Module) -> Made | None:
    """What a model or a guide was made with, settings as it has read them; None if it was not made here."""
    return _MADE_WITH.get(program)


def _unit_scale(conditions: Sequence[Condition]) -> Scaling | None:
    """What brings conditions to mean 0 and spread 1; None where there are none."""
    if not conditions:
        return None
    means, spreads = (torch.tensor([getattr(each, name) for each in conditions]) for name in ("mean", "spread"))
    return Scaling.of(("reals",), means, spreads)


def _same(value: object) -> object:
    return value
