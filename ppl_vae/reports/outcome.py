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
from ppl_vae.training.config import FitConfig
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
    """Epochs and seconds, which epoch was kept, and what the loss was where it was not simply minus the bound."""
    loss = f"; {history.loss}" if history.loss else ""
    seconds = sum(epoch.seconds for epoch in history)
    kept = f" (kept: epoch {history.best.epoch}, the best by validation)" if run.record.config.fit.patience else ""
    return f"{len(history)} epoch{'' if len(history) == 1 else 's'}{kept} in {seconds:.1f} seconds{loss}"


def numbers_of(history: History, fit: FitConfig) -> list[tuple[str, str]]:
    """Rows of the epoch that was kept: the bound and its parts, of a point its reconstruction; what the loss was.

    Args:
        history: of the training.
        fit: its settings.
    """
    kept = history.best if fit.patience else history[-1]
    bound = {} if history.of_elbo else {f"bound ({fit.objective})": kept.bound}
    parts = {"reconstruction": kept.reconstruction, "minus log p(z)" if history.of_point else "kl": kept.kl}
    values = parts if history.of_point else {**bound, "elbo": kept.elbo, **parts}
    rows = [("epoch", f"{kept.epoch} of {len(history)}{', the best by validation' if fit.patience else ''}")]
    rows += [(name, f"{value:.2f}") for name, value in values.items()]
    if kept.validation_bound is not None:
        rows.append(("validation" if history.of_point else "validation bound", f"{kept.validation_bound:.2f}"))
    rows += [("loss", history.loss.removeprefix("the loss is "))] if history.loss else []
    return [*rows, ("time", f"{sum(epoch.seconds for epoch in history):.1f} seconds")]


def result_of(pair: Pair, splits: Splits, history: History, parts: ElboParts | None) -> Result:
    """The ELBO with its error, of a point its reconstruction.

    Args:
        pair: as it opens.
        splits: its data.
        history: of its training.
        parts: the ELBO and its parts on the data that the report is of; None where a pair trains and no more.
    """
    if parts is None:
        name = "reconstruction" if history.of_point else "bound"
        return Result(f"{name} {getattr(history.best, name):.2f}", "nats per datapoint, in training; higher is better")
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
