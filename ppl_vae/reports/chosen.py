"""The settings of a run as its report shows them: those that are not the defaults, and why; then all of them."""

from typing import Any

from ppl_vae.data import Splits
from ppl_vae.predictive.tables import columns_in_words
from ppl_vae.registry.build import Pair
from ppl_vae.registry.files import names_file
from ppl_vae.registry.pair_config import offered_to
from ppl_vae.registry.suited import suited
from ppl_vae.runs.command_line import changed_from
from ppl_vae.runs.run import Record, TrainConfig
from ppl_vae.training.config import final_kl_weight


def changed_settings(record: Record, splits: Splits) -> list[tuple[str, str, str]]:
    """What is not as it is where nothing is set: name, value, and who set it, or what about the data did.

    Args:
        record: of the run.
        splits: its data.
    """
    asked, words = record.asked, _words_of_pair(record)
    rows = [
        (name, _shown(value, words.get(name, "")), "given")
        for name, value in changed_from(asked, TrainConfig())
        if name != "data_root"  # where a file is changes nothing of what is in it
    ]
    found = suited(asked.pair, splits, asked.data.binarization)
    values = {
        **record.config.pair.parts,
        "net": record.config.pair.net,
        "binarization": record.config.data.binarization,
    }
    return [*rows, *((name, values[name], f"chosen, since {found.why}") for name in found.told)]


def all_settings(record: Record, pair: Pair) -> list[tuple[str, str]]:
    """All that a run is made of, by name.

    Args:
        record: of the run.
        pair: as it opens.
    """
    info, config, fit = record.info, record.config.pair, record.config.fit
    shape = " × ".join(map(str, info.event_shape))
    model, guide = (f"{sum(param.numel() for param in part.parameters()):,}" for part in pair)
    dropped = "" if fit.drop == "nothing" else f", without {fit.drop}"
    words = _words_of_pair(record)
    return [
        ("model", config.model),
        ("guide", config.guide if names_file(config.guide) else f"{config.guide} × {config.family}"),
        ("data", f"{record.config.data.data}, {info.num_data:,} training datapoints of shape {shape}"),
        *([("columns", said)] if (said := columns_in_words(info)) else []),
        ("binarization", record.config.data.binarization),
        ("data fingerprint", info.fingerprint),
        ("sizes", f"{model} parameters in the model, {guide} in the guide"),
        *((name, _shown(value, words.get(name, ""))) for name, value in config.settings.items()),
        (
            "objective",
            f"{fit.objective}, num_particles {fit.num_particles}, KL weight {final_kl_weight(fit):g}, "
            f"kl_warmup {fit.kl_warmup}{dropped}",
        ),
        (
            "steps",
            f"{fit.epochs} epochs at most, {fit.steps_in_words}",
        ),
        ("seeds", f"{fit.seed} of the training, {record.config.data.data_seed} of the data"),
        ("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
    ]


def _words_of_pair(record: Record) -> dict[str, str]:
    return {name: setting.words for name, setting in offered_to(record.config.pair).items()}


def _shown(value: Any, words: str) -> str:
    """A setting as the page shows it: its value, and the first sentence of what its maker says of it."""
    several = isinstance(value, list | tuple)
    shown = (" ".join(map(str, value)) or "none") if several else str(value)
    first = words.partition(". ")[0].removesuffix(".").replace("`", "")
    return f"{shown}: {first[:1].lower()}{first[1:]}" if first else shown
