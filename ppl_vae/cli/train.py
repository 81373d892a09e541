"""``ppl-vae train``: SVI training of a model/guide pair."""

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ppl_vae.data import Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import unseen_in
from ppl_vae.data.reading import read_data, say_what_was_read
from ppl_vae.programs.check import likelihood_label
from ppl_vae.programs.density import has_density
from ppl_vae.registry.build import Pair, build_pair
from ppl_vae.registry.presets import PresetName
from ppl_vae.registry.trust import remember
from ppl_vae.reports.caveats import CAVEATS, POINT_IN_WORDS, warn_of_likelihood
from ppl_vae.reports.film import Camera, check_film, develop, film_folder
from ppl_vae.reports.pictures import draw_run
from ppl_vae.reports.report import write_report
from ppl_vae.runs.leftovers import clear_partials, has_learned, refuse_existing_run
from ppl_vae.runs.opening import read_again
from ppl_vae.runs.recorder import Recorder
from ppl_vae.runs.reopening import build_to_reopen, warn_unless_same
from ppl_vae.runs.run import Record, Run, TrainConfig
from ppl_vae.runtime.config import config, to_plain
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import CannotWriteError
from ppl_vae.runtime.folders import locked
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.runtime.processes import LostContactError, current
from ppl_vae.training import fit
from ppl_vae.training.metrics import EpochMetrics, best_epoch
from ppl_vae.training.state import TrainingState

# What may differ between a run and its continuation: nothing that would make its first part another run.
_MAY_CHANGE = {"epochs", "device", "engine", "data", "data_root"}


@config
class Train:
    """Train a model/guide pair by stochastic variational inference and draw what it learned.

    examples:
      ppl-vae train
      ppl-vae train --data mnist --data-root data --latent-dim 50 --epochs 20 --out runs/mnist
      ppl-vae train --data images.npz --family full-rank --patience 20
      ppl-vae train --model mine.py:Model --guide mine.py:Guide
      ppl-vae train --latent-dim 2 --film
      ppl-vae train --preset burda-2 --kl-warmup 20
      ppl-vae train --likelihood normal --binarization none
      ppl-vae train --model sequence --data names.txt --kl-warmup 10
      ppl-vae train --resume runs/mnist --epochs 40
      torchrun --nproc-per-node 2 -m ppl_vae train --data mnist --batch-size 256
    """

    settings: TrainConfig = field(default_factory=TrainConfig)
    """What to train on what."""
    out: Path | None = None
    """The run directory to make; by default the next free runs/DATA-N."""
    resume: Path | None = None
    """Go on with this run, with its settings; only --epochs, --device and --engine may differ, and --data and
    --data-root where its data has moved."""
    trust: bool = False
    """With --resume, run the files that the run names as its model and guide, though they have not been run here
    before."""
    preset: PresetName | None = None
    """A pair of the literature, whose flags these stand for and others override: burda-1 and burda-2, the architectures
    of one and two stochastic layers of Burda et al. 2016."""
    tensorboard: bool = False
    """Also write TensorBoard events into the run directory."""
    film: bool = False
    """Film the latent plane while it is learned, RUN/film.gif; for a latent of size 2."""

    def run(self) -> None:
        """Train, then draw and report."""
        plain = to_plain(self.settings)
        plain["data"] |= {"data": None, "data_root": None}  # where it is may differ by machine, what is in it may not
        current().agree(**plain, resume=self.resume is not None, film=self.film)
        with ExitStack() as held:
            run, splits = self._continued(held) if self.resume else self._begun(held)
            try:
                self._train(run, splits)
            except CannotWriteError as error:
                if not has_learned(run.path):
                    raise
                command = f"{current().command} train --resume {run.path}"
                raise CannotWriteError(f"{error} Then go on with: {command}") from None

    def _train(self, run: Run, splits: Splits) -> None:
        filmed = self.film or film_folder(run).is_dir()  # a resumed film goes on
        extras = {"tensorboard": self.tensorboard, "film": filmed}
        history = train_run(run, splits, resume=bool(self.resume), on_engine=_say_engine, **extras)
        if not current().is_first:
            return
        try:
            _show(run, splits, history)
        except KeyboardInterrupt:
            command = f"ppl-vae train --resume {run.path}"
            message = f"stopped; {run.path} is trained, its pictures and report are still to be drawn: {command}"
            raise KeyboardInterrupt(message) from None
        print(f"run      {run.path}")

    def _begun(self, held: ExitStack) -> tuple[Run, Splits]:
        if self.trust:
            raise UserError("--trust belongs to --resume: the files that you name yourself are run anyway.")
        group, path = current(), ""
        with group.together():
            if self.out and group.is_first:
                refuse_existing_run(self.out)
        splits = group.one_before_all(lambda: read_data(self.settings.data))
        resolved = replace(self.settings, pair=self.settings.pair.absolute(), data=self.settings.data.absolute())
        record = Record.of(resolved, DataInfo.of(splits))
        pair = build_to_reopen(resolved, record.info, splits.train)  # fails before anything is written
        remember(record.files)  # named by the user
        if self.film:
            check_film(pair, record.info.event_shape)
        with group.together():
            if group.is_first:
                warn_of_likelihood(pair, splits.train)
                for words in unseen_in(splits):
                    print(f"warning: {words}", file=sys.stderr)
                say_what_was_read(splits)
                stem = Path(self.settings.data.data).stem
                path = str(held.enter_context(Run.created(record, self.out, stem)).path)
        return Run(Path(group.from_first(path)), record), splits

    def _continued(self, held: ExitStack) -> tuple[Run, Splits]:
        assert self.resume
        if self.out:
            raise UserError("--out and --resume exclude each other: a resumed run stays where it is.")
        run, group = Run.open(self.resume), current()
        with group.together():
            if group.is_first:
                held.enter_context(locked(self.resume))
        changed = _differences(run.record.config, self.settings)
        fixed = sorted(changed - _MAY_CHANGE)
        if fixed:
            flags = ", ".join("--" + name.replace("_", "-") for name in fixed)
            raise UserError(f"{flags} cannot change when a run goes on; start a new run for that, with --out.")
        if "epochs" in changed and self.settings.fit.optimizer.schedule != "constant":
            raise UserError("--epochs cannot change under --schedule cosine, which is laid out over all epochs.")
        settings = replace(self.settings, data=self.settings.data.absolute())
        download = "data_root" in changed
        splits = group.one_before_all(lambda: read_again(run.path, run.record.info, settings.data, download=download))
        done = len(run.history())
        if done > self.settings.fit.epochs:
            raise UserError(f"{self.resume} has {done} epochs already; name more by --epochs, not fewer.")
        pair = run.load_pair(torch.device("cpu"), trust=self.trust)
        TrainingState(*pair, splits.train, settings.fit).check(run.checkpoint)  # before anything is written
        continued = Run(run.path, Record.of(settings, run.record.info))
        if self.film:
            check_film(pair, run.record.info.event_shape)
        with group.together():
            if group.is_first:
                warn_of_likelihood(pair, splits.train)
                for words in unseen_in(splits):
                    print(f"warning: {words}", file=sys.stderr)
                continued.write_record()
        return continued, splits


