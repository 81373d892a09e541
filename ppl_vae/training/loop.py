"""The loop of a fit: epochs of steps, with warm-up, validation, early stopping, checkpoints and progress."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyro
import torch
from torch import Tensor

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.streaming.feeds import Feed
from ppl_vae.objectives.elbo import Validated, kl_weight_at
from ppl_vae.runtime.interrupt import Interrupted, InterruptGuard
from ppl_vae.runtime.processes import Group
from ppl_vae.runtime.progress import Bar
from ppl_vae.runtime.seeding import reseed, stream
from ppl_vae.svi import EagerStep, choose_step
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.engine import Step, after_callback, begins_eagerly
from ppl_vae.svi.schedule import halvings, rate_factor
from ppl_vae.training.config import FitConfig, final_kl_weight
from ppl_vae.training.metrics import EpochMetrics
from ppl_vae.training.saving import Saver
from ppl_vae.training.state import TrainingState
from ppl_vae.training.trial import told

Say = Callable[[str], object]

# Where a step or a validation fails that has gone well before.
_ADVICE = "fix the program, or lower the learning rate if a value has left its range"


class Loop:
    """The steps of a fit, from where its state stands to its end.

    Args:
        step: of the pair on what the feed holds.
        feed: the training data.
        validation: other data, or None.
        settings: of the fit.
        state: what it has come to; the loop moves it on.
        checkpoint_path: where that is kept, or None.
        weights_path: where its weights are kept, if not there.
        group: the processes that take the steps together.
        of_point: whether the guide is a point, so that there is no bound and what is maximised is followed.
    """

    def __init__(
        self,
        step: EagerStep,
        feed: Feed,
        validation: Dataset | None,
        settings: FitConfig,
        state: TrainingState,
        checkpoint_path: Path | None,
        weights_path: Path | None,
        group: Group,
        of_point: bool = False,
    ) -> None:
        self.step, self.validation, self.settings, self.state, self.group = step, validation, settings, state, group
        self.feed = feed
        self.distributed = DistributedStep(step, group) if group.size > 1 else None
        self.eager = self.distributed or step
        self.of_point = of_point
        self.saver = Saver(state, checkpoint_path, weights_path, group, self.distributed)
        self.halved = 0  # how often a plateau has been reached
        self.validation_seconds = 0.0  # what the last one took, during which nothing is saved

    def run(
        self,
        on_epoch: Callable[[EpochMetrics], object] | None,
        on_step: Callable[[int], object] | None,
        on_engine: Say | None,
        progress: bool | None,
        followers: Sequence[Callable[[EpochMetrics], object]] = (),
    ) -> None:
        """Train to the last epoch, or to the end of patience; the arguments are those of :func:`ppl_vae.fit`, and
        ``followers`` are told of each epoch."""
        state = self.state
        self._begin()
        with self._bar(progress) as bar, InterruptGuard() as interrupt, pyro.validation_enabled(False):
            if not state.history and state.order is None:
                self.saver.save()
            waits = not state.history and self._begins_eagerly()
            take_step: Step = self.eager if waits else self._choose_step(bar, on_engine, interrupt)
            if on_step:
                on_step(state.steps_done)
            while len(state.history) < self.settings.epochs and not state.stopped_early():
                start = time.perf_counter()
                for index in self._batches_to_come():
                    with told(f"step {state.step + 1} of epoch {state.epoch}", _ADVICE, *self._pair):
                        state.sums += take_step(index, self._prepare_step())
                    state.step += 1
                    state.average.update(state.steps_done)
                    bar.update()
                    looked = on_step is None or on_step(state.steps_done) is False
                    if self._save_or_stop(interrupt, changed=not looked):
                        take_step = after_callback(take_step, on_engine)
                metrics = self._end_epoch(start)
                bar.set_postfix_str(self._summary(metrics), refresh=False)
                for follower in followers:
                    follower(metrics)
                if on_epoch:
                    on_epoch(metrics)
                if any(self.group.any(on_epoch is not None)):
                    take_step = after_callback(take_step, on_engine)
                if waits:
                    waits, take_step = False, self._choose_step(bar, on_engine, interrupt)
            self.saver.save()  # the last epoch's weights with the last epoch's moments: it could go on from here
            if any(self.group.any(interrupt.requested)):
                raise Interrupted("training was stopped at its end; resume its checkpoint for more epochs")
        self._keep_the_best()

    @property
    def _pair(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        return self.step.model, self.step.guide

    def _begin(self) -> None:
        """Training mode, and in every process the first one's weights."""
        for program in self._pair:
            program.train()
            self.group.copy_first([*program.parameters(), *program.buffers()])
        if not self.state.steps_done:
            self.state.average.restart()

    @contextmanager
    def _bar(self, progress: bool | None) -> Iterator[Bar]:
        shown = progress if self.group.is_first else False
        total = self.settings.epochs * self.state.steps_per_epoch
        with Bar(total, "step", "training", shown, self.state.steps_done, dynamic_ncols=True) as bar:
            yield bar

    def _batches_to_come(self) -> Iterator[Tensor]:
        """The rows of each step that this epoch still has; at its beginning, in a new order."""
        state, settings = self.state, self.settings
        if state.order is None:
            state.order = self.feed.order()
            self.group.copy_first([state.order])
            state.step = 0
            state.sums.zero_()
        self.halved = halvings(state.followed_bounds())
        seed = stream(settings.seed, f"order of epoch {state.epoch}")
        return self.feed.batches(state.order, settings.step_size, state.step, seed)

    def _prepare_step(self) -> float:
        """Set the step size of the coming step, and the noise of processes but the first; return its KL weight."""
        settings, steps, count = self.settings, self.state.steps_per_epoch, self.state.steps_done
        how = settings.optimizer
        self.state.optimizer.scale_rates(
            rate_factor(how.schedule, count, how.rate_warmup * steps, settings.epochs * steps, self.halved)
        )
        if not self.group.is_first:  # by the step, so that no checkpoint need hold a generator for each process
            reseed(stream(settings.seed, f"training, rank {self.group.rank}, step {count}"), self.step.data.device)
        return kl_weight_at(count, settings.kl_warmup * steps, final_kl_weight(settings))

    def _save_or_stop(self, interrupt: InterruptGuard, *, changed: bool) -> bool:
        """Where a signal has come or a checkpoint is due, in all processes after the same step.

        Args:
            interrupt: whether it has.
            changed: whether a callback may have changed the pair in this process.

        Returns:
            whether one may have in any.
        """
        stop, due, changed = self.group.any(interrupt.requested, self.saver.is_due(), changed)
        if stop or due:
            self.saver.save()
        if stop:
            raise Interrupted("training was stopped between two steps; resume its checkpoint to go on")
        return changed

    def _end_epoch(self, start: float) -> EpochMetrics:
        """Read the epoch's sums (the one wait for the device), validate, remember the best."""
        state, settings = self.state, self.settings
        if self.distributed:
            self.distributed.make_whole()
        sums = self.group.total(state.sums)
        bound, reconstruction, kl = (sums / state.num_data).tolist()
        if not math.isfinite(bound):
            raise state.diverged(f"reconstruction {reconstruction:g}, KL {kl:g}")
        self.saver.refuse_divergence(sums)
        validated = None
        if self.validation is not None and not state.optimizer.tables:
            validated = self._validate(self.validation)
        epoch, steps = state.epoch, state.steps_per_epoch
        weight = kl_weight_at(epoch * steps - 1, settings.kl_warmup * steps, final_kl_weight(settings))
        if self.of_point:
            bound = reconstruction - weight * kl
            validated = validated and validated._replace(bound=validated.reconstruction - weight * validated.kl)
        other = (validated.reconstruction, validated.kl) if validated else (None, None)
        metrics = EpochMetrics(
            epoch,
            reconstruction - kl,
            bound,
            reconstruction,
            kl,
            weight,
            validated.bound if validated else None,
            time.perf_counter() - start,
            *other,
        )
        state.end_epoch(metrics)
        return metrics

    def _validate(self, data: Dataset) -> Validated:
        """The bound that is trained, on other data, in nats per datapoint; by the first process, for all."""
        if any(self.group.any(self.saver.is_due(pause=self.validation_seconds))):
            self.saver.save()
        began = time.monotonic()
        found = self.group.from_first(self._validated(data) if self.group.is_first else None)
        assert found is not None  # the first process has it
        if not math.isfinite(found.bound):
            raise self.state.diverged(f"validation bound {found.bound:g}")
        self.validation_seconds = time.monotonic() - began
        return found

    def _validated(self, data: Dataset) -> Validated:
        seed = stream(self.settings.seed, "validation")  # the same every epoch: what changes is the pair
        where = f"the validation after epoch {self.state.epoch}"
        with self.state.average.in_place(), told(where, _ADVICE, *self._pair):
            return self.step.objective.validated(*self._pair, data, seed)

    def _begins_eagerly(self) -> bool:
        settings, steps = self.settings, self.state.steps_per_epoch
        return begins_eagerly(settings.engine, self.eager, settings.step_size, steps, settings.epochs)

    def _choose_step(self, bar: Bar, on_engine: Say | None, interrupt: InterruptGuard) -> Step:
        """What takes the steps; only now, since a traced step holds the very tensors that a checkpoint was put in."""
        settings = self.settings
        bar.set_description("preparing")
        num_steps = settings.epochs * self.state.steps_per_epoch
        with interrupt.at_once():  # compiling takes up to half a minute, and has changed nothing
            step, why = choose_step(settings.engine, self.eager, settings.step_size, num_steps)
        bar.set_description("training")
        bar.unpause()  # what was spent on compiling says nothing about how long the rest will take
        if on_engine:
            on_engine(why)
        return step

    def _keep_the_best(self) -> None:
        """With patience, the best epoch's weights, and of these or the last ones their mean where one is asked for."""
        self.state.average.put()
        if self.settings.patience and self.state.best:
            for name, program in zip(("model", "guide"), self._pair, strict=True):
                program.load_state_dict(self.state.best[name])

    def _summary(self, metrics: EpochMetrics) -> str:
        factor = "" if metrics.kl_weight == 1 else f"{metrics.kl_weight:g} "
        name = f"reconstruction{f' + {factor}log p(z)' if metrics.kl_weight else ''}" if self.of_point else "bound"
        text = f"epoch {metrics.epoch}, {name} {metrics.bound:.2f}"
        if metrics.validation_bound is not None:
            text += f", validation {metrics.validation_bound:.2f}"
        return text
