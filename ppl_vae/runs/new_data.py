"""Observations that a run has not seen, from a file, taken as its own data was."""

from pathlib import Path
from typing import NamedTuple

from ppl_vae.data import Dataset, binarized
from ppl_vae.data.conditions import in_list, known_conditions
from ppl_vae.data.inputs import read_input
from ppl_vae.data.labels import numbers_of, unseen_among
from ppl_vae.predictive.rendering import takes_conditions, takes_labels
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.errors import UserError


class NewData(NamedTuple):
    """Observations of a file.

    Args:
        data: on the run's device; its rows are of nobody's split: a per-datapoint guide has none for them.
        notes: what was decided in reading it, a line each.
        warnings: what has to be known of what is inferred from it, likewise.
    """

    data: Dataset
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def new_data(opened: OpenedRun, path: Path, seed: int) -> NewData:
    """Read a file for a run.

    Args:
        opened: the run.
        path: an ``.npz``, or a file or folder like that which the run was trained on.
        seed: of static binarization, and of the bits of grey levels.

    Raises:
        UserError: it cannot be read, its observations are not of the run's kind, a label is none of the run's, or there
            are none where the model reads them.
    """
    info, settings = opened.info, opened.settings.data
    found = read_input(path, info, settings.reading)
    y, warnings = found.y, []
    if y is None and settings.label_column and takes_labels(opened.model, info):
        raise UserError(
            f"{path}: there is no column '{settings.label_column}', and this run's model reads the labels in it."
        )
    if y is not None and info.num_classes:
        y = numbers_of(info, y, str(path))
        warnings = unseen_among(info, str(path), y)
    c = known_conditions(str(path), found.c, found.condition_names, info.conditions)
    if c is None and takes_conditions(opened.model, info):
        raise UserError(f"{path}: no conditions, and this run's model reads {in_list(info.conditions)}; add them.")
    binarization = settings.binarization if info.layout == "plain" else "none"
    data = binarized(found.x, y, binarization, seed, first=UNSEEN, scale=found.scale, mask=found.mask, c=c)
    return NewData(data.to(opened.device).fixed(seed), found.notes, tuple(warnings))