def train_run(
    run: Run,
    splits: Splits,
    *,
    resume: bool = False,
    tensorboard: bool = False,
    film: bool = False,
    progress: bool | None = None,
    on_engine: Callable[[str], object] | None = None,
) -> list[EpochMetrics]:
    """Train the pair that a run directory records, from its beginning or from its checkpoint.

    Args:
        run: made by ``Run.created``, or opened; no other process writes there.
        splits: the data that it records.
        resume: go on from the checkpoint.
        tensorboard: also write TensorBoard events.
        film: also take the frames of a film.
        progress: show a progress bar; None shows it on a terminal only.
        on_engine: called with the engine that was chosen, and why, in words.

    Returns:
        the metrics of every epoch.

    Raises:
        UserError: it cannot be trained.
        Interrupted: it can be resumed; the message says how.
        LostContactError: another process is gone; the message says how to go on.
    """
    settings, group = run.record.config, current()
    try:
        pair = build_pair(settings.pair, run.record.info, splits.train.x.mean(0), settings.fit.seed)
        with ExitStack() as stack:
            record = None
            with group.together():
                if group.is_first:
                    clear_partials(run.path)
                    run.write_metrics(run.history() if resume else [])
                    record = stack.enter_context(closing(Recorder(run, tensorboard)))
            camera = Camera(run, pair, splits) if film else None
            history = fit(
                *pair,
                splits.train,
                splits.validation,
                settings.fit,
                checkpoint_path=run.checkpoint,
                resume=resume,
                on_epoch=record,
                on_step=camera,
                on_engine=on_engine if group.is_first else None,
                progress=progress,
            )
            if camera and settings.fit.patience:
                camera.finish(best_epoch(history, settings.fit.kl_warmup).epoch)
            if group.is_first:
                warn_unless_same(run, pair, splits.train)
            return history
    except LostContactError:
        command = f"{group.command} train --resume {run.path}"
        raise LostContactError(f"lost contact with another process; go on with: {command}") from None
    except KeyboardInterrupt as interrupt:
        if not run.checkpoint.exists():
            raise
        lost = "" if isinstance(interrupt, Interrupted) else " from its last checkpoint"
        raise Interrupted(f"stopped; go on{lost} with: ppl-vae train --resume {run.path}") from None


def _show(run: Run, splits: Splits, history: list[EpochMetrics]) -> None:
    """Draw what was learned, report, and say how it went."""
    pair = run.load_pair(torch.device("cpu"))
    pictures = draw_run(run, pair, splits)
    for picture in pictures:
        print(f"picture  {picture}")
    if film_folder(run).is_dir():
        _print_film(run, pair, splits)
    report = write_report(run, splits, pictures)
    if report:
        print(f"report   {report.path}")
    kept = best_epoch(history, run.record.config.fit.kl_warmup) if run.record.config.fit.patience else history[-1]
    validation = "" if kept.validation_bound is None else f", validation {kept.validation_bound:.2f}"
    name = "elbo " if run.record.config.fit.objective.startswith("elbo") else "bound"
    print(f"{name}    {kept.bound:.2f} nats per datapoint in epoch {kept.epoch} of {len(history)}{validation}")
    if not has_density(pair.guide, splits.train.probe()):
        print(f"warning: {POINT_IN_WORDS}")
    for warning in report.warnings if report else ():
        print(f"warning: {warning}")
    if caveat := CAVEATS.get(likelihood_label(pair.model, splits.train.probe())):
        print(f"warning: {caveat}")


def _print_film(run: Run, pair: Pair, splits: Splits) -> None:
    try:
        print(f"film     {develop(run, pair, splits)}")
    except CannotWriteError:
        raise
    except Exception as error:  # a finished training must not end in a film that cannot be drawn
        print(f"left out film: {reason(error)}", file=sys.stderr)


def _say_engine(why: str) -> None:
    tqdm.write(f"engine   {why}")


def _differences(old: Any, new: Any) -> set[str]:
    """Names of the fields, at any depth, whose values differ."""
    names: set[str] = set()
    for column in fields(old):
        before, after = getattr(old, column.name), getattr(new, column.name)
        if is_dataclass(before):
            names |= _differences(before, after)
        elif before != after:
            names.add(column.name)
    return names
