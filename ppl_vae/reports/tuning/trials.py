"""The trials of a study, in Optuna's journal: what each is suggested, how it trains, when it is ended early.

Suggestions are those of a tree-structured Parzen estimator (Bergstra et al. 2011), and a training is ended early where
its validation bound is below the median of the others' at the same epoch; both are Optuna's (Akiba et al. 2019). What
a trial is suggested depends on those before it and on the seed alone.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ppl_vae.data import Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.registry.build import build_pair, settled
from ppl_vae.registry.files import users_errors_told
from ppl_vae.reports.tuning.importance import distributions_of
from ppl_vae.reports.tuning.result import AT_RANDOM
from ppl_vae.reports.tuning.searched import Searched
from ppl_vae.reports.tuning.suitable import NO_BOUND, POINT, unread_of
from ppl_vae.reports.tuning.terms import TuneConfig, with_values
from ppl_vae.reports.tuning.trial import Trial
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.errors import UserError, in_words, is_out_of_memory
from ppl_vae.runtime.files import CannotWriteError, writing
from ppl_vae.runtime.interrupt import inside_more
from ppl_vae.runtime.progress import Bar
from ppl_vae.runtime.seeding import stream
from ppl_vae.training import fit
from ppl_vae.training.metrics import EpochMetrics
from ppl_vae.training.state import DivergedError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_UNPRUNED = 0.2  # share of the epochs in which none is ended early


def needs_optuna() -> None:
    """See that it is there, and says no more than it has to.

    Raises:
        UserError: it is not.
    """
    try:
        import optuna
    except ImportError:
        raise UserError("Optuna is not installed; pip install 'ppl_vae[tune]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trials_of(
    terms: TuneConfig,
    searched: Sequence[Searched],
    base: TrainConfig,
    splits: Splits,
    out: Path,
    progress: bool | None,
    warn: Callable[[str], object],
) -> tuple[Trial, ...]:
    """The trials of a study, those of before and as many more as are still to come."""
    with _study(out / "study.log", splits, base.fit.epochs) as study:
        done = _finished(study)
        with Bar(terms.trials, "trial", "tuning", progress, len(done)) as bar:
            while len(done := _finished(study)) < terms.trials:
                _try_one(study, searched, base, splits, len(done), warn)
                bar.update()
        by_name = {each.name: each for each in searched}
        return tuple(_told(number, found, by_name) for number, found in enumerate(done))


@contextmanager
def _study(path: Path, splits: Splits, epochs: int) -> "Iterator[Study]":
    """The study in that journal; a trial that a kill has left half-done is done again."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    with writing(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="ppl_vae",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(AT_RANDOM, round(_UNPRUNED * epochs)),
        )
        if study.user_attrs.get("data", splits.fingerprint()) != splits.fingerprint():
            raise UserError(f"the data is not what {path.parent} was begun with; choose another `out`.")
        study.set_user_attr("data", splits.fingerprint())
        for half in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(half.number, state=TrialState.FAIL)
        yield study


def _finished(study: "Study") -> "list[FrozenTrial]":
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def _try_one(
    study: "Study",
    searched: Sequence[Searched],
    base: TrainConfig,
    splits: Splits,
    number: int,
    warn: Callable[[str], object],
) -> None:
    from optuna import TrialPruned
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    # By the trial's place, so that a study that goes on is suggested what one that has not stopped is.
    seed = stream(base.fit.seed, f"trial {number}") % 2**32
    study.sampler = TPESampler(n_startup_trials=AT_RANDOM, seed=seed)
    trial = study.ask(distributions_of(searched) if number else {})
    values = {each.name: each.valued(trial.params[each.name]) for each in searched} if number else {}

    def follow(metrics: EpochMetrics) -> None:
        if metrics.validation_bound is None:
            raise UserError(NO_BOUND)
        trial.report(metrics.validation_bound, metrics.epoch)
        if number and trial.should_prune():
            raise TrialPruned

    try:
        settings = with_values(base, values)
        if unread := unread_of(settings, values, DataInfo.of(splits)):
            trial.set_user_attr("unread", unread)
            settings = with_values(base, {name: value for name, value in values.items() if name not in unread})
        bound = _bound_of(settings, splits, follow, (lambda _: None) if number else warn)
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except BaseException as error:
        if not number or not _is_of_settings(error):
            study.tell(trial, state=TrialState.FAIL)
            raise
        # Told from what was merely worse; it counts, or a study would try the same whenever it went on, without end.
        diverged = isinstance(error, DivergedError)
        trial.set_user_attr("ended", "diverged" if diverged else "failed")
        trial.set_user_attr("why", "" if diverged else in_words(error, interrupted=False)[0])
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, bound)


def _is_of_settings(error: BaseException) -> bool:
    """Whether another trial may be spared an error: one of what was set, or of a model too large for the memory."""
    if isinstance(error, CannotWriteError):
        return False
    return isinstance(error, UserError) or is_out_of_memory(error)


@users_errors_told()
def _bound_of(
    settings: TrainConfig,
    splits: Splits,
    follow: Callable[[EpochMetrics], object],
    warn: Callable[[str], object],
) -> float:
    """The validation bound of the weights that a training with these settings keeps."""
    info, seed = DataInfo.of(splits), settings.fit.seed
    pair = build_pair(settled(settings.pair, info), info, splits.train, seed)
    settings.fit.refuse_unread(*pair)
    with inside_more():
        history = fit(*pair, splits.train, splits.validation, settings.fit, on_epoch=follow, progress=False, warn=warn)
    if history.of_point:
        raise UserError(POINT)
    kept = history.best if settings.fit.patience else history[-1]
    assert kept.validation_bound is not None  # or it was refused after the first epoch
    return kept.validation_bound


def _told(number: int, found: "FrozenTrial", searched: Mapping[str, Searched]) -> Trial:
    """A trial as it stands in the journal."""
    read = searched.keys() - found.user_attrs.get("unread", [])
    values = {name: searched[name].valued(value) for name, value in found.params.items() if name in read}
    early = "" if found.value is not None and found.state.name == "COMPLETE" else "early"
    ended, why = found.user_attrs.get("ended", early), found.user_attrs.get("why", "")
    return Trial(number, values, found.value, (found.last_step or 0), ended, why)
