"""What is said when a training has ended: what was trained, what came of it, where the report is, what to do next."""

from pathlib import Path

import torch

from ppl_vae.data import Dataset, Splits
from ppl_vae.estimates.caveats import CAVEATS
from ppl_vae.evaluation import elbo
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.programs.check import likelihood_label
from ppl_vae.programs.density import has_density
from ppl_vae.registry.build import Pair
from ppl_vae.reports.effort import Effort, split_shown
from ppl_vae.reports.report import Written
from ppl_vae.runs.command_line import command_on
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runs.run import Run
from ppl_vae.runtime.shown import with_error
from ppl_vae.training.metrics import History


def in_closing(
    run: Run, pair: Pair, splits: Splits, history: History, effort: Effort, report: Written | None = None
) -> str:
    """Warnings, a line each, and the four last lines of a training.

    Args:
        run: trained.
        pair: as it opens.
        splits: its data.
        history: of its training.
        effort: how much the result is of, where no report has it.
        report: of the run, if there is one.
    """
    warnings = list(report.warnings if report else ())
    if caveat := CAVEATS.get(likelihood_label(pair.model, splits.train.probe())):
        warnings.append(caveat)
    lines = {
        "run": f"{run.path}: {_trained(run, pair, history)}",
        "result": _result(pair, splits, history, effort, report),
        "report": str(report) if report else f"none yet; make it by: {command_on('report', run.path)}",
        "next": _next(run, pair, splits),
    }
    return "\n".join(
        [*(f"warning: {words}" for words in warnings), *(f"{name:<9}{what}" for name, what in lines.items())]
    )


def _trained(run: Run, pair: Pair, history: History) -> str:
    config, seconds = run.record.config, sum(epoch.seconds for epoch in history)
    named = OpenedRun(run, pair, torch.device("cpu")).in_words
    kept = f" (kept: epoch {history.best.epoch}, the best by validation)" if config.fit.patience else ""
    epochs = f"{len(history)} epoch{'' if len(history) == 1 else 's'}"
    return f"{named} on {Path(config.data.data).name}, {epochs}{kept} in {seconds:.1f} seconds"


def _result(pair: Pair, splits: Splits, history: History, effort: Effort, report: Written | None) -> str:
    split = split_shown(pair, splits)
    data = splits.get(split)
    parts = report.parts if report and report.parts else _estimated(pair, data, effort)
    if parts is None:  # a user's own pair can be one that trains and no more
        return f"bound {history.best.bound:.2f} nats per datapoint, in training; higher is better"
    proper = has_density(pair.guide, data.probe())  # the ELBO of a point bounds nothing
    name, found = ("elbo", parts.elbo) if proper else ("reconstruction", parts.reconstruction)
    count = len(found.values)
    where = f"{'the' if count == len(data) else 'the first'} {count:,} {split} datapoints"
    return f"{name} {with_error(found.mean, found.stderr)} nats per datapoint on {where}; higher is better"


def _estimated(pair: Pair, data: Dataset, effort: Effort) -> ElboParts | None:
    device = next(pair.model.parameters(), torch.zeros(())).device
    try:
        return elbo(*pair, data.to(device).head(effort.elbo_datapoints), effort.elbo_draws)
    except Exception:  # a finished training must not end in a result that cannot be estimated
        return None


def _next(run: Run, pair: Pair, splits: Splits) -> str:
    """The command that tells most of what is not known yet."""
    split = split_shown(pair, splits)
    settings = {} if split == "test" else {"split": split}
    if not has_density(pair.guide, splits.train.probe()):
        return command_on("evaluate", run.path, **settings)
    tighter = command_on("evaluate", run.path, **settings, estimator="iwae")
    return f"{tighter}   (a bound closer to log p(x) than the ELBO)"
