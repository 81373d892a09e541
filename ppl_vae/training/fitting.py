"""Fitting a pair: what is looked at before the first step, and what is handed to the loop."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.splits import Splits
from ppl_vae.data.streaming.feeds import feed_of
from ppl_vae.objectives.elbo import Objective
from ppl_vae.objectives.named import ObjectiveName
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.density import has_density
from ppl_vae.programs.holes import hold_to_mask
from ppl_vae.programs.rows import check_rows, tables_of
from ppl_vae.runtime.ambient import apart
from ppl_vae.runtime.config import changed, checked, to_plain
from ppl_vae.runtime.errors import UserError, warned
from ppl_vae.runtime.files import path_given
from ppl_vae.runtime.interrupt import Interrupted, at_a_prompt
from ppl_vae.runtime.processes import current
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.turns import turn
from ppl_vae.svi import EagerStep
from ppl_vae.training.config import FitConfig, doubts_about, loss_in_words, objective_of, refuse_unfit
from ppl_vae.training.earlier import Earlier
from ppl_vae.training.loop import Loop
from ppl_vae.training.metrics import EpochMetrics, History
from ppl_vae.training.state import TrainingState
from ppl_vae.training.tracking import Tracker, checked_trackers, tracked
from ppl_vae.training.trial import refuse_untrainable, sizes_to_come, try_steps

__all__ = ["FitConfig", "fit", "objective_of"]

_OF_AN_OBJECTIVE = ("objective", "num_particles", "drop")


@turn("training")
@apart()
@torch.enable_grad()
def fit(
    model: nn.Module,
    guide: nn.Module,
    train: Dataset | Splits,
    validation: Dataset | None = None,
    settings: FitConfig | None = None,
    *,
    objective: Objective | ObjectiveName | None = None,
    checkpoint_path: Path | str | None = None,
    weights_path: Path | str | None = None,
    resume: bool = False,
    earlier: Earlier | History | None = None,
    on_epoch: Callable[[EpochMetrics], object] | None = None,
    on_step: Callable[[int], object] | None = None,
    on_engine: Callable[[str], object] | None = None,
    trackers: Iterable[Tracker] = (),
    progress: bool | None = None,
    warn: Callable[[str], object] = warned,
    **named: object,
) -> History:
    """Train a pair by stochastic variational inference (Hoffman et al. 2013; Kingma and Welling 2014).

    The pair is moved to the device and changed in place, and comes back in evaluation mode. With ``patience`` it ends
    with the best epoch's weights, with ``weight_average`` with their mean over steps, which is what is validated, while
    callbacks see the weights that move; patience begins after the KL's warm-up. One thread trains or evaluates at a
    time, and the caller's autocast, inference mode and Pyro handlers stay outside. A second call goes on with the
    weights alone: with another optimizer, from its first step, and its epochs are counted from 1 again; with
    ``earlier`` it goes on.

    At a prompt or in a notebook Ctrl-C and the stop button end it between two steps: the pair keeps what it has
    learned, and the history of the epochs that are done is returned, which ``earlier`` takes. Elsewhere, where there
    is a checkpoint and with ``weight_average``, it raises :class:`ppl_vae.runtime.interrupt.Interrupted`.

    Inside ``with ppl_vae.runtime.processes.joined()``, under ``torchrun``, all processes call this together, with the
    same arguments; each computes its part of every minibatch, and they begin with the first one's weights.

    Args:
        model: p(x, z); the contract is in ``models/base.py``.
        guide: q(z | x); the contract is in ``guides/base.py``.
        train: the data; what :func:`ppl_vae.load` gives is taken for its training and validation data.
        validation: for the validation bound and early stopping.
        settings: how; the defaults of :class:`FitConfig` if None.
        objective: what to maximise: a name, as in the settings, or an objective of your own, which is given again when
            a fit is resumed. None is the settings'.
        checkpoint_path: written at the start, as training goes on, when it is interrupted and at the end.
        weights_path: a file of safetensors beside it, in which the weights are then, and not in the checkpoint: those
            that a fit which ended there would end with, the parameters and buffers of the pair as ``model.NAME`` and
            ``guide.NAME``. A crash at any moment leaves both files as they were, or both new.
        resume: go on from ``checkpoint_path``, in as many processes as you like. On the CPU, in as many as before, the
            weights are bit for bit those of never having stopped; of one process, all is.
        earlier: what fits of this pair have come to so far, in memory: the optimizer, the epochs, which count as done,
            and the generators. This fit goes on from there, on this data, and moves it on. The history of an earlier
            fit holds it, and stays as it is.
        on_epoch: called with the metrics after each epoch, in every process; what it changes of the pair counts from
            then on (weights, settings of the modules, which parameters are moved).
        on_step: called with the number of steps done, before the first one and after each, in every process; the
            pair's parameters then are that step's. What it changes counts too, unless it returns False: to look for
            changes takes as long as a small step.
        on_engine: called with the engine that was chosen, and why, in words.
        trackers: told of the settings, each epoch and the end, as :class:`ppl_vae.training.tracking.Tracker` says.
        progress: show a progress bar; None shows it on a terminal and in a notebook.
        warn: called, in words, with each setting that does other than its name says.
        named: fields of :class:`FitConfig` and of its optimizer by name, in place of the settings': ``epochs=50``.

    Returns:
        the metrics of every epoch, resumed ones included; a list that prints, draws and tabulates itself.

    Raises:
        UserError: settings out of range, a pair that does not match, a foreign checkpoint; a pair that fails at a step
            or diverges. The last checkpoint is whole.
        Interrupted: Ctrl-C, SIGTERM or a closed terminal, after the checkpoint has been written; not at a prompt. A
            second one, and one while a step is compiled, is a bare KeyboardInterrupt, and the checkpoint the last one
            that was written.
        LostContactError: another process is gone; the last checkpoint is whole.
    """
    if isinstance(objective, str):
        named, objective = {**named, "objective": objective}, None
    if objective is not None and not isinstance(objective, Objective):
        raise UserError(
            f"`objective` is a {type(objective).__name__}; give a name, or an Objective that is made, as "
            "ppl_vae.objectives.elbo.TraceELBO()."
        )
    for name, called in (("on_epoch", on_epoch), ("on_step", on_step), ("on_engine", on_engine)):
        if called is not None and not callable(called):
            raise UserError(f"`{name}` is a {type(called).__name__}; give a function.")
    trackers = checked_trackers(trackers)
    settings = checked(changed(_given(settings), named))
    FitConfig().refuse_unread(model, guide, named=named)  # settings as one may be shared by several pairs
    if objective and (
        unread := [name for name in _OF_AN_OBJECTIVE if getattr(settings, name) != getattr(FitConfig(), name)]
    ):
        raise UserError(f"`{unread[0]}` is read by objectives that are named; give it to your own when you make it.")
    if earlier is not None and resume:
        raise UserError("`resume` goes on from a file and `earlier` from memory; give one of them.")
    if earlier is not None and settings.optimizer.weight_average:
        raise UserError("`weight_average` is of one fit alone, and `earlier` makes several one; leave it out.")
    if isinstance(train, Splits):
        validation, train = validation or train.validation, train.train
    check_rows_are_there(train, validation)
    for words in doubts_about(settings, goes_on=earlier is not None):
        warn(words)
    checkpoint_path = None if checkpoint_path is None else path_given("checkpoint_path", checkpoint_path)
    weights_path = None if weights_path is None else path_given("weights_path", weights_path)
    if weights_path and (
        checkpoint_path is None or weights_path.parent != checkpoint_path.parent or weights_path == checkpoint_path
    ):
        raise UserError(f"`weights_path` {weights_path}: name another file in the folder of `checkpoint_path`.")
    validation = validation if validation is not None and len(validation) else None
    refuse_unfit(settings, guide, validation)
    for path in (checkpoint_path, weights_path):
        if path and path.exists() and not resume:
            raise UserError(f"{path} exists; resume it, or choose another path.")
    group = current()
    of_one_fit = checkpoint_path is not None or group.size > 1 or settings.optimizer.weight_average
    in_memory = _in_memory(earlier, bool(of_one_fit))
    if group.size > 1:
        here = Splits(train.to(torch.device("cpu")), validation and validation.to(torch.device("cpu")), None, 0)
        group.agree(**to_plain(settings), resume=resume, data=here.fingerprint())
    check_rows(guide, train.first, len(train))
    device = group.choose_device(settings.device)
    refuse_untrainable(model, guide)
    model.to(device)
    guide.to(device)
    train, validation = train.to(device), validation.to(device) if validation else None
    own = type(objective).__qualname__ if objective else None
    objective = objective or objective_of(settings)
    with seeded(stream(settings.seed, "check"), device):
        probe = train.probe()
        check_pair(model, guide, probe)
        objective.check(model, guide, probe)
        hold_to_mask(model, probe)
        if validation and not tables_of(guide):
            check_runs(validation, model, guide)
    group.wait()  # until nobody looks any more whether there is a checkpoint
    with seeded(stream(settings.seed, "training"), device):
        feed = feed_of(train, settings.step_size)
        state = TrainingState(model, guide, train, settings, own)
        step = EagerStep(model, guide, objective, state.optimizer, feed.data, settings.precision, settings.batch_size)
        of_point = not has_density(guide, probe)
        loop = Loop(step, feed, validation, settings, state, checkpoint_path, weights_path, group, of_point)
        if resume:
            loop.saver.load()
        with seeded(stream(settings.seed, "trial"), device), group.together():
            sizes = sizes_to_come(len(train), settings, group)
            try_steps(model, guide, objective, train, sizes, settings.precision)
        try:
            if in_memory:
                in_memory.begin(state)
            try:
                with tracked(trackers if group.is_first else (), settings, state.history, warn) as following:
                    loop.run(on_epoch, on_step, on_engine, progress, following)
            except Interrupted:
                if in_memory:
                    in_memory.take_from(state)
                if checkpoint_path or not in_memory or not at_a_prompt():
                    raise
                warn(_stopped(len(state.history), settings.epochs))
            else:
                if in_memory:
                    in_memory.take_from(state)
        finally:
            model.eval()
            guide.eval()
    words = loss_in_words(settings, of_point)
    return History(state.history, settings.kl_warmup, of_point, words, in_memory, settings if in_memory else None)


def _given(settings: object) -> FitConfig:
    """The settings of a fit, the defaults where there are none.

    Raises:
        UserError: they are something else.
    """
    if settings is not None and not isinstance(settings, FitConfig):
        what = type(settings).__name__
        raise UserError(f"`settings` is a {what}; give a FitConfig, or each by its name, as epochs=3.")
    return settings or FitConfig()


def _in_memory(earlier: Earlier | History | None, of_one_fit: bool) -> Earlier | None:
    """What a fit goes on from in memory, and is to move on; None where a file holds it, or it is of one fit alone.

    Raises:
        UserError: a history that holds nothing of the kind, or no history.
    """
    if earlier is not None and not isinstance(earlier, History | Earlier):
        raise UserError(f"`earlier` is a {type(earlier).__name__}; give the history that fit has returned, itself.")
    if not isinstance(earlier, History):
        return earlier or (None if of_one_fit else Earlier())
    if earlier.earlier is None:
        raise UserError(
            "`earlier` is a history without what a fit goes on from, as that of a run; resume the run, or leave it out "
            "to go on with the weights alone."
        )
    return replace(earlier.earlier)


def _stopped(done: int, epochs: int) -> str:
    """What is said of a fit that was stopped at a prompt."""
    return (
        f"training was stopped after {done} of {epochs} epochs; the pair keeps what it has learned, and fit can be "
        "called again to go on. Given the history that this call returns, as `earlier`, it goes on as if it had not "
        f"been stopped, to the last of the {epochs}."
    )
