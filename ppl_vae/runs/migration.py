"""Records of earlier versions, read as records of this one."""

from typing import Any

# What stood beside the names of a pair's parts, before its settings were those of its makers' signatures.
_SETTINGS = {
    *("num_components", "latent_dim", "upper_latent_dim", "upper_hidden", "hidden", "channels", "activation"),
    *("word_dropout", "refinement_steps", "refinement_rate", "refinement_training"),
}


def migrated(record: Any) -> Any:
    """What ``config.yaml`` holds, as this version writes it; what is no record of an earlier one stays as it is."""
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
