"""What came of a training, in one sentence, one number and one command: the same on the terminal and on the page."""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.data import Splits
from ppl_vae.diagnostics.evaluation import Evaluation
from ppl_vae.estimates.significance import beyond_chance, still_rising
from ppl_vae.evaluation import InferenceGaps
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import Pair
from ppl_vae.reports.effort import split_shown
from ppl_vae.runs.command_line import command_on, command_with, train_command
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runs.run import Run
from ppl_vae.runtime.shown import with_error
from ppl_vae.training.config import FitConfig
from ppl_vae.training.metrics import History

_FEW_STEPS = 500  # with which even a small network has hardly left where it began


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
    where = _where(len(found.values), len(data), split)
    figure = f"{name} {with_error(found.mean, found.stderr)}"
    return Result(figure, f"nats per datapoint on {where}; higher is better")


def evaluated(found: Evaluation, total: int) -> Result:
    """What an evaluation has come to, its headline in words.

    Args:
        found: of data that was given, not simulated.
        total: datapoints that the split has.
    """
    name, estimate = next(iter(found.results.items()))
    count, split = len(estimate.values), found.protocol.split
    value = with_error(estimate.mean, estimate.stderr)
    figure = {
        "elbo": f"the ELBO is a lower bound: log p(x) ≥ {value}",
        "log_px": f"a lower bound: log p(x) ≥ {value}",
    }.get(name, f"{name} {value}")
    return Result(figure, f"nats per datapoint on {_where(count, total, split)}; higher is better")


def _where(count: int, total: int, split: str) -> str:
    return (
        f"all {total:,} {split} datapoints"
        if count == total
        else f"the first {count:,} of {total:,} {split} datapoints"
    )


def closing_of(opened: OpenedRun, found: Evaluation) -> str:
    """The last lines of an evaluation, each after a line break: its result, what to do next; none of simulated data."""
    if found.settings.simulates:
        return ""
    total, step = len(opened.data.get(found.protocol.split)), after_evaluation(opened.run, found)
    return f"\nresult   {evaluated(found, total)}" + (f"\nnext     {step}" if step else "")


def after_evaluation(run: Run, found: Evaluation) -> Step | None:
    """The command that tells most of what an evaluation has left open; None where nothing does.

    Args:
        run: that was evaluated.
        found: the evaluation.
    """
    split = found.protocol.split
    where = {} if split == "test" else {"split": split}
    headline = next(iter(found.results.values()))
    if found.point:
        return None
    if not found.settings.anneals and "log_px" not in found.results:
        return Step(
            command_on("evaluate", run.path, **where, estimator="iwae"), "a bound closer to log p(x) than this one"
        )
    if still_rising(headline) and not found.settings.anneals:
        closer = command_on("evaluate", run.path, **where, estimator="ais", limit=100)
        return Step(closer, "more draws would raise this bound: annealing comes closer to log p(x)")
    splits = {} if not where else {"splits": split}
    return Step(command_on("gaps", run.path, **splits), "how much the ELBO is below that, and why")


def after_gaps(opened: OpenedRun, found: InferenceGaps) -> str:
    """The training that would narrow the gap most, as it was found on the last of the data: a line after a line break;
    nothing where none is known.

    Args:
        opened: the run that was taken apart.
        found: its gaps.
    """
    gaps = list(found.measured.values())[-1].gaps
    own, config = gaps.families.get(found.own), opened.settings
    if own is None or not beyond_chance(gaps.inference):
        return ""
    nearest = min(gaps.families, key=lambda name: gaps.families[name].approximation.mean)
    if own.approximation.mean > own.amortization.mean and nearest != found.own:
        left, all_of_it = gaps.families[nearest].approximation.mean, own.approximation.mean
        pair_then, name = replace(config.pair, family=nearest), nearest
        why = f"the family misses most, and {nearest} misses {left:.2f} of {all_of_it:.2f}"
    elif own.amortization.mean > own.approximation.mean and not tables_of(opened.pair.guide):
        name = "semi-amortized"
        pair_then, why = replace(config.pair, guide=name), "the networks miss most; this guide takes steps from there"
    else:
        return ""
    command = train_command(replace(config, pair=pair_then), Path(f"{opened.run.path}-{name}"))
    return f"\nnext     {Step(command, why)}"


def next_step(run: Run, pair: Pair, splits: Splits, history: History | None = None) -> Step:
    """The command that tells most of what is not known yet, or goes on with a training that has not ended."""
    split = split_shown(pair, splits)
    if history is not None:
        each = math.ceil(len(splits.train) / run.record.config.fit.batch_size)
        few = each * len(history) < _FEW_STEPS
        if few or history.still_rising:
            longer = command_with("train", resume=run.path, epochs=max(2 * len(history), math.ceil(_FEW_STEPS / each)))
            why = f"{each * len(history)} steps are few" if few else "the bound was still rising"
            return Step(longer, f"{why}: train longer before anything is read into it")
    settings = {} if split == "test" else {"split": split}
    if not has_density(pair.guide, splits.train.probe()):
        return Step(command_on("evaluate", run.path, **settings))
    tighter = command_on("evaluate", run.path, **settings, estimator="iwae")
    return Step(tighter, "a bound closer to log p(x) than the ELBO")
