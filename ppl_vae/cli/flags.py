"""What the library says of settings, as the command line says it."""

import re
from collections.abc import Iterator
from typing import Any

# Flags that --help leaves to --help-all: those of single parts of a pair, and what most users never change.
_RARE = "|".join(
    [
        *("data-seed", "validation-fraction", "test-fraction", "upper-.*", "channels", "activation", "word-dropout"),
        *("refinement-.*", "rank", "num-maps", "iaf-.*", "num-components", "drop", "row-learning-rate", "schedule"),
        *("rate-warmup", "weight-.*", "of-.*", "optimizer.*", "accumulate"),
        *("adam-epsilon", "clip-norm", "engine", "precision", "tensorboard", "trust", "preset", "infer-.*", "leapfrog"),
        *("integer-scale", "data-memory", "layer", "condition-columns", "image-size", "unlabelled-as"),
        *("start", "chains", "prior-temperatures", "elbo-samples", "references", "workers"),
    ]
)
_SHORTENED = ("train", "compare", "tune", "evaluate", "gaps", "infer")


def common_flags(text: str, command: str) -> str:
    """A command's help without the flags that few need, if it has many, and how all are shown."""
    if command not in _SHORTENED:
        return text
    parts = []
    for part in re.split(r"\n\s*\n", text.rstrip()):
        head, *flags = re.split(r"\n(?=  (?:-h|--[a-z]))", part)
        common = [flag for flag in flags if not re.match(rf"  --({_RARE})[ ,\n]", flag)]
        if common or not flags:
            parts.append("\n".join([head, *common]))
    return "\n\n".join([*parts, f"More flags: ppl-vae {command} --help-all"])


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
