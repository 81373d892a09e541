"""The terms of a study: the settings as they are given, which of them are searched and where."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, replace
from numbers import Real
from typing import Any

import yaml

from ppl_vae.data import DataConfig
from ppl_vae.registry.pair_config import offered_to, split_guide
from ppl_vae.registry.settings import given, typed
from ppl_vae.reports.tuning.searched import Searched
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.config import Count, changed, checked, config, field_names, pythons_own, to_plain
from ppl_vae.runtime.errors import UserError, as_given, unknown_name

# By other values of these a validation bound is of another thing, or of other draws.
_SAME_FOR_ALL = ("objective", "num_particles", "drop", "likelihood", "seed", "device")


@config
class TuneConfig:
    """What is searched, from where, and how long."""

    search: tuple[str, ...] = (
        "learning-rate=3e-4..1e-2",
        "batch-size=32,64,128",
        "latent-dim=5..40",
        "schedule=constant,cosine",
        "weight-average=0,0.99",
    )
    """Settings to search, each as NAME=LOW..HIGH (evenly in the logarithm where that is a decade or more) or
    NAME=VALUE,VALUE: any that train takes, as guide=amortized,amortized:full-rank or hidden="256 256,512 512"."""
    trials: Count = 20
    """How many trainings there are to be in the study, the first with the settings as they are given."""
    settings: TrainConfig = field(default_factory=TrainConfig)
    """The settings as they are given."""
    num_samples: Count = 100
    """Draws of z for the ELBOs of the best trial and the first."""

    @property
    def recorded(self) -> str:
        """What ``tune.yaml`` holds."""
        return yaml.safe_dump(to_plain(self), sort_keys=False)


def searched_by(terms: TuneConfig) -> list[Searched]:
    """The settings that a study searches, each of whose values a training takes.

    Raises:
        UserError: there is no such setting or value, or it has to be the same for all trials.
    """
    found: list[Searched] = []
    several = [name for name, each in offered_to(terms.settings.pair).items() if isinstance(each.default, tuple | list)]
    for text in terms.search:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values.strip():
            raise UserError(f"`search`: '{text}' is no NAME=LOW..HIGH or NAME=VALUE,VALUE.")
        if name in _SAME_FOR_ALL or name in {each.name for each in fields(DataConfig)}:
            raise UserError(f"`search`: validation bounds with another `{name}` are not comparable; set it for all.")
        one = _searched(terms.settings, name, values.strip(), text)
        if name in several and not one.choices:
            raise UserError(f"`search`: `{name}` takes one number or several; name the choices, as {name}=256,256 256.")
        if name in several:
            one = one._replace(choices={key: _as_list(value) for key, value in one.choices.items()})
        found.append(one)
    names = [each.name for each in found]
    if not names or len(set(names)) < len(names):
        raise UserError("`search`: name each setting once, at least one.")
    for each in found:
        for value in each.ends:
            with_values(terms.settings, {each.name: value})
    return found


def _searched(settings: TrainConfig, name: str, values: str, text: str) -> Searched:
    if range_ := re.fullmatch(r"(\S+)\.\.(\S+)", values):
        low, high = map(_value, range_.groups())
        if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
            raise UserError(f"`search`: '{text}' is no range from a number to a greater one.")
        if float(low).is_integer() and float(high).is_integer() and not _takes(settings, {name: low + 0.5}):
            return Searched(name, {}, int(low), int(high))
        return Searched(name, {}, float(low), float(high))
    return Searched(name, {each.strip(): _value(each.strip()) for each in values.split(",")})


def _takes(settings: TrainConfig, values: Mapping[str, Any]) -> bool:
    try:
        with_values(settings, values)
    except UserError:
        return False
    return True


def _named(settings: TrainConfig) -> dict[str, Any]:
    """All settings of a training, of its pair too, by name."""
    plain = to_plain(settings)
    pair, fit = plain["pair"], plain["fit"]
    return {**pair, **pair["settings"], **fit, **fit["optimizer"]}


def values_in(settings: TrainConfig, searched: Sequence[Searched]) -> dict[str, Any]:
    """What settings of a training have in place of what is searched, by name, as far as they have it."""
    named = _named(settings)
    found = {each.name: named[each.name] for each in searched if each.name in named}
    if "guide" in found:
        ours = settings.pair.guide, settings.pair.family
        (guides,) = (each.choices for each in searched if each.name == "guide")
        found["guide"] = next((name for name in guides if split_guide(name) == ours), ":".join(ours))
    return found


def _value(text: str) -> Any:
    """A value as it is written; several of several have spaces between them."""
    if len(words := text.split()) > 1:
        return [_value(word) for word in words]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"none": None, "true": True, "false": False}.get(text.lower(), text)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def with_values(settings: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Settings of a training with others of these values, by the names of their flags.

    Raises:
        UserError: there is no such setting, or it cannot have that value.
    """
    values = dict(values)
    if isinstance(guide := values.get("guide"), str):
        name, family = split_guide(guide)
        values = {"family": family, **values, "guide": name}
    known = {*field_names(settings)} - {"settings"}  # it holds those of the pair's parts, each by its own name
    named = {name: values.pop(name) for name in list(values) if name in known}
    found = checked(changed(settings, named))
    offered = offered_to(found.pair)
    if unknown := [name for name in values if name not in offered]:
        raise unknown_name("setting", unknown[0], {*offered, *known})
    typed(offered, values)  # now, not when the first trial with such a value is made
    pair = replace(found.pair, settings=found.pair.settings | given(values))
    return checked(replace(found, pair=pair))


def in_words(search: Mapping[str, Sequence[Any] | tuple[Any, Any]]) -> tuple[str, ...]:
    """A search as Python has it, as :class:`TuneConfig` does.

    Args:
        search: by the name of a setting a range, the tuple of its ends, or a list of values. Numbers may be NumPy's.

    Raises:
        UserError: it is no dictionary, or what stands by a name is neither.
    """
    if not isinstance(search, Mapping):
        raise UserError(
            f"`search` is {as_given(search)}; give a dictionary from the name of each setting to its range or its "
            'values, as {"learning_rate": (1e-4, 1e-2), "schedule": ["constant", "cosine"]}.'
        )
    said = []
    for name, values in search.items():
        if isinstance(values, tuple) and len(values) == 2 and all(map(_is_number, values)):
            said.append(f"{name}={as_words(values[0])}..{as_words(values[1])}")
        elif isinstance(values, list) and values:
            said.append(f"{name}=" + ",".join(map(as_words, values)))
        else:
            raise UserError(f"`search`: `{name}` is {values!r}; give a tuple of two numbers, or a list of values.")
    return tuple(said)


def _is_number(value: object) -> bool:
    return isinstance(plain := pythons_own(value), int | float) and not isinstance(plain, bool)


def as_words(value: object) -> str:
    """A value as it is written in a search; of NumPy's numbers the few digits that they were given by."""
    if isinstance(value, tuple | list):
        return " ".join(map(as_words, value))
    return str(value if isinstance(value, Real) else pythons_own(value))
