"""Fitting a pair: epochs of SVI steps, with warm-up, early stopping, checkpoints and progress."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import nn
from tqdm import tqdm

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.splits import Splits
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.objectives.elbo import Objective, kl_weight_at
from ppl_vae.objectives.importance_weighted import ImportanceWeighted
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.rows import check_rows, tables_of
from ppl_vae.runtime.ambient import apart
from ppl_vae.runtime.config import checked, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.interrupt import Interrupted, InterruptGuard
from ppl_vae.runtime.processes import Group, current
from ppl_vae.runtime.seeding import reseed, seeded, stream
from ppl_vae.runtime.turns import turn
from ppl_vae.svi import choose_step
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.engine import Step, after_callback
from ppl_vae.training.config import FitConfig, final_kl_weight, objective_of
from ppl_vae.training.metrics import EpochMetrics, History
from ppl_vae.training.saving import Saver
from ppl_vae.training.state import TrainingState
from ppl_vae.training.trial import refuse_untrainable, sizes_to_come, told, try_steps

__all__ = ["FitConfig", "fit", "objective_of"]

# Where a step or a validation fails that has gone well before.
_ADVICE = "mend the program, or lower the learning rate where a value has left its range"


@turn("training")
@apart()
@torch.enable_grad()
def fit(
    model: nn.Module,
    guide: nn.Module,
    train: Dataset,
    validation: Dataset | None = None,
    settings: FitConfig | None = None,
    *,
    checkpoint_path: Path | str | None = None,
    resume: bool = False,
    on_epoch: Callable[[EpochMetrics], object] | None = None,
    on_step: Callable[[int], object] | None = None,
    on_engine: Callable[[str], object] | None = None,
    progress: bool | None = None,
) -> History:
    """Train a pair by stochastic variational inference (Hoffman et al. 2013; Kingma and Welling 2014).

    The pair is moved to the device and changed in place, and comes back in evaluation mode. With ``patience`` it ends
    with the best epoch's weights; patience begins after the KL's warm-up. One thread trains or evaluates at a time, and
    the caller's autocast, inference mode and Pyro handlers stay outside. A second call goes on with the weights alone:
    with another optimizer, from its first step, and its epochs are counted from 1 again.

    Inside ``with ppl_vae.runtime.processes.joined()``, under ``torchrun``, all processes call this together, with the
    same arguments; each computes its part of every minibatch, and they begin with the first one's weights.

    Args:
        model: p(x, z); the contract is in ``models/base.py``.
        guide: q(z | x); the contract is in ``guides/base.py``.
        train: the data.
        validation: for the validation bound and early stopping.
        settings: how; the defaults of :class:`FitConfig` if None.
        checkpoint_path: written at the start, as training goes on, when it is interrupted and at the end.
        resume: go on from ``checkpoint_path``, in as many processes as you like. On the CPU, in as many as before, the
            weights are bit for bit those of never having stopped; of one process, all is.
        on_epoch: called with the metrics after each epoch, in every process; what it changes of the pair counts from
            then on (weights, settings of the modules, which parameters are moved).
        on_step: called with the number of steps done, before the first one and after each, in every process; the
            pair's parameters then are that step's. What it changes counts too, unless it returns False: to look for
            changes takes as long as a small step.
        on_engine: called with the engine that was chosen, and why, in words.
        progress: show a progress bar; None shows it on a terminal only.

    Returns:
        the metrics of every epoch, resumed ones included; a list that prints, draws and tabulates itself.

    Raises:
        UserError: settings out of range, a pair that does not match, a foreign checkpoint; a pair that fails at a step
            or diverges. The last checkpoint is whole.
        Interrupted: Ctrl-C, SIGTERM or a closed terminal, after the checkpoint has been written. A second one, and one
            while a step is compiled, is a bare KeyboardInterrupt, and the checkpoint the last one that was written.
        LostContactError: another process is gone; the last checkpoint is whole.
    """
    settings = checked(settings or FitConfig())
    check_rows_are_there(train, validation)
    checkpoint_path = Path(checkpoint_path) if checkpoint_path else None
    validation = validation if validation is not None and len(validation) else None
    if settings.patience and validation is None:
        raise UserError("patience needs validation data; give a validation fraction above 0, or patience 0.")
    if settings.patience and tables_of(guide):
        raise UserError("patience needs a guide that takes unseen data; a per-datapoint guide knows its own only.")
    if checkpoint_path and checkpoint_path.exists() and not resume:
        raise UserError(f"{checkpoint_path} exists; resume it, or choose another path.")
    group = current()
    if group.size > 1:
        here = Splits(train.to(torch.device("cpu")), validation and validation.to(torch.device("cpu")), None, 0)
        group.agree(**to_plain(settings), resume=resume, data=here.fingerprint())
    check_rows(guide, train.first, len(train))
    device = group.choose_device(settings.device)
    refuse_untrainable(model, guide)
    model.to(device)
    guide.to(device)
    train, validation = train.to(device), validation.to(device) if validation else None
    objective = objective_of(settings)
    with seeded(stream(settings.seed, "check"), device):
        probe = train.probe()
        check_pair(model, guide, probe)
        objective.check(model, guide, probe)
        if validation and not tables_of(guide):
            check_runs(validation, model, guide)
    group.wait()  # until nobody looks any more whether there is a checkpoint
    with seeded(stream(settings.seed, "training"), device):
        run = _Run(model, guide, objective, train, validation, settings, checkpoint_path, group)
        if resume:
            run.saver.load()
        with seeded(stream(settings.seed, "trial"), device), group.together():
            sizes = sizes_to_come(len(train), settings.batch_size, group)
            try_steps(model, guide, objective, train, sizes, settings.precision)
        try:
            run.train(on_epoch, on_step, on_engine, progress)
        finally:
            model.eval()
            guide.eval()
    return History(run.state.history, settings.kl_warmup)


class _Run:
    """One training run: its state, and its loop."""

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: Objective,
        data: Dataset,
        validation: Dataset | None,
        settings: FitConfig,
        checkpoint_path: Path | None,
        group: Group,
    ) -> None:
        self.model, self.guide, self.objective, self.group = model, guide, objective, group
        self.data, self.validation, self.settings = data, validation, settings
        self.state = TrainingState(model, guide, data, settings)
        self.distributed = (
            DistributedStep(model, guide, objective, self.state.optimizer, data, group, settings.precision)
            if group.size > 1
            else None
        )
        self.saver = Saver(self.state, checkpoint_path, group, self.distributed)
        self.validation_seconds = 0.0  # what the last one took, during which nothing is saved

    def train(
        self,
        on_epoch: Callable[[EpochMetrics], object] | None,
        on_step: Callable[[int], object] | None,
        on_engine: Callable[[str], object] | None,
        progress: bool | None,
    ) -> None:
        state, epochs = self.state, self.settings.epochs
        done = state.steps_done
        hide = True if not self.group.is_first else None if progress is None else not progress
        total = epochs * state.steps_per_epoch
        bar = tqdm(total=total, initial=done, unit="step", disable=hide, dynamic_ncols=True)
        self.model.train()
        self.guide.train()
        for program in (self.model, self.guide):
            self.group.copy_first([*program.parameters(), *program.buffers()])
        with bar, InterruptGuard() as interrupt, pyro.validation_enabled(False):
            if not state.history and state.order is None:
                self.saver.save()
            take_step = self.choose_step(bar, on_engine, interrupt)
            if on_step:
                on_step(done)
            while len(state.history) < epochs and not state.stopped_early():
                start = time.perf_counter()
                if state.order is None:
                    state.order = torch.randperm(len(self.data), device=self.data.x.device)
                    self.group.copy_first([state.order])
                    state.step = 0
                    state.sums.zero_()
                for index in state.order.split(self.settings.batch_size)[state.step :]:
                    with told(f"step {state.step + 1} of epoch {state.epoch}", _ADVICE, self.model, self.guide):
                        state.sums += take_step(index, self.prepare_step())
                    state.step += 1
                    done += 1
                    bar.update()
                    if on_step and on_step(done) is not False:
                        take_step = after_callback(take_step, on_engine)
                    # In all processes after the same step.
                    stop, due = self.group.any(interrupt.requested, self.saver.is_due())
                    if stop or due:
                        self.saver.save()
                    if stop:
                        raise Interrupted("training was stopped between two steps; resume its checkpoint to go on")
                metrics = self.end_epoch(start)
                bar.set_postfix_str(_summary(metrics), refresh=False)
                if on_epoch:
                    on_epoch(metrics)
                    take_step = after_callback(take_step, on_engine)
            self.saver.save()  # the last epoch's weights with the last epoch's moments: it could go on from here
            if any(self.group.any(interrupt.requested)):
                raise Interrupted("training was stopped at its end; resume its checkpoint for more epochs")
        if self.settings.patience and state.best:
            self.model.load_state_dict(state.best["model"])
            self.guide.load_state_dict(state.best["guide"])

    def choose_step(
        self, bar: "tqdm[Any]", on_engine: Callable[[str], object] | None, interrupt: InterruptGuard
    ) -> Step:
        """What takes the steps; only now, since a traced step holds the very tensors that a checkpoint was put in."""
        settings = self.settings
        if self.distributed:
            bar.set_description("training")
            if on_engine:
                on_engine(f"eager: {self.group.size} processes share each step, and none of them traces it")
            return self.distributed
        bar.set_description("preparing")
        with interrupt.at_once():  # compiling takes a minute, and has changed nothing
            step, why = choose_step(
                settings.engine,
                self.model,
                self.guide,
                self.objective,
                self.state.optimizer,
                self.data,
                settings.batch_size,
                settings.epochs * self.state.steps_per_epoch,
                settings.precision,
            )
        bar.set_description("training")
        bar.unpause()  # what was spent on compiling says nothing about how long the rest will take
        if on_engine:
            on_engine(why)
        return step

    def prepare_step(self) -> float:
        """Set the step size of the coming step, and the noise of processes but the first; return its KL weight."""
        settings, steps, count = self.settings, self.state.steps_per_epoch, self.state.steps_done
        self.state.optimizer.set_progress(count / (settings.epochs * steps))
        if not self.group.is_first:  # by the step, so that no checkpoint need hold a generator for each process
            reseed(stream(settings.seed, f"training, rank {self.group.rank}, step {count}"), self.data.x.device)
        return kl_weight_at(count, settings.kl_warmup * steps, final_kl_weight(settings))

    def end_epoch(self, start: float) -> EpochMetrics:
        """Read the epoch's sums (the one wait for the device), validate, remember the best."""
        state, settings = self.state, self.settings
        if self.distributed:
            self.distributed.make_whole()
        sums = self.group.total(state.sums)
        bound, reconstruction, kl = (sums / len(self.data)).tolist()
        if not math.isfinite(bound):
            raise state.diverged(f"reconstruction {reconstruction:g}, KL {kl:g}")
        self.saver.refuse_divergence(sums)
        validation_bound = None
        if self.validation is not None and not state.optimizer.tables:
            if any(self.group.any(self.saver.is_due(pause=self.validation_seconds))):
                self.saver.save()
            began = time.monotonic()
            own = self.validate(self.validation) if self.group.is_first else math.nan
            validation_bound = self.group.from_first(own)
            if not math.isfinite(validation_bound):
                raise state.diverged(f"validation bound {validation_bound:g}")
            self.validation_seconds = time.monotonic() - began
        epoch, steps = state.epoch, state.steps_per_epoch
        weight = kl_weight_at(epoch * steps - 1, settings.kl_warmup * steps, final_kl_weight(settings))
        seconds = time.perf_counter() - start
        elbo = reconstruction - kl
        metrics = EpochMetrics(epoch, elbo, bound, reconstruction, kl, weight, validation_bound, seconds)
        state.end_epoch(metrics)
        return metrics

    def validate(self, data: Dataset) -> float:
        """The bound that is trained, on other data, nats per datapoint."""
        seed = stream(self.settings.seed, "validation")  # the same every epoch: what changes is the pair
        with told(f"the validation after epoch {self.state.epoch}", _ADVICE, self.model, self.guide):
            if isinstance(self.objective, ImportanceWeighted):
                return importance_bound(self.model, self.guide, data, self.settings.num_particles, seed).mean
            return elbo(self.model, self.guide, data, seed=seed).elbo.mean


def _summary(metrics: EpochMetrics) -> str:
    text = f"epoch {metrics.epoch}, bound {metrics.bound:.2f}"
    if metrics.validation_bound is not None:
        text += f", validation {metrics.validation_bound:.2f}"
    return text
