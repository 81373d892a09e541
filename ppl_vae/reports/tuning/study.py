"""A study of settings: trainings one after the other, in a folder where it goes on; the best one beside the settings as
they were given, on test data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ppl_vae.data import DataConfig, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.evaluation import EvaluateConfig
from ppl_vae.registry.build import settled
from ppl_vae.registry.suited import data_for, suited
from ppl_vae.reports.next_steps import ended_too_soon
from ppl_vae.reports.tuning.report import write_tuning_report
from ppl_vae.reports.tuning.result import Tuning
from ppl_vae.reports.tuning.suitable import refuse_unsuitable
from ppl_vae.reports.tuning.terms import TuneConfig, in_words, searched_by, values_in, with_values
from ppl_vae.reports.tuning.trial import Elbos, best_of
from ppl_vae.reports.tuning.trials import needs_optuna, trials_of
from ppl_vae.runs.command_line import changed_from
from ppl_vae.runs.evaluating import evaluate_run
from ppl_vae.runs.opened import SplitName, open_run
from ppl_vae.runs.paths import numbered
from ppl_vae.runs.run import Run, TrainConfig
from ppl_vae.runs.training import begun, continued, train_run
from ppl_vae.runtime.config import changed, checked, from_plain
from ppl_vae.runtime.errors import UserError, warned
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import claimed
from ppl_vae.runtime.progress import Bar
from ppl_vae.training import FitConfig


def tune(
    search: Mapping[str, Sequence[Any]] | None = None,
    data: DataConfig | Path | str | None = None,
    *,
    out: Path | str | None = None,
    report: bool = True,
    warn: Callable[[str], object] = warned,
    **named: object,
) -> Tuning:
    """Search settings of data's model, guide and training by the validation bound.

    Args:
        search: by the name of a setting, of any that a training takes, a range as the tuple of its ends,
            ``{"learning_rate": (1e-4, 1e-2)}``, or a list of values,
            ``{"guide": ["amortized", "amortized:full-rank"]}``. None is what :class:`TuneConfig` searches.
        data: its settings, or just its name or path.
        out: a folder for the study, new or of the same one, which goes on there, to more trials if more are asked for;
            None for a temporary one.
        report: draw pictures and write ``report.html``, where there is a folder.
        warn: called with each thing that is to be known of the numbers to come, in words.
        named: fields of :class:`TuneConfig`, at any depth, and settings of the pair's parts: ``trials=50``,
            ``epochs=30``, ``latent_dim=2``.

    Raises:
        UserError: settings or data cannot be used, ``out`` holds something else, or Optuna is not installed.
    """
    terms = TuneConfig() if search is None else TuneConfig(search=in_words(search))
    if isinstance(data, DataConfig):
        terms = replace(terms, settings=replace(terms.settings, data=data))
    elif data is not None:
        named = {"data": str(data), **named}
    own: dict[str, object] = {name: named.pop(name) for name in ("trials", "num_samples") if name in named}
    terms = checked(changed(replace(terms, settings=with_values(terms.settings, named)), own))
    if out is not None:
        return run_study(terms, Path(out), report=report, warn=warn)
    with TemporaryDirectory() as folder:
        return replace(run_study(terms, Path(folder) / "study", report=False, warn=warn), runs={}, files={})


def run_study(
    terms: TuneConfig,
    out: Path | None = None,
    *,
    report: bool = True,
    on_data: Callable[[Splits], object] | None = None,
    on_folder: Callable[[Path], object] | None = None,
    progress: bool | None = None,
    warn: Callable[[str], object] = warned,
) -> Tuning:
    """:func:`tune`, on these terms, in a folder that is kept; the same call goes on where it was stopped.

    Args:
        terms: of the study.
        out: the folder to make, or to go on in; None for the next free ``runs/tune-N``.
        report: draw pictures and write ``report.html``.
        on_data: called with the data before anything is written.
        on_folder: called with the folder when it is there.
        progress: show a progress bar; None shows it on a terminal and in a notebook.
        warn: called with each thing that is to be known of the numbers to come, in words.
    """
    needs_optuna()
    said: list[str] = []

    def warn_once(words: str) -> None:
        if words not in said:
            said.append(words)
            warn(words)

    searched = searched_by(terms)
    splits = data_for(terms.settings.data, terms.settings.pair)
    if splits.validation is None or splits.test is None:
        raise UserError(
            "a study needs validation data to choose by and test data to judge the choice; raise "
            "`validation_fraction` and `test_fraction`."
        )
    found = suited(terms.settings.pair, splits, terms.settings.data.binarization)
    base = replace(
        terms.settings,
        pair=found.pair.absolute(),
        data=replace(terms.settings.data.absolute(), binarization=splits.binarization),
    )
    refuse_unsuitable(base, searched, splits)
    given = values_in(replace(base, pair=settled(base.pair, DataInfo.of(splits))), searched)
    if on_data:
        on_data(splits)
    with claimed(out, partial(numbered, Path("runs"), "tune"), partial(_refuse_other, terms)) as claim:
        write_text(claim.path / "tune.yaml", terms.recorded)
        if on_folder:
            on_folder(claim.path)
        try:
            trials = trials_of(terms, searched, base, splits, claim.path, progress, warn_once)
            best = best_of(trials)
            runs = {number: claim.path / f"trial-{number}" for number in sorted({0, best.number})}
            elbo: dict[int, Elbos] = {}
            with Bar(len(runs), "run", "keeping", progress) as bar:
                for number, path in runs.items():
                    _train(with_values(base, trials[number].values), path, warn_once)
                    elbo[number] = _elbos_of(path, terms.num_samples, base.fit)
                    bar.update()
            soon = _too_soon(runs)
            tuning = Tuning(terms, trials, elbo, tuple(searched), base, given, soon, runs)
            files = tuning.write(claim.path)
            return replace(tuning, files=files | (write_tuning_report(tuning, claim.path) if report else {}))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; the same command with `out` {claim.path} goes on") from None


def _elbos_of(path: Path, num_samples: int, fit: FitConfig) -> Elbos:
    """The ELBO of a run on what it was chosen by, and on what had no part in that."""
    opened, how = open_run(path, fit.device), EvaluateConfig(num_samples=num_samples, seed=fit.seed)
    splits: tuple[SplitName, ...] = ("validation", "test")
    return Elbos(*(evaluate_run(opened, how, split, progress=False).results["elbo"] for split in splits))


def _too_soon(runs: dict[int, Path]) -> str:
    """Which of these trainings ended too soon to be judged, and why, in words; nothing where none did."""
    opened = {number: Run.open(path) for number, path in runs.items()}
    found = {number: why for number, run in opened.items() if (why := ended_too_soon(run, run.history()))}
    said = "; ".join(f"trial {number}: {why}" for number, why in found.items())
    return f"{said}. With more `epochs` other settings may be the best; that is another study." if said else ""


def _refuse_other(terms: TuneConfig, out: Path) -> None:
    """See that a folder which is there holds a study on the same terms, but for the number of trials, or nothing."""
    record = out / "tune.yaml"
    if not record.is_file():
        if not out.is_dir() or any(not entry.match("tune.yaml.*.partial") for entry in out.iterdir()):
            raise UserError(f"{out} exists and holds no study; choose another `out`.")
        return
    try:
        theirs: TuneConfig | None = from_plain(TuneConfig, yaml.safe_load(record.read_bytes()))
    except (yaml.YAMLError, ValueError, RecursionError, UserError):
        theirs = None
    asked = checked(terms)
    if theirs is None or replace(theirs, trials=terms.trials) != asked:
        which = f" ({', '.join(_differing(theirs, asked))})" if theirs else ""
        raise UserError(f"{out} holds a study on other terms{which}; repeat its command, or choose another `out`.")


def _differing(*terms: TuneConfig) -> list[str]:
    """The names of the settings, but for the number of trials, that two studies have unlike."""
    one, other = (dict(changed_from(each, TuneConfig())) for each in terms)
    names = dict.fromkeys([*one, *other])
    return [f"`{name}`" for name in names if name != "trials" and one.get(name) != other.get(name)]


def _train(settings: TrainConfig, path: Path, warn: Callable[[str], object]) -> None:
    """A training of the study as a run of its own, which is there already where the study goes on."""
    if not (path / "checkpoint.pt").exists():
        with begun(settings, path, warn=warn) as training:
            train_run(training, progress=False, warn=warn)
    elif len(Run.open(path).history()) < settings.fit.epochs:
        with continued(path, Run.open(path).record.config, warn=warn) as training:
            train_run(training, progress=False, warn=warn)
