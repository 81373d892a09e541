"""What is said when a training has ended: what was trained, what came of it, where the report is, what to do next."""

from ppl_vae.data import Splits
from ppl_vae.estimates.caveats import CAVEATS
from ppl_vae.evaluation import elbo
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.programs.check import likelihood_label
from ppl_vae.registry.build import Pair
from ppl_vae.reports.effort import Effort
from ppl_vae.reports.next_steps import after_training
from ppl_vae.reports.outcome import result_of, trained
from ppl_vae.reports.report import Written
from ppl_vae.runs.command_line import command_on
from ppl_vae.runs.opened import split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.device import device_of
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
    parts = report.parts if report and report.parts else _estimated(pair, splits, effort)
    lines = {
        "run": f"{run.path}: {trained(run, pair, history)}",
        "result": result_of(pair, splits, history, parts),
        "report": str(report) if report else f"none yet; make it by: {command_on('report', run.path)}",
        "next": after_training(run, pair, splits, history),
    }
    return "\n".join(
        [*(f"warning: {words}" for words in warnings), *(f"{name:<9}{what}" for name, what in lines.items())]
    )


def _estimated(pair: Pair, splits: Splits, effort: Effort) -> ElboParts | None:
    data = splits.get(split_shown(pair, splits)).to(device_of(pair.model))
    try:
        return elbo(*pair, data.head(effort.elbo_datapoints), effort.elbo_draws)
    except Exception:  # a finished training must not end in a result that cannot be estimated
        return None
