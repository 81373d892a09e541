"""The command line that stands for settings: every flag whose value is not the default."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.registry.pair_config import PairConfig, offered_to, unusual
from ppl_vae.registry.settings import is_switch
from ppl_vae.runs.run import TrainConfig


def train_command(settings: TrainConfig, out: Path) -> str:
    """The command that makes this run."""
    absolute = replace(settings, data=settings.data.absolute(), pair=settings.pair.absolute())
    return command("train", absolute, TrainConfig(), out, settings.data.data in NAMES)


def command(name: str, settings: Any, default: Any, out: Path, reads_root: bool) -> str:
    """A command that is given these settings.

    Args:
        name: of the command, and what stands before its flags.
        settings: its dataclass.
        default: the same with nothing set.
        out: where it writes.
        reads_root: whether ``--data-root`` means anything for this data.
    """
    words = ["ppl-vae", *name.split()]
    for flag, value in changed_from(settings, default):
        if flag != "data_root" or reads_root:
            words += _given(flag, value)
    return shlex.join([*words, "--out", str(out)])


def command_on(name: str, *runs: Path, **settings: Any) -> str:
    """A command, on runs or none, given these settings."""
    flags = [word for each in settings.items() for word in _given(*each)]
    return shlex.join(["ppl-vae", name, *map(str, runs), *flags])


def changed_from(settings: Any, default: Any) -> Iterator[tuple[str, Any]]:
    """The settings that are not as in another dataclass of their type, by the names of their flags."""
    for column in fields(settings):
        value, usual = getattr(settings, column.name), getattr(default, column.name)
        if isinstance(value, PairConfig):
            offered = offered_to(value)
            for name, chosen in unusual(value, usual).items():
                takes_a_word = name in offered and not is_switch(offered[name].kind)
                yield name, str(chosen) if takes_a_word and isinstance(chosen, bool) else chosen
        elif is_dataclass(value):
            yield from changed_from(value, usual)
        elif value != usual:
            yield column.name, value


def as_flag(name: str) -> str:
    """A setting's name as its flag has it: hyphens between words, underscores where it begins or ends."""
    return "--" + re.sub(r"(?<=[^_])_+(?=[^_])", lambda found: "-" * len(found[0]), name)


def _given(name: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [as_flag(name if value else f"no_{name}")]
    return [as_flag(name), *_words(value)]


def _words(value: object) -> list[str]:
    """A value as it is typed; several of several one behind the other."""
    return [word for each in value for word in _words(each)] if isinstance(value, tuple | list) else [str(value)]
