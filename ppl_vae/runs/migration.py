"""Formats of ``config.yaml``, and records of earlier ones read as records of this one.

| format | what is new in it |
|---|---|
| 1 | all settings of a pair stand side by side, whether anything reads them or not |
| 2 | those of a pair's parts are their makers', under ``settings`` |
| 3 | the number itself; the weights are in ``model.safetensors``, before in ``checkpoint.pt`` |

Only from 3 on a record says its format. A step of its own leads from each to the next; the test opens a run of each
(``tests/runs/formats``). What is added with a default is no new format: an earlier record is read with the default.
"""

from typing import Any

from ppl_vae.runtime.errors import UserError

FORMAT = 3
# What stood beside the names of a pair's parts, before its settings were those of its makers' signatures.
_SETTINGS = {
    *("num_components", "latent_dim", "upper_latent_dim", "upper_hidden", "hidden", "channels", "activation"),
    *("word_dropout", "refinement_steps", "refinement_rate", "refinement_training"),
}


def with_format(record: dict[str, Any]) -> dict[str, Any]:
    """A record of this version, as it is written: with its format before everything else."""
    return {"format": FORMAT, **record}


def migrated(record: Any) -> Any:
    """What ``config.yaml`` holds, as this version has it, without its number; what is no record stays as it is.

    Raises:
        UserError: it is of a later version, or its number is none.
    """
    if not isinstance(record, dict):
        return record
    plain = {name: value for name, value in record.items() if name != "format"}
    number = record.get("format", 1)  # or of 2, which the first step leaves as it is
    if type(number) is not int or number < 1:
        raise UserError(f"its format is {number!r}, which is no number from 1 on")
    if number > FORMAT:
        raise UserError(f"it is of format {number}, and this version reads those up to {FORMAT}; take a later version")
    for step in _STEPS[number - 1 :]:
        plain = step(plain)
    return plain


def _nested(record: dict[str, Any]) -> dict[str, Any]:
    """From format 1 to 2."""
    match record:
        case {"config": {"pair": dict() as pair} as config}:
            return {**record, "config": {**config, "pair": migrated_pair(pair)}}
    return record


def migrated_pair(pair: dict[str, Any]) -> dict[str, Any]:
    """The section of the pair alone. All settings were recorded then, those too that nothing read."""
    if "settings" in pair or not _SETTINGS & pair.keys():
        return pair
    names = {name: value for name, value in pair.items() if name not in _SETTINGS}
    return {**names, "settings": {name: value for name, value in pair.items() if name in _SETTINGS}}


def _numbered(record: dict[str, Any]) -> dict[str, Any]:
    """From format 2 to 3: the record says its number, and nothing else in it is new."""
    return record


_STEPS = (_nested, _numbered)  # that from format n to n + 1 is the n-th
