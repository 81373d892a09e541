"""What is said when a training has ended: what was trained, what came of it, where the report is, what to do next."""

from ppl_vae.data import Splits
from ppl_vae.estimates import Protocol
from ppl_vae.estimates.caveats import CAVEATS
from ppl_vae.evaluation import elbo
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.programs.check import likelihood_label
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import Pair
from ppl_vae.reports.effort import Effort
from ppl_vae.reports.ending.card import Estimated, rows_of_parts, write_card
from ppl_vae.reports.next_steps import after_training
from ppl_vae.reports.outcome import result_of, trained, what_estimates_are_of
from ppl_vae.reports.report import Written
from ppl_vae.runs.command_line import command_on
from ppl_vae.runs.opened import OpenedRun, split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import reason
from ppl_vae.runtime.files import CannotWriteError
from ppl_vae.training.metrics import History


def in_closing(
    run: Run, pair: Pair, splits: Splits, history: History, effort: Effort, report: Written | None = None
) -> str:
    """Warnings, a line each, and the four last lines of a training; of a run without a report its card is written here.

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
    parts = report.parts if report and report.parts else _estimated(pair, splits, effort)
    if report is None and (problem := _carded(run, pair, splits, parts, effort, warnings)):
        warnings.append(problem)
    lines = {
        "run": f"{run.path}: {trained(run, pair, history)}",
        "result": result_of(pair, splits, history, parts),
        "report": str(report) if report else f"none yet; make it by: {command_on('report', run.path)}",
        "next": after_training(run, pair, splits, history),
    }
    return "\n".join(
        [*(f"warning: {words}" for words in warnings), *(f"{name:<9}{what}" for name, what in lines.items())]
    )


def _carded(
    run: Run, pair: Pair, splits: Splits, parts: ElboParts | None, effort: Effort, warnings: list[str]
) -> str | None:
    """Write the card; what is to be said where that cannot be."""
    try:
        write_card(*_for_card(run, pair, splits, parts, effort, warnings))
    except CannotWriteError:
        raise
    except Exception as error:  # a user's own pair can raise anything
        return f"left out README.md: {reason(error)}"
    return None


def _for_card(
    run: Run, pair: Pair, splits: Splits, parts: ElboParts | None, effort: Effort, warnings: list[str]
) -> tuple[OpenedRun, Estimated]:
    opened, split = OpenedRun(run, pair, device_of(pair.model)), split_shown(pair, splits)
    data, point = splits.get(split), not has_density(pair.guide, splits.train.probe())
    local, once = bool(tables_of(pair.guide)), ", binarized once" if data.dynamic else ""
    name = "reconstruction" if point else "elbo"
    used = data.head(effort.elbo_datapoints)
    made = Protocol.of(*pair, used, opened.origin(split), name, effort.elbo_draws, 0)
    note = what_estimates_are_of(data, local, split, once, parts)
    unseen = f"Nothing was diagnosed: '{command_on('report', run.path)}' looks for what is wrong with the pair."
    return opened, Estimated(rows_of_parts(parts, point), note, [made], [*warnings, unseen])


def _estimated(pair: Pair, splits: Splits, effort: Effort) -> ElboParts | None:
    data = splits.get(split_shown(pair, splits)).to(device_of(pair.model))
    try:
        return elbo(*pair, data.head(effort.elbo_datapoints), effort.elbo_draws)
    except Exception:  # a finished training must not end in a result that cannot be estimated
        return None
