"""What the library says of settings, as the command line says it."""

import re
from collections.abc import Iterator
from typing import Any


def as_flags(text: str, command: Any) -> str:
    """What the library says of settings, in backticks, as the command line does: `num_samples` is --num-samples.

    Args:
        text: a message, or what a result prints.
        command: whose settings have flags, as those of a training have; what else stands in backticks is left as it is.
    """
    if "`" not in text:
        return text
    from ppl_vae.registry.pair_config import our_settings
    from ppl_vae.runs.command_line import as_flag
    from ppl_vae.runs.run import TrainConfig

    known = {*_settings(command), *_settings(TrainConfig()), *our_settings()}
    flag = r"`((?:no_)?(\w+))`"
    return re.sub(flag, lambda it: as_flag(it[1]) if known & {*it.groups()} else it[0], text)


def _settings(command: Any) -> Iterator[str]:
    """Names of the fields, at any depth, and of what a pair has set."""
    from dataclasses import fields, is_dataclass

    for each in fields(command) if is_dataclass(command) else ():
        yield each.name
        yield from _settings(getattr(command, each.name))
    if isinstance(command, dict):
        yield from command
