"""The flags of a pair: the names of its parts, and the settings that the signatures of these parts have.

The names are read first, a user's file among them is run, and its settings are flags then like ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from itertools import takewhile
from types import GenericAlias
from typing import Any, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from ppl_vae.cli.flags import as_flags
from ppl_vae.registry.factories import TABLES
from ppl_vae.registry.files import names_file
from ppl_vae.registry.pair_config import PairConfig, help_of_parts, makers_of, offered_to, our_settings, split_guide
from ppl_vae.registry.settings import NOTHING, Setting, is_switch, settings_of, typed
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.errors import UserError


def pair_flags(command: type, pairs: Sequence[PairConfig], arguments: Sequence[str]) -> ConstructorRegistry:
    """How tyro reads a :class:`PairConfig`.

    Args:
        command: its dataclass.
        pairs: that its arguments name; what any of their parts has as a setting is a flag.
        arguments: of the command.

    Raises:
        UserError: a part cannot be found, or a user's setting has the name of another flag.
    """
    offered = offered_to(*pairs)
    others = {name: setting.kind for name, setting in offered.items()}
    for pair in pairs:
        for kind, maker in makers_of(pair).items():
            for name, setting in settings_of(maker).items() if names_file(pair.parts[kind]) else ():
                taken = flags_of(command) | _spellings({key: of for key, of in others.items() if key != name})
                if not taken.isdisjoint(_spellings({name: setting.kind})):
                    raise UserError(
                        f"{kind} {pair.parts[kind]}: its setting '{name}' has the name of a flag that is there "
                        "already; rename it."
                    )
    return _registry(offered, arguments)


def flags_of_run(recorded: PairConfig, arguments: Sequence[str]) -> ConstructorRegistry:
    """The same for a run that goes on: what it records is read by its value, and no user's file is run for it."""
    of_run = {name: Setting(name, _kind_of(value), value, "") for name, value in recorded.settings.items()}
    if any(map(names_file, recorded.parts.values())):
        return _registry({**our_settings(), **of_run}, arguments)
    return _registry({**of_run, **our_settings()}, arguments)


def pairs_compared(arguments: Sequence[str]) -> list[PairConfig]:
    """The pairs that the arguments of ``ppl-vae compare`` name."""
    guides: list[str] = []
    for number, word in enumerate(arguments):
        if word.partition("=")[0] == "--guides":
            rest = [word.partition("=")[2], *arguments[number + 1 :]] if "=" in word else arguments[number + 1 :]
            guides = list(takewhile(lambda each: not each.startswith("--"), rest))
    base = named_in(arguments, TrainConfig().pair)
    pairs = [replace(base, guide=guide, family=family) for guide, family in map(split_guide, guides)]
    return pairs or [base]


def named_in(arguments: Sequence[str], base: PairConfig) -> PairConfig:
    """The pair whose parts these arguments name; those that they do not are as before."""
    given: dict[str, Any] = {kind: value for kind in TABLES if (value := value_of(f"--{kind}", arguments))}
    return replace(base, **given)


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """What a flag is given last, as ``--flag value`` or ``--flag=value``; None if it is not there."""
    found = None
    for word, value in zip(arguments, [*arguments, ""][1:], strict=True):
        if word == flag:
            found = value
        elif word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found


def _registry(offered: Mapping[str, Setting], arguments: Sequence[str]) -> ConstructorRegistry:
    words = {word.partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--")}
    given = {name for name in offered if not words.isdisjoint((f"__{name}", f"__no_{name}"))}
    registry = ConstructorRegistry()

    @registry.struct_rule
    def _(info: StructTypeInfo) -> StructConstructorSpec | None:
        if info.type is not PairConfig:
            return None
        usual = info.default if isinstance(info.default, PairConfig) else PairConfig()
        known = typed(offered, usual.settings)

        def made(**values: Any) -> PairConfig:
            settings = {name: values[name] for name in offered if name in given}
            names = {name: value for name, value in values.items() if name not in offered}
            return replace(usual, **names, settings=usual.settings | settings)

        said = {name: as_flags(words, None) for name, words in help_of_parts().items()}
        parts = (StructFieldSpec(name, kind, getattr(usual, name), said[name]) for name, kind in _parts().items())
        unset = {name: tyro.MISSING if each.default is NOTHING else each.default for name, each in offered.items()}
        values = unset | known
        settings = (StructFieldSpec(name, each.kind, values[name], _help_of(each)) for name, each in offered.items())
        return StructConstructorSpec(made, (*parts, *settings))

    return registry


def _help_of(setting: Setting) -> str:
    """What a setting is; of those that only some of ours have, which."""
    owners = [
        f"`{kind}` {', '.join(names)}"
        for kind, table in TABLES.items()
        if (names := [name for name, maker in table.items() if settings_of(maker).get(setting.name) == setting])
    ]
    words = f"With {'; '.join(owners)}: {setting.words[:1].lower()}{setting.words[1:]}" if owners else setting.words
    return as_flags(words, None)


def _parts() -> dict[str, Any]:
    """The names and types of what a pair is named by."""
    return {name: kind for name, kind in get_type_hints(PairConfig).items() if name != "settings"}


def _kind_of(value: Any) -> Any:
    """The type of a recorded value."""
    if isinstance(value, list):
        kinds = tuple(map(_kind_of, value))
        alike = all(kind == kinds[0] for kind in kinds)
        return GenericAlias(tuple, (kinds[0] if kinds else str, ...) if alike else kinds)
    return str | None if value is None else type(value)


def flags_of(command: type) -> set[str]:
    """The spellings of all flags of a command but for the settings of its pair."""
    found = {"help"}
    for name, kind in get_type_hints(command).items():
        if kind is PairConfig:
            found |= _parts().keys()
        else:
            found |= flags_of(kind) if is_dataclass(kind) and isinstance(kind, type) else _spellings({name: kind})
    return found


def _spellings(kinds: Mapping[str, Any]) -> set[str]:
    """How flags are spelt; of what is yes or no also that which says no."""
    return kinds.keys() | {f"no_{name}" for name, kind in kinds.items() if is_switch(kind)}
