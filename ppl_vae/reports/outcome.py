"""What came of a training, in one sentence, one number and one command: the same on the terminal and on the page."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ppl_vae.data import Dataset, Splits
from ppl_vae.diagnostics.evaluation import Evaluation
from ppl_vae.estimates.caveats import BELOW_ZERO, SEEN, density_of, of_seen
from ppl_vae.evaluation import InferenceGaps
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.programs.density import has_density
from ppl_vae.registry.build import Pair
from ppl_vae.reports.next_steps import Step, after_evaluation, after_gaps
from ppl_vae.runs.opened import OpenedRun, split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.shown import with_error
from ppl_vae.training.config import FitConfig, weights_in_words
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


def trained(run: Run, pair: Pair, history: History) -> str:
    """What was trained on what, and for how long."""
    named = OpenedRun(run, pair, torch.device("cpu")).in_words
    return f"{named} on {Path(run.record.config.data.data).name}, {for_how_long(run, history)}"


def for_how_long(run: Run, history: History) -> str:
    """Epochs and seconds, which epoch was kept, and what the loss was where it was not simply minus the bound."""
    said = (history.loss, weights_in_words(run.record.config.fit))
    more = "".join(f"; {words}" for words in said if words)
    seconds = sum(epoch.seconds for epoch in history)
    kept = f" (kept: epoch {history.best.epoch}, the best by validation)" if run.record.config.fit.patience else ""
    return f"{len(history)} epoch{'' if len(history) == 1 else 's'}{kept} in {seconds:.1f} seconds{more}"


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
    if averaged := weights_in_words(fit):
        rows.append(("weights", averaged.removeprefix("weights: ")))
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
    bounded = density_of(pair.model, data)
    given = f"; a bound on {bounded}, not on log p(x)" if proper and "|" in bounded else ""
    return Result(figure, f"nats per datapoint on {where}; higher is better{given}{of_seen(data)}")


def evaluated(model: nn.Module, found: Evaluation, total: int) -> Result:
    """What an evaluation has come to, its headline in words.

    Args:
        model: that it is of.
        found: of data that was given, not simulated.
        total: datapoints that the split has.
    """
    name, estimate = next(iter(found.results.items()))
    count, split = len(estimate.values), found.protocol.split
    value = with_error(estimate.mean, estimate.stderr)
    bounded = density_of(model, found.estimated.data)
    figure = {
        "elbo": f"the ELBO is a lower bound: {bounded} ≥ {value}",
        "log_px": f"a lower bound: {bounded} ≥ {value}",
    }.get(name, f"{name} {value}")
    holes = of_seen(found.estimated.data)
    return Result(figure, f"nats per datapoint on {_where(count, total, split)}; higher is better{holes}")


def named(split: str) -> str:
    """The data of a split, in words."""
    return {"train": "training data", "test": "test data"}[split]


def what_estimates_are_of(data: Dataset, local: bool, split: str, once: str, parts: ElboParts | None) -> str:
    """What stands above the estimates of a report.

    Args:
        data: that they are of.
        local: whether the guide has a q for each training datapoint and for no others.
        split: which part of the data it is.
        once: what was done to it, to be added to its name.
        parts: the ELBO and its parts; None where they could not be had.
    """
    apart = ": the guide has a q for each of them and for no others" if local else ""
    seen = f" {SEEN}." if data.mask is not None else ""
    below = f" {BELOW_ZERO}" if parts and parts.kl.mean < 0 else ""
    errors = "Nats per datapoint, ± standard errors; bigger is better, except for the KL."
    return f"On the {named(split)}{once}{apart}.{seen} {errors}{below}"


def _where(count: int, total: int, split: str) -> str:
    of = f"{total:,} {'training' if split == 'train' else split} datapoints"
    return f"all {of}" if count == total else f"the first {count:,} of {of}"


def closing_of(opened: OpenedRun, found: Evaluation) -> str:
    """The last lines of an evaluation, each after a line break: its result, what to do next; none of simulated data."""
    if found.settings.simulates:
        return ""
    total = len(opened.data.get(found.protocol.split))
    return f"\nresult   {evaluated(opened.model, found, total)}{_last(after_evaluation(opened, found))}"


def as_named(opened: OpenedRun) -> dict[str, Any]:
    """Where the data of an analysis of the gaps comes from, and what it calls the guide, as that takes it."""
    return {"origin": opened.origin, "called": f"the run's guide ({opened.settings.pair.guide_in_words})"}


def closing_of_gaps(opened: OpenedRun, found: InferenceGaps, out: Path) -> str:
    """The last lines of an analysis of the gaps: what was written into a folder, and what to do next if it is known."""
    files = f"picture  {out / 'gaps.png'}\nfigures  {out / 'gaps.json'}, {out / 'gaps.csv'}"
    return files + _last(after_gaps(opened, found))


def _last(step: Step | None) -> str:
    return f"\nnext     {step}" if step else ""
