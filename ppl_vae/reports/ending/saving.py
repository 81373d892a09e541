"""A pair that was trained in Python becomes a run directory, as one of ``ppl-vae train``."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from ppl_vae.data.info import DataInfo
from ppl_vae.data.splits import Splits
from ppl_vae.programs.check import same, seeded_log_weights
from ppl_vae.registry.build import Pair, settled
from ppl_vae.registry.pairs import config_of
from ppl_vae.registry.trust import remember
from ppl_vae.reports.effort import effort_after_training
from ppl_vae.reports.pictures import draw_run
from ppl_vae.reports.report import write_report
from ppl_vae.runs.opened import OpenedRun, open_run
from ppl_vae.runs.reopening import build_to_reopen
from ppl_vae.runs.run import Record, Run, TrainConfig
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError, warned
from ppl_vae.runtime.processes import current
from ppl_vae.runtime.seeding import preserved
from ppl_vae.training import FitConfig
from ppl_vae.training.earlier import Earlier
from ppl_vae.training.metrics import History
from ppl_vae.training.saving import Saver
from ppl_vae.training.state import TrainingState


def save(
    model: nn.Module,
    guide: nn.Module,
    history: History,
    data: Splits,
    out: Path | str | None = None,
    *,
    report: bool = True,
    warn: Callable[[str], object] = warned,
) -> OpenedRun:
    """Make a run directory of a pair that was trained here, with its pictures and its report.

    It is one as ``ppl-vae train`` writes them: :func:`ppl_vae.open` and every command take it, and ``ppl-vae train
    --resume`` goes on with it; of a fit with early stopping from the best epoch's weights.

    Args:
        model: p(x, z), of :func:`ppl_vae.build_model`.
        guide: q(z | x), of :func:`ppl_vae.build_guide`; neither has changed since the fit.
        history: of the fit.
        data: that it was trained on, of :func:`ppl_vae.load` by name or path: a run reads its data again.
        out: the directory to make; None for the next free ``runs/DATA-N``.
        report: draw pictures and write ``report.html`` and the card.
        warn: called with what cannot be drawn, in words.

    Returns:
        the run, opened.

    Raises:
        UserError: the pair or the data cannot be found again, the history is of another fit, or there is something at
            ``out``.
    """
    fit, earlier = _fit_of(history)
    pair, settings = Pair(model, guide), _settings_of(model, guide, data, fit)
    record, device = Record.of(settings, DataInfo.of(data)), device_of(model)
    _check(pair, settings, record.info, data)
    remember(record.files)  # named by the user
    with Run.created(record, None if out is None else Path(out), Path(settings.data.data).stem) as run:
        state = TrainingState(model, guide, data.train.to(device), fit)
        with preserved(device):  # whose generators are to be those of the fit, not the caller's
            earlier.put_into(state)
            run.write_metrics(state.history)
            Saver(state, run.checkpoint, run.weights, current(), None).save()
        opened = open_run(run.path, str(device))
        if report:
            effort = effort_after_training(run, opened.pair, data)
            write_report(run, data, draw_run(run, opened.pair, data, warn, effort), warn, effort)
    return opened


def _fit_of(history: History) -> tuple[FitConfig, Earlier]:
    """How the pair was trained, and what that came to."""
    if not isinstance(history, History) or history.settings is None or history.earlier is None:
        raise UserError(
            "`history` is to be what fit returned, of a fit in memory, without a checkpoint or `weight_average`: "
            "save(model, guide, history, data)."
        )
    if not history:
        raise UserError("no epoch was trained; fit the pair first.")
    return history.settings, history.earlier


def _settings_of(model: nn.Module, guide: nn.Module, data: Splits, fit: FitConfig) -> TrainConfig:
    """What a run of this pair records."""
    if not isinstance(data, Splits) or data.settings is None:
        raise UserError(
            "a run reads its data again, and this data has no name: write it to a file (numpy.savez('mine.npz', x=x, "
            "y=y)), and give what ppl_vae.load('mine.npz') returns, which is split alike."
        )
    read = replace(data.settings.absolute(), binarization=data.binarization)
    return TrainConfig(read, settled(config_of(model, guide).absolute(), DataInfo.of(data)), fit)


def _check(pair: Pair, settings: TrainConfig, info: DataInfo, data: Splits) -> None:
    """See that what is made by these settings, with these weights, is this pair."""
    again, probe = build_to_reopen(settings, info, data.train), data.train.to(device_of(pair.model)).probe()
    for program, made in zip(pair, again, strict=True):
        made.load_state_dict(program.state_dict())
        made.to(device_of(program)).eval()
    if not same(seeded_log_weights(*pair, probe), seeded_log_weights(*again, probe)):
        raise UserError(
            "the pair holds numbers that are in no state dict, so that a run of it would open as another pair; keep "
            "them in parameters or buffers (self.register_buffer)."
        )
