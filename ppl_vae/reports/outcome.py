"""What came of a training, in one sentence, one number and one command: the same on the terminal and on the page."""

from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.data import Splits
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.programs.density import has_density
from ppl_vae.registry.build import Pair
from ppl_vae.reports.effort import split_shown
from ppl_vae.runs.command_line import command_on
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runs.run import Run
from ppl_vae.runtime.shown import with_error
from ppl_vae.training.metrics import History


class Result(NamedTuple):
    """The result of a training.

    Args:
        figure: what it is, and the number with its error.
        of: its unit, what it was found on, and which direction is better.
    """

    figure: str
    of: str

    def __str__(self) -> str:
        return f"{self.figure} {self.of}"


class Step(NamedTuple):
    """What to do next.

    Args:
        command: to type.
        gives: what it gives; nothing where that is plain.
    """

    command: str
    gives: str = ""

    def __str__(self) -> str:
        return f"{self.command}   ({self.gives})" if self.gives else self.command


def trained(run: Run, pair: Pair, history: History) -> str:
    """What was trained on what, and for how long."""
    named = OpenedRun(run, pair, torch.device("cpu")).in_words
    return f"{named} on {Path(run.record.config.data.data).name}, {for_how_long(run, history)}"


def for_how_long(run: Run, history: History) -> str:
    """Epochs and seconds, and which epoch was kept."""
    seconds = sum(epoch.seconds for epoch in history)
    kept = f" (kept: epoch {history.best.epoch}, the best by validation)" if run.record.config.fit.patience else ""
    return f"{len(history)} epoch{'' if len(history) == 1 else 's'}{kept} in {seconds:.1f} seconds"


def result_of(pair: Pair, splits: Splits, history: History, parts: ElboParts | None) -> Result:
    """The ELBO with its error, of a point its reconstruction.

    Args:
        pair: as it opens.
        splits: its data.
        history: of its training.
        parts: the ELBO and its parts on the data that the report is of; None where a pair trains and no more.
    """
    if parts is None:
        return Result(f"bound {history.best.bound:.2f}", "nats per datapoint, in training; higher is better")
    split = split_shown(pair, splits)
    data = splits.get(split)
    proper = has_density(pair.guide, data.probe())  # the ELBO of a point bounds nothing
    name, found = ("elbo", parts.elbo) if proper else ("reconstruction", parts.reconstruction)
    count = len(found.values)
    where = f"{'the' if count == len(data) else 'the first'} {count:,} {split} datapoints"
    figure = f"{name} {with_error(found.mean, found.stderr)}"
    return Result(figure, f"nats per datapoint on {where}; higher is better")


def next_step(run: Run, pair: Pair, splits: Splits) -> Step:
    """The command that tells most of what is not known yet."""
    split = split_shown(pair, splits)
    settings = {} if split == "test" else {"split": split}
    if not has_density(pair.guide, splits.train.probe()):
        return Step(command_on("evaluate", run.path, **settings))
    tighter = command_on("evaluate", run.path, **settings, estimator="iwae")
    return Step(tighter, "a bound closer to log p(x) than the ELBO")
