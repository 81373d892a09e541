"""What to do next, as a command that can be typed: after a training, an evaluation, an analysis of the gaps."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ppl_vae.data import Splits
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.diagnostics.evaluation import Evaluation
from ppl_vae.estimates.significance import beyond_chance, still_rising
from ppl_vae.evaluation import InferenceGaps
from ppl_vae.evaluation.comparison import Ranking
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import Pair
from ppl_vae.runs.command_line import command, command_on, train_command
from ppl_vae.runs.opened import OpenedRun, split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runs.terms import CompareConfig, jobs_of
from ppl_vae.training.metrics import FEWEST_EPOCHS, History

_LEFT_OUT = {"kl": "the KL", "reconstruction": "the reconstruction"}
_FEW_STEPS = 500  # with which even a small network has hardly left where it began


class Step(NamedTuple):
    """What to do next.

    Args:
        command: to type.
        gives: what it gives, or why; nothing where that is plain.
    """

    command: str
    gives: str = ""

    def __str__(self) -> str:
        return f"{self.command}   ({self.gives})" if self.gives else self.command


def ended_too_soon(run: Run, history: History) -> str:
    """Why a training is not to be judged yet, in words: its bound was still rising, or it was too short for that to be
    told; nothing where it has ended, or was ended by its validation data."""
    fit, epochs = run.record.config.fit, len(history)
    if fit.patience and epochs < fit.epochs:
        return ""
    steps = epochs * _steps_of_epoch(run)
    if epochs < FEWEST_EPOCHS and steps < _FEW_STEPS:
        return f"{epochs} epoch{'' if epochs == 1 else 's'} of training, {steps} steps, are few"
    return "the bound still rose when training ended" if history.still_rising else ""


def enough_epochs(run: Run, epochs: int) -> int:
    """Twice as many, or what a bound takes to rise at all."""
    return max(2 * epochs, math.ceil(_FEW_STEPS / _steps_of_epoch(run)))


def not_collapsed(run: Run, history: History) -> str:
    """Why latents that nothing is learned of yet are no collapse, in words; nothing where they would be one."""
    if run.record.config.fit.drop == "reconstruction":
        return "the reconstruction was left out of the loss, as was asked, and nothing else has z tell of x"
    why = ended_too_soon(run, history)
    return f"{why}; train longer, then look again" if why else ""


def haste_of(runs: Sequence[Run]) -> str:
    """How many of these trainings ended too soon to be ranked, in words; nothing where none did."""
    early = sum(bool(ended_too_soon(run, run.history())) for run in runs)
    if not early:
        return ""
    return (
        f"{early} of {len(runs)} trainings were short, or their bounds still rose when they ended: train longer before "
        "you choose by this ranking"
    )


def longer_training(run: Run, history: History) -> Step | None:
    """The command that goes on with a training that has ended too soon, to twice its length or what a bound takes to
    rise at all; None where it has not. Under a schedule that is laid out over all epochs it begins anew."""
    if not (why := ended_too_soon(run, history)):
        return None
    settings, epochs = run.record.config, enough_epochs(run, len(history))
    if not settings.fit.optimizer.has_end:
        command = command_on("train", resume=run.path, epochs=epochs)
    else:
        again = replace(settings, fit=replace(settings.fit, epochs=epochs))
        command = train_command(again, Path(f"{run.path}-longer"))
    return Step(command, f"{why}: train longer before you judge this run")


def after_training(run: Run, pair: Pair, splits: Splits, history: History) -> Step:
    """The command that tells most of what is not known yet, or goes on with a training that has not ended."""
    if (left_out := run.record.config.fit.drop) != "nothing":
        why = f"the loss is without {_LEFT_OUT[left_out]}: see what that does in figures/latent.png"
        return Step(command_on("report", run.path), why)
    if longer := longer_training(run, history):
        return longer
    split = split_shown(pair, splits)
    settings = {} if split == "test" else {"split": split}
    if not has_density(pair.guide, splits.train.probe()):
        return Step(command_on("evaluate", run.path, **settings))
    tighter = command_on("evaluate", run.path, **settings, estimator="iwae")
    return Step(tighter, "a bound closer to log p(x) than the ELBO")


def after_evaluation(opened: OpenedRun, found: Evaluation) -> Step | None:
    """The command that tells most of what an evaluation has left open, on the same datapoints; None where nothing does.

    Args:
        opened: the run that was evaluated.
        found: the evaluation.
    """
    run, split, asked = opened.run, found.protocol.split, found.settings
    if longer := longer_training(run, opened.history):
        return longer
    if found.point:
        return None
    where = {} if split == "test" else {"split": split}
    limit = {"limit": asked.limit} if asked.limit else {}
    if not asked.anneals and "log_px" not in found.results:
        closer = command_on("evaluate", run.path, **where, estimator="iwae", **limit)
        return Step(closer, "a bound closer to log p(x) than the ELBO")
    if still_rising(next(iter(found.results.values()))) and not asked.anneals:
        closer = command_on("evaluate", run.path, **where, estimator="ais", limit=min(asked.limit or 100, 100))
        return Step(closer, "more draws would raise this bound: annealing comes closer to log p(x)")
    splits = {} if not where else {"splits": split}
    return Step(command_on("gaps", run.path, **splits, **limit), "how far the ELBO is below log p(x), and why")


def after_gaps(opened: OpenedRun, found: InferenceGaps) -> Step | None:
    """The training that would narrow the gap most, as it was found on the last of the data; None where none is known.

    Args:
        opened: the run that was taken apart.
        found: its gaps.
    """
    if longer := longer_training(opened.run, opened.history):
        return longer
    gaps = list(found.measured.values())[-1].gaps
    own, settings = gaps.families.get(found.own), opened.settings
    if own is None or not beyond_chance(gaps.inference):
        return None
    nearest = min(gaps.families, key=lambda name: gaps.families[name].approximation.mean)
    if own.approximation.mean > own.amortization.mean and nearest != found.own:
        left, all_of_it = gaps.families[nearest].approximation.mean, own.approximation.mean
        pair, name = replace(settings.pair, family=nearest), nearest
        why = f"most is lost to the family: the best {nearest} q loses {left:.2f} nats, not {all_of_it:.2f}"
    elif own.amortization.mean > own.approximation.mean and not tables_of(opened.pair.guide):
        name = "semi-amortized"
        pair = replace(settings.pair, guide=name)
        why = "most is lost to the encoder: this guide improves on its answer by gradient steps"
    else:
        return None
    if pair == settings.pair:  # it is what would be advised already
        return None
    return Step(train_command(replace(settings, pair=pair), Path(f"{opened.run.path}-{name}")), why)


def after_comparison(out: Path, asked: CompareConfig, terms: CompareConfig, ranking: Ranking, haste: str) -> Step:
    """Longer trainings where some ended too soon; more of them where the best may be so by chance; else a look at what
    the best still misses.

    Args:
        out: the folder of the runs.
        asked: what was to be compared, before anything was chosen by the data.
        terms: what was compared.
        ranking: of two guides or more.
        haste: as :func:`haste_of`.
    """
    best, jobs, settings = ranking.guides[0], jobs_of(terms), terms.settings
    if haste:
        epochs = enough_epochs(Run.open(out / jobs[0].folder), settings.fit.epochs)
        longer = replace(asked.settings, fit=replace(asked.settings.fit, epochs=epochs))
        again, suffix, why = replace(asked, settings=longer), "longer", haste
    elif ranking.tied_with(best):
        again, suffix = replace(asked, seeds=2 * terms.seeds), "more"
        why = "more trainings tell more of what may be chance"
    else:
        first = next(job.folder for job in jobs if job.guide == best)
        return Step(command_on("gaps", out / first), f"what {best} still misses, and why")
    named = settings.data.data in NAMES
    return Step(command("compare", again, CompareConfig(), Path(f"{out}-{suffix}"), named), why)


def _steps_of_epoch(run: Run) -> int:
    return run.record.config.fit.steps_per_epoch(run.record.info.num_data)
