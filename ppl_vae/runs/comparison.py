"""The runs of a comparison, worked off in parallel."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ppl_vae.data import Dataset, Splits, load
from ppl_vae.data.checks import advice_on
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import unseen_in
from ppl_vae.data.loading import read_data
from ppl_vae.diagnostics.diagnosis import MIN_SAMPLES, of_missed
from ppl_vae.estimates.estimate import Protocol
from ppl_vae.evaluation.estimators import EvaluateConfig
from ppl_vae.evaluation.prior_draws import left_out
from ppl_vae.evaluation.weight_tails import weight_tails
from ppl_vae.guides.unseen import counts_of, doubts_about, notes_on
from ppl_vae.inference.fitting import InferConfig, Inferred
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import settled_together
from ppl_vae.registry.files import users_errors_told
from ppl_vae.registry.suited import Suited, data_for, suited
from ppl_vae.registry.trust import check_trusted
from ppl_vae.runs.evaluating import evaluate_run
from ppl_vae.runs.opened import OpenedRun, open_run
from ppl_vae.runs.reopening import build_to_reopen
from ppl_vae.runs.run import Record, Run, TrainConfig
from ppl_vae.runs.training import Training, train_run
from ppl_vae.runtime.errors import UserError, reason, warned
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.folders import locked
from ppl_vae.runtime.progress import Bar
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.workers import WorkerKilledError, work_off
from ppl_vae.training import objective_of

# Figures of a run, beside its seconds and parameters; the two bounds first.
NATS = ("elbo", "log_px", "reconstruction", "kl")
# Draws from the guide and from the prior, of each datapoint: as many as diagnostics take at most.
_DRAWS_FOR_MODES = 1000


class Job(NamedTuple):
    """One run of a comparison.

    Args:
        guide: what the user called it.
        folder: of the run, in the comparison's.
        settings: of the run.
        elbo: how to estimate the ELBO.
        bound: how to estimate the importance bound.
    """

    guide: str
    folder: str
    settings: TrainConfig
    elbo: EvaluateConfig
    bound: EvaluateConfig


@dataclass(frozen=True)
class Result:
    """What one run came to.

    Args:
        guide: what the user called it.
        figures: elbo, log_px, reconstruction, kl (nats per test datapoint), log_px_monte_carlo (what draws alone make
            of log_px's error), seconds of training, the guide's parameters; None where there is no such figure.
        log_px: the importance bound of each test datapoint, in order, in nats; None of a point.
        protocol: what they were estimated on and how. Its seed is that of the training too: draws of their own for each
            seed put the noise of evaluation into the spread over seeds.
        local_fits: counts of how the fits to the test data went, what is to be known of them in words (``notes``), and
            what is wrong with them (``warnings``); None where nothing was fitted.
        bound_warnings: what is wrong with the importance bound, in words: a mode that the guide misses.
    """

    guide: str
    figures: dict[str, float | None]
    log_px: list[float] | None
    protocol: dict[str, Any]
    local_fits: dict[str, Any] | None = None
    bound_warnings: list[str] = field(default_factory=list)


def check_jobs(
    jobs: list[Job],
    out: Path | None,
    on_data: Callable[[Splits], object] | None = None,
    on_choice: Callable[[str], object] | None = None,
    warn: Callable[[str], object] = warned,
) -> list[Job]:
    """See that every job can begin or go on, before anything is written; choose by the data what is left to it.

    Args:
        jobs: what is to be run.
        out: the comparison's folder, which may hold some of it; None for a new one.
        on_data: called with the data when it has been seen that every job can.
        on_choice: called then with what was chosen by the data, why, and the settings for another, in one line.
        warn: called with each thing that is to be known of the numbers to come, in words.

    Returns:
        the jobs, each with the settings that its pair reads.

    Raises:
        UserError: a job's settings or data cannot be used or are not those that it was begun with, or two jobs would
            share a folder.
    """
    if len({job.folder for job in jobs}) < len(jobs):
        raise UserError("two guides go by the same name (file and class); rename one of the files.")
    splits, found = _chosen(jobs[0].settings)
    jobs = [_with(job, splits, found) for job in jobs]
    if splits.test is None:
        raise UserError("a comparison needs test data and there is none; raise `test_fraction`.")
    begun = [(job, Run.open(out / job.folder)) for job in jobs if out and (out / job.folder / "checkpoint.pt").exists()]
    for job, run in begun:
        if run.record.config.fit.seed != job.settings.fit.seed:
            raise UserError(
                f"{run.path} was trained with seed {run.record.config.fit.seed}, which its name denies; delete it and "
                "repeat the command."
            )
        if not run.record.info.is_of(splits):
            raise UserError(
                f"the data '{job.settings.data.data}' is not what {run.path} was begun with; say by `data` where that "
                "is, or compare anew in another `out`."
            )
    info = DataInfo.of(splits)
    pairs = settled_together([job.settings.pair for job in jobs], info)
    jobs = [job._replace(settings=replace(job.settings, pair=pair)) for job, pair in zip(jobs, pairs, strict=True)]
    programs: list[nn.Module] = []
    for job in jobs:
        pair = build_to_reopen(job.settings, info, splits.train)
        programs += pair
        if job.settings.fit.patience and tables_of(pair.guide):
            raise UserError(
                f"{job.guide} has no validation ELBO, so `patience` cannot be the same for all; leave it out."
            )
        objective_of(job.settings.fit).check(*pair, splits.train.probe())
    jobs[0].settings.fit.refuse_unread(*programs)  # what is set is for those that read it, at least one of them
    for job, run in begun:
        names = job.settings.pair.parts.values()
        check_trusted(run.path, names, run.record.files, consent=True)  # named by the user; may have changed
    for words in (*advice_on(splits.train, *pair), *unseen_in(splits)):
        warn(words)
    if on_data:
        on_data(splits)
    if on_choice and found.words:
        on_choice(found.words)
    return jobs


def _chosen(settings: TrainConfig) -> tuple[Splits, Suited]:
    """The data of a comparison, and what suits it. A per-datapoint guide has one q for each image, and would have to
    fit all of its versions: bits that suit the data are drawn once."""
    splits = data_for(settings.data, settings.pair)
    once = settings.data.binarization == "auto" and splits.binarization == "dynamic"
    of = splits._replace(binarization="static") if once else splits
    found = suited(settings.pair, of, settings.data.binarization)
    return read_data(replace(settings.data, binarization="static")) if once else splits, found


def _with(job: Job, splits: Splits, found: Suited) -> Job:
    pair = replace(job.settings.pair, model=found.pair.model, likelihood=found.pair.likelihood, net=found.pair.net)
    data = replace(job.settings.data, binarization=splits.binarization)
    return job._replace(settings=replace(job.settings, pair=pair, data=data))


def run_jobs(jobs: list[Job], out: Path, workers: int | None, warn: Callable[[str], object] = warned) -> list[Result]:
    """Work off all jobs, several at a time; finished ones are read, begun ones go on.

    Args:
        jobs: what to run.
        out: the comparison's folder.
        workers: how many at once; None is one for each GPU, or for each core.
        warn: called, in words, for each run that opens as another pair than was trained.

    Raises:
        UserError: a job cannot go on, or a worker was killed; what is done is kept.
    """
    gpus = torch.cuda.device_count() if jobs[0].settings.fit.device == "auto" else 0
    workers = min(workers or gpus or os.cpu_count() or 1, len(jobs))
    threads = max(1, (os.cpu_count() or 1) // workers)
    device = [f"cuda:{number % gpus}" if gpus else None for number in range(len(jobs))]
    calls = [(job, out, threads, device[number]) for number, job in enumerate(jobs)]
    with Bar(len(jobs), "run", "comparing") as bar:
        try:
            done = work_off(_run_job, calls, workers, bar.update)
        except WorkerKilledError:
            fewer = f", with fewer `workers` than {workers}" if workers > 1 else " on a machine with more memory"
            raise UserError(
                "the system has killed a worker, most often because memory ran out; the same command with "
                f"`out` {out} goes on{fewer}."
            ) from None
    for _, doubts in done:
        for words in doubts:
            warn(words)
    return [result for result, _ in done]


@users_errors_told()
def _run_job(job: Job, out: Path, threads: int, device: str | None) -> tuple[Result, list[str]]:
    torch.set_num_threads(threads)
    path = out / job.folder
    found = path / "result.json"
    if found.is_file():
        return _read(found, job), []
    settings = replace(job.settings, fit=replace(job.settings.fit, device=device)) if device else job.settings
    doubts: list[str] = []
    with _opened(path, settings) as training:
        history = train_run(training, progress=False, warn=doubts.append)
    result = _evaluated(job, open_run(path, settings.fit.device), sum(row.seconds for row in history))
    write_text(found, json.dumps(asdict(result), indent=2))
    return result, doubts


@contextmanager
def _opened(path: Path, settings: TrainConfig) -> Iterator[Training]:
    """A run that is begun or goes on; that it may was seen when the comparison began."""
    splits = load(settings.data)
    begun = (path / "checkpoint.pt").exists()
    run = Run(path, Record.of(settings, Run.open(path).record.info if begun else DataInfo.of(splits)))
    with locked(path) if begun else Run.created(run.record, path):
        if begun:
            run.write_record()  # its data may have moved
        yield Training(run, splits, begun)


def _read(found: Path, job: Job) -> Result:
    """The result that a run was left with, held to its job.

    Raises:
        UserError: it is damaged, or of another seed.
    """
    try:
        result = Result(**json.loads(found.read_text()))
        if not {*NATS, "log_px_monte_carlo", "seconds", "parameters"} <= set(result.figures):
            raise ValueError("figures are missing")
        if not {each.name for each in fields(Protocol)} <= set(result.protocol):
            raise ValueError("its protocol is not whole")
        if result.protocol["seed"] != job.settings.fit.seed:
            raise ValueError(f"it is of seed {result.protocol['seed']}")
        if result.log_px is not None and len(result.log_px) != result.protocol["num_datapoints"]:
            raise ValueError("datapoints are missing")
        if not all(isinstance(value, float) for value in result.log_px or []):
            raise ValueError("a bound is no number")
    except (ValueError, TypeError) as error:
        raise UserError(f"{found}: damaged ({reason(error)}); delete it and repeat the command.") from None
    return replace(result, protocol=result.protocol | {"data": job.settings.data.data})  # where it is now


def _evaluated(job: Job, opened: OpenedRun, seconds: float) -> Result:
    start = time.perf_counter()
    parts, protocol, data, fitted, *_ = evaluate_run(opened, job.elbo, progress=False)
    figures: dict[str, float | None] = {name: found.mean for name, found in parts.items()}
    guide, log_px, wrong = opened.pair.guide, None, []
    if not has_density(fitted.guide, data.probe()):  # it has no more than a reconstruction, which must not be ranked
        figures |= {"elbo": None, "kl": None, "log_px": None, "log_px_monte_carlo": None}
    else:
        bound = evaluate_run(opened, job.bound, progress=False).results["log_px"]
        figures |= {"log_px": bound.mean, "log_px_monte_carlo": bound.to_dict()["monte_carlo_stderr"]}
        log_px = bound.values.tolist()
        wrong = _missed(opened.pair.model, fitted.guide, data, job.bound)
    figures["seconds"] = seconds
    figures["evaluation_seconds"] = time.perf_counter() - start
    figures["parameters"] = sum(param.numel() for param in guide.parameters())
    protocols = protocol.to_dict() | {"num_samples_log_px": job.bound.draws}
    told = None if fitted.fits is None else _told(fitted.fits, job.elbo.infer)
    return Result(job.guide, figures, log_px, protocols, told, wrong)


def _missed(model: nn.Module, guide: nn.Module, data: Dataset, settings: EvaluateConfig) -> list[str]:
    """What the guide leaves out, and its bound with it: a lower bound that misses a mode says little of the model."""
    data, draws = data.fixed(settings.seed), max(MIN_SAMPLES, min(settings.draws, _DRAWS_FOR_MODES))
    with seeded(stream(settings.seed, "comparison: modes"), data.device):
        return of_missed(left_out(model, data, weight_tails(model, guide, data, draws), draws))


def _told(fits: Inferred, infer: InferConfig) -> dict[str, Any]:
    return counts_of(fits) | {"notes": notes_on(fits), "warnings": doubts_about(fits, infer)}
