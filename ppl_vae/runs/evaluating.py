"""An evaluation of a run: its pair on a split of its own data, and where that comes from."""

from ppl_vae.data import Dataset
from ppl_vae.evaluation import EvaluateConfig, Evaluated, estimates
from ppl_vae.runs.opened import OpenedRun, SplitName


def evaluate_run(
    opened: OpenedRun, settings: EvaluateConfig, split: SplitName = "test", progress: bool | None = None
) -> Evaluated:
    """:func:`ppl_vae.evaluation.estimates` of a run's pair.

    Args:
        opened: the run.
        settings: what to estimate.
        split: of the run's data.
        progress: show a progress bar; None shows it on a terminal only.
    """
    return estimates(*opened.pair, data_for(opened, settings, split), settings, opened.origin(split), progress)


def data_for(opened: OpenedRun, settings: EvaluateConfig, split: SplitName) -> Dataset:
    """The datapoints that an evaluation looks at: where it simulates its own, the split's labels, if there are any,
    else no more than the shape of an observation, for which nothing has to be read."""
    if not settings.simulates:
        return opened.split(split, settings.limit)
    return opened.split(split) if opened.info.num_classes else Dataset(opened.example.x)
