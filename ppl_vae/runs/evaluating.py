"""An evaluation of a run: its pair on a split of its own data, where that comes from, what is kept of it."""

from pathlib import Path

from ppl_vae.data import Dataset
from ppl_vae.diagnostics import Calibrated
from ppl_vae.evaluation import EvaluateConfig, Evaluated, estimates
from ppl_vae.predictive.rendering import takes_conditions, takes_labels
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runs.paths import numbered, write_figure, write_new
from ppl_vae.runs.run import Run
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import CannotWriteError


def evaluate_run(
    opened: OpenedRun, settings: EvaluateConfig, split: SplitName | None = None, progress: bool | None = None
) -> Evaluated:
    """:func:`ppl_vae.evaluation.estimates` of a run's pair.

    Args:
        opened: the run.
        settings: what to estimate.
        split: of the run's data; None for the test split.
        progress: show a progress bar; None shows it on a terminal and in a notebook.
    """
    return estimates(
        *opened.pair, data_for(opened, settings, split), settings, opened.origin(split or "test"), progress
    )


def data_for(opened: OpenedRun, settings: EvaluateConfig, split: SplitName | None) -> Dataset:
    """The datapoints that an evaluation looks at: where it simulates its own, the split's labels, conditions and
    holes, if it has any, else no more than the shape of an observation, for which nothing has to be read.

    Args:
        opened: the run.
        settings: what to estimate.
        split: of the run's data; None for the test split.

    Raises:
        UserError: a split is named of which nothing is read: the data is simulated, there are no holes, and the model
            reads neither labels nor conditions.
    """
    holes = opened.info.holes
    model, info = opened.pair.model, opened.info
    given = takes_labels(model, info) or takes_conditions(model, info)
    if split and settings.simulates and not holes and not given:
        raise UserError(f"`split`: `estimator` {settings.estimator} simulates its own data; leave `split` out.")
    split = split or "test"
    if not settings.simulates:
        return opened.split(split, settings.limit)
    return opened.split(split) if info.num_classes or info.conditions or holes else Dataset(opened.example.x)


def write_calibration(found: Calibrated, run: Run) -> Path | CannotWriteError:
    """Write the picture of a calibration into the next free ``figures/calibration-N`` of a run, PNG and SVG.

    Returns:
        the PNG; or why it cannot be written, which must not cost the verdict.
    """
    figure = found.figure(run.path.name)
    try:
        return write_new(
            None,
            lambda: numbered(run.figures, "calibration", ".png", ".svg"),
            lambda path: write_figure(path, figure),
        )
    except CannotWriteError as error:
        return error
