"""A training and its run directory: begun, or gone on with, and trained."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ppl_vae.data import Splits
from ppl_vae.data.checks import advice_on
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import unseen_in
from ppl_vae.registry.build import Pair, build_pair, settled
from ppl_vae.registry.suited import data_for, suited
from ppl_vae.registry.trust import remember
from ppl_vae.runs.command_line import command_on
from ppl_vae.runs.film import Camera, check_film
from ppl_vae.runs.leftovers import clear_partials, has_learned, refuse_existing_run
from ppl_vae.runs.opening import read_again
from ppl_vae.runs.reopening import build_to_reopen, changes_unkept
from ppl_vae.runs.run import Record, Run, TrainConfig
from ppl_vae.runtime.errors import UserError, warned
from ppl_vae.runtime.files import CannotWriteError
from ppl_vae.runtime.folders import locked
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.runtime.processes import LostContactError, current
from ppl_vae.training import fit
from ppl_vae.training.metrics import History
from ppl_vae.training.state import TrainingState
from ppl_vae.training.tracking import TensorBoard, Tracker

# What may differ between a run and its continuation: nothing that would make its first part another run.
_MAY_CHANGE = {"epochs", "device", "engine", "data", "data_root"}


class Training(NamedTuple):
    """A run directory in which no other process writes, and the data that it records.

    Args:
        run: with the settings of now.
        splits: its data.
        resumed: whether it goes on from a checkpoint.
        chosen: what was chosen by the data, why, and the settings for another, in one line; empty where nothing was.
    """

    run: Run
    splits: Splits
    resumed: bool
    chosen: str = ""

    @property
    def in_words(self) -> str:
        """A line that says what was chosen; nothing where nothing was."""
        return f"chosen   {self.chosen}\n" if self.chosen else ""


@contextmanager
def begun(
    settings: TrainConfig,
    out: Path | None = None,
    *,
    film: bool = False,
    on_data: Callable[[Splits], object] | None = None,
    warn: Callable[[str], object] = warned,
) -> Iterator[Training]:
    """Make a run directory for a training; inside the block it is this process's own. Under ``torchrun`` all processes
    call it together.

    Args:
        settings: everything that decides its outcome.
        out: where; None for the next free ``runs/DATA-N``.
        film: see that a film of it can be taken.
        on_data: called with the data when pair and data have been seen to suit, before anything is written.
        warn: called with each thing that is to be known of the numbers to come, in words.

    Raises:
        UserError: there is something at ``out``; or the settings, the data or the pair cannot be used.
    """
    group, path = current(), ""
    with group.together():
        if out and group.is_first:
            refuse_existing_run(out)
    splits = group.one_before_all(lambda: data_for(settings.data, settings.pair))
    info, found = DataInfo.of(splits), suited(settings.pair, splits, settings.data.binarization)
    data = replace(settings.data.absolute(), binarization=splits.binarization)
    resolved = replace(settings, pair=settled(found.pair.absolute(), info), data=data)
    record = Record.of(resolved, info, found.chosen)
    pair = build_to_reopen(resolved, record.info, splits.train)  # fails before anything is written
    resolved.fit.refuse_unread(*pair)
    remember(record.files)  # named by the user
    if film:
        check_film(pair, record.info)
    with ExitStack() as held:
        with group.together():
            if group.is_first:
                _warn_of(pair, splits, warn)
                if on_data:
                    on_data(splits)
                path = str(held.enter_context(Run.created(record, out, Path(settings.data.data).stem)).path)
        yield Training(Run(Path(group.from_first(path)), record), splits, resumed=False, chosen=found.words)


@contextmanager
def continued(
    path: Path,
    settings: TrainConfig,
    *,
    trust: bool = False,
    film: bool = False,
    warn: Callable[[str], object] = warned,
) -> Iterator[Training]:
    """Go on with a run; inside the block it is this process's own, and it records the settings of now.

    Args:
        path: of the run.
        settings: its own, but for ``epochs``, ``device`` and ``engine``, and ``data`` and ``data_root`` where its data
            has moved.
        trust: run the files that it names as parts of its pair, whether they have been run before or not.
        film: see that a film of it can be taken.
        warn: called with each thing that is to be known of the numbers to come, in words.

    Raises:
        UserError: it is no run, another process writes there, or it cannot go on with these settings.
    """
    run, group = Run.open(path), current()
    with ExitStack() as held:
        with group.together():
            if group.is_first:
                held.enter_context(locked(path))
        changed = differences(run.record.config, settings)
        fixed = sorted(changed - _MAY_CHANGE)
        if fixed:
            names = ", ".join(f"`{name}`" for name in fixed)
            raise UserError(f"{names} cannot change when a run goes on; start a new run for that, with `out`.")
        if "epochs" in changed and settings.fit.optimizer.has_end:
            raise UserError("`epochs` cannot change under `schedule` cosine, which is laid out over all epochs.")
        settings = replace(settings, data=settings.data.absolute())
        download = "data_root" in changed
        splits = group.one_before_all(lambda: read_again(run.path, run.record.info, settings.data, download=download))
        done = len(run.history())
        if done > settings.fit.epochs:
            raise UserError(f"{path} has {done} epochs already; name more by `epochs`, not fewer.")
        pair = run.load_pair(torch.device("cpu"), trust=trust)
        read = settled(settings.pair, run.record.info, refuse=False)  # earlier versions recorded what nothing read, too
        settings = replace(settings, pair=read)
        TrainingState(*pair, splits.train, settings.fit).check(run.checkpoint)  # before anything is written
        now = Run(run.path, Record.of(settings, run.record.info, run.record.chosen))
        if film:
            check_film(pair, run.record.info)
        with group.together():
            if group.is_first:
                _warn_of(pair, splits, warn)
                now.write_record()
        yield Training(now, splits, resumed=True)


def _warn_of(pair: Pair, splits: Splits, warn: Callable[[str], object]) -> None:
    for words in (*advice_on(splits.train, *pair), *unseen_in(splits)):
        warn(words)


def train_run(
    training: Training,
    *,
    tensorboard: bool = False,
    film: bool = False,
    progress: bool | None = None,
    on_engine: Callable[[str], object] | None = None,
    trackers: Iterable[Tracker] = (),
    warn: Callable[[str], object] = warned,
) -> History:
    """Train the pair that a run directory records, from its beginning or from its checkpoint.

    Args:
        training: of :func:`begun` or :func:`continued`.
        tensorboard: also write TensorBoard events.
        film: also take the frames of a film.
        progress: show a progress bar; None shows it on a terminal and in a notebook.
        on_engine: called with the engine that was chosen, and why, in words.
        trackers: who else follows it, see :func:`ppl_vae.training.fit`.
        warn: called, in words, with settings that do other than their names say, and if the run opens as another pair
            than was trained.

    Returns:
        the metrics of every epoch.

    Raises:
        UserError: it cannot be trained.
        Interrupted: it can be resumed.
        LostContactError: another process is gone.
    """
    run, splits, resumed, _ = training
    settings, group = run.record.config, current()
    pair = build_pair(settings.pair, run.record.info, splits.train, settings.fit.seed)
    followed_by = list(trackers)
    with group.together():
        if group.is_first:
            clear_partials(run.path)
            if tensorboard:
                followed_by.append(TensorBoard(run.path / "tensorboard"))
            run.write_metrics(run.history() if resumed else [])
    camera = Camera(run, pair, splits) if film else None
    history = fit(
        *pair,
        splits.train,
        splits.validation,
        settings.fit,
        checkpoint_path=run.checkpoint,
        weights_path=run.weights,
        resume=resumed,
        on_epoch=run.append_metrics if group.is_first else None,
        on_step=camera,
        on_engine=on_engine if group.is_first else None,
        trackers=followed_by,
        progress=progress,
        warn=warn,
    )
    if camera and settings.fit.patience:
        camera.finish(history.best.epoch)
    if group.is_first and (words := changes_unkept(run, pair, splits.train)):
        warn(words)
    return history


@contextmanager
def told_how_to_go_on(run: Run) -> Iterator[None]:
    """What stops a training inside the block says by which command it goes on."""
    command = command_on("train", resume=run.path).removeprefix("ppl-vae ")
    try:
        yield
    except LostContactError:
        found = f"lost contact with another process; go on with: {current().command} {command}"
        raise LostContactError(found) from None
    except KeyboardInterrupt as interrupt:
        if (interrupt.args and not isinstance(interrupt, Interrupted)) or not run.checkpoint.exists():
            raise  # it says so itself, or there is nothing to go on with
        lost = "" if isinstance(interrupt, Interrupted) else " from its last checkpoint"
        raise Interrupted(f"stopped; go on{lost} with: ppl-vae {command}") from None
    except CannotWriteError as error:
        if not has_learned(run.path):
            raise
        raise CannotWriteError(f"{error} Then go on with: {current().command} {command}") from None


def differences(old: Any, new: Any) -> set[str]:
    """Names of the fields of two configurations, at any depth, whose values differ."""
    names: set[str] = set()
    for column in fields(old):
        before, after = getattr(old, column.name), getattr(new, column.name)
        if is_dataclass(before):
            names |= differences(before, after)
        elif isinstance(before, dict):
            names |= {name for name in before | after if before.get(name) != after.get(name)}
        elif before != after:
            names.add(column.name)
    return names
