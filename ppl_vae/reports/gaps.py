"""What an analysis of the inference gap leaves: a folder of its numbers, a row for each datapoint, and its picture."""

import json
from pathlib import Path

from ppl_vae import figures
from ppl_vae.evaluation import InferenceGaps
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runs.paths import numbered, refuse_existing_folder
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import claimed


def write_gaps(found: InferenceGaps, opened: OpenedRun, out: Path | None = None) -> Path:
    """Write gaps.json, gaps.csv, gaps.png and gaps.svg, all or none, into a new folder, and return it.

    Args:
        found: the gaps.
        opened: the run that they are of.
        out: the folder; None for the next free ``gaps-N`` in the run directory.

    Raises:
        UserError: there is something at ``out``, or it cannot be written.
    """
    recorded = opened.settings
    figure = found.figure(f"{Path(recorded.data.data).name}: {recorded.in_words}")
    with claimed(out, lambda: numbered(opened.run.path, "gaps"), refuse_existing_folder) as claim:
        try:
            write_text(claim.path / "gaps.json", as_json(found))
            write_text(claim.path / "gaps.csv", found.to_csv())
            figures.save(figure, claim.path / "gaps.png")
        except BaseException:
            claim.discard("gaps.json", "gaps.csv", "gaps.png", "gaps.svg")
            raise
        return claim.path


def as_json(found: InferenceGaps) -> str:
    """The text of gaps.json."""
    return json.dumps(found.to_dict(), indent=2)
