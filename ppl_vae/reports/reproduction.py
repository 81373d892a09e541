"""Whether the model of a table reproduces the data: the section of a report, with its pictures and tables."""

from pathlib import Path

from ppl_vae import figures
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.data.kinds import COLUMNS
from ppl_vae.predictive.checking import Latents, PredictiveChecks, predictive_checks
from ppl_vae.predictive.statistics import MOST_CORRELATED
from ppl_vae.registry.build import Pair
from ppl_vae.reports.page import folded, paragraph, picture_of, section, table

_HEADING = "Does the model reproduce the data?"
_MOST_ROWS = 200  # of a table
_HOW = (
    "Whole data sets are drawn, with as many rows as the data has and the same holes, and their statistics are "
    "compared with the data's. What is called beyond chance is so with all statistics counted; the parameters are "
    "taken as they were learned."
)
_WAYS: dict[Latents, tuple[str, str]] = {
    "posterior": (
        "predictive-checks",
        "With z drawn from the guide, which has seen each row, the decoder and its likelihood are put to the test.",
    ),
    "prior": (
        "predictive-checks-prior",
        "With z drawn from the prior, as for new rows, so is whether the prior is where the codes are.",
    ),
}


def reproduction(
    pair: Pair, data: Dataset, info: DataInfo, num_replicates: int, split: str, title: str, folder: Path, full: bool
) -> str:
    """The section in HTML, empty where the data is no table; its pictures are written.

    Args:
        pair: with an answer to the data.
        data: rows of a table, as many as are to be looked at.
        info: of the training data.
        num_replicates: data sets to draw, of each way.
        split: what the data is called.
        title: what captions begin with.
        folder: for the pictures.
        full: with a picture for draws from the prior too, which takes its time.
    """
    if not _is_checked(info):
        return ""
    parts = [paragraph(_HOW)]
    for latents, (stem, words) in _WAYS.items():
        found = predictive_checks(*pair, data, info, latents, num_replicates, split)
        path, numbers, picture = folder / f"{stem}.png", _numbers(found), ""
        if full or latents == "posterior":
            figures.save(found.figure(title), path)
            picture = picture_of(path, f"{title}. ")
        parts.append(paragraph(f"{words} {found.sentence}"))
        if latents == "posterior":
            parts += [picture, folded("The statistics, those farthest from the draws first", numbers)]
        else:
            parts.append(folded("The same with z from the prior, z ~ p(z)", picture + numbers))
    return section(_HEADING, *parts)


def _is_checked(info: DataInfo) -> bool:
    """Whether the data is a table: rows of numbers whose kinds are known, with names or not too many."""
    known = bool(info.kinds) and set(info.kinds) <= {*COLUMNS}
    few = bool(info.columns) or info.event_shape[-1] <= MOST_CORRELATED
    return info.layout == "plain" and len(info.event_shape) == 1 and known and few


def _numbers(found: PredictiveChecks) -> str:
    head, *rows = found.table(_MOST_ROWS)
    left_out = len(found.data) - len(rows)
    note = f"And {left_out:,} more; `predictive_checks` in Python has all of them."
    return table(rows, head[1:]) + (paragraph(note) if left_out else "")
