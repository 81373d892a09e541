"""The estimators of ``ppl-vae evaluate`` by name, run on a split of a run's data or on data simulated by its model."""

import hashlib
from dataclasses import field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from ppl_vae.data import Dataset
from ppl_vae.diagnostics import Calibration, calibrate
from ppl_vae.evaluation import (
    AnnealingConfig,
    Estimate,
    Protocol,
    annealed_importance_bound,
    bidirectional_bounds,
    elbo,
    importance_bound,
    simulate,
)
from ppl_vae.guides.unseen import Fitted, fitted_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.check import check_pair
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import Count, Seed, config, to_plain
from ppl_vae.runtime.errors import UserError

Estimator = Literal["elbo", "iwae", "ais", "bdmc", "sbc"]

# Draws where none are asked for: of z for the first two, chains for the next two, draws that a latent is ranked among.
_NUM_SAMPLES: dict[Estimator, int] = {"elbo": 10, "iwae": 500, "ais": 16, "bdmc": 16, "sbc": 63}
# Datapoints to simulate where none are asked for.
_NUM_SIMULATED: dict[Estimator, int] = {"bdmc": 100, "sbc": 1000}


@config
class EvaluateConfig:
    """What to estimate, on what."""

    estimator: Estimator = "elbo"
    """elbo, with its reconstruction and KL; iwae, the K-sample importance bound; ais, annealed importance sampling;
    bdmc, log p(x) of simulated data from both sides; sbc, whether q is calibrated on simulated data."""
    num_samples: Count | None = None
    """elbo, iwae: draws of z for each datapoint (10, 500). ais, bdmc: chains (16). sbc: draws that a latent is ranked
    among (63)."""
    split: SplitName = "test"
    """Which part of the data."""
    limit: Count | None = None
    """Only the first so many datapoints; how many to simulate for bdmc (100) and sbc (1000)."""
    seed: Seed = 0
    """Seed of the draws and of dynamic binarization."""
    annealing: AnnealingConfig = field(default_factory=AnnealingConfig)
    """ais and bdmc."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    @property
    def draws(self) -> int:
        """``num_samples``, or the estimator's own default."""
        return self.num_samples or _NUM_SAMPLES[self.estimator]


class Evaluated(NamedTuple):
    """What an evaluation came to.

    Args:
        results: estimates by name, the headline first.
        protocol: what they were made on, with what and how.
        data: the datapoints.
        fitted: the guide that they were made with, and how its fits to the data went, if there were any.
        acceptance: mean probability of acceptance of annealing's transitions; None without annealing.
    """

    results: dict[str, Estimate]
    protocol: Protocol
    data: Dataset
    fitted: Fitted
    acceptance: float | None = None


def evaluate_run(opened: OpenedRun, settings: EvaluateConfig, progress: bool | None = None) -> Evaluated:
    """Estimate on a split of the run's data, binarized once, so that every estimator sees the same bits.

    Args:
        opened: the run.
        settings: what to estimate, on what; not ``sbc``, which is no estimate (:func:`calibrate_run`).
        progress: show a progress bar; None shows it on a terminal only.
    """
    refuse_point(opened, settings)
    if settings.estimator == "bdmc":
        return _bidirectional(opened, settings, progress)
    model = opened.pair.model
    data = opened.split(settings.split, settings.limit).fixed(settings.seed)
    anneals = settings.estimator == "ais"
    if anneals and settings.annealing.start == "prior":
        fitted = Fitted(opened.pair.guide)  # not looked at
    else:
        fitted = fitted_guide(opened, data, settings.infer, progress)
    guide, acceptance = fitted.guide, None
    total = len(data) * (settings.annealing.total if anneals else 1)
    with _bar(total, "temperature" if anneals else "datapoint", "evaluating", progress) as bar:
        if settings.estimator == "elbo":
            results = elbo(model, guide, data, settings.draws, settings.seed, bar.update)._asdict()
        elif settings.estimator == "iwae":
            results = {
                "log_px": importance_bound(
                    model, guide, data, settings.draws, settings.seed, bar.update, settings.annealing.engine
                )
            }
        else:
            annealed = annealed_importance_bound(
                model, guide, data, settings.draws, settings.annealing, seed=settings.seed, advance=bar.update
            )
            results, acceptance = {"log_px": annealed.log_px}, annealed.acceptance
    return Evaluated(results, _protocol(opened, settings, settings.split, data, guide), data, fitted, acceptance)


def _bidirectional(opened: OpenedRun, settings: EvaluateConfig, progress: bool | None) -> Evaluated:
    """log p(x) of data from the model itself, bounded from below and above by the same annealing."""
    model = opened.pair.model
    y = _labels(opened, settings)
    data, truth = simulate(model, opened.event_shape, _num_simulated(settings), y, settings.seed)
    fitted = Fitted(opened.pair.guide)
    if settings.annealing.start == "guide":
        fitted = fitted_guide(opened, data, settings.infer, progress)
    guide = fitted.guide
    with _bar(2 * len(data) * settings.annealing.total, "temperature", "evaluating", progress) as bar:
        common = (settings.draws, settings.annealing, settings.seed, bar.update)
        found = bidirectional_bounds(model, guide, data, truth, *common)
    results = {
        "bdmc_gap": found.gap,
        "log_px_lower": found.lower.log_px,
        "log_px_upper": found.upper.log_px,
    }
    acceptance = min(found.lower.acceptance, found.upper.acceptance)
    return Evaluated(results, _protocol(opened, settings, "simulated", data, guide), data, fitted, acceptance)


class Calibrated(NamedTuple):
    """What a calibration came to.

    Args:
        calibration: ranks and verdict.
        protocol: what it was made on, with what and how.
        fitted: the guide, and how its fits to the simulated data went, if there were any.
    """

    calibration: Calibration
    protocol: Protocol
    fitted: Fitted


def calibrate_run(opened: OpenedRun, settings: EvaluateConfig, progress: bool | None = None) -> Calibrated:
    """Simulation-based calibration of a run's guide."""
    refuse_point(opened, settings)
    count = _num_simulated(settings)
    fitted: list[Fitted] = []
    simulated: list[Dataset] = []

    def fit(data: Dataset) -> nn.Module:
        simulated.append(data)
        fitted.append(fitted_guide(opened, data, settings.infer, progress))
        return fitted[0].guide

    with _bar(count, "simulation", "calibrating", progress) as bar:
        y = _labels(opened, settings)
        calibration = calibrate(
            opened.pair.model, fit, opened.event_shape, count, settings.draws, y, settings.seed, bar.update
        )
    protocol = _protocol(opened, settings, "simulated", simulated[0], fitted[0].guide)
    return Calibrated(calibration, protocol, fitted[0])


def fitted_guide(opened: OpenedRun, data: Dataset, infer: InferConfig, progress: bool | None = None) -> Fitted:
    """The guide for this data, see :func:`ppl_vae.guides.unseen.fitted_for`, checked against model and data."""
    with _bar(len(data), "datapoint", "inferring", progress) as bar:
        fitted = fitted_for(*opened.pair, data, infer, bar.update)
    check_pair(opened.pair.model, fitted.guide, data.probe())
    return fitted


def refuse_point(opened: OpenedRun, settings: EvaluateConfig) -> None:
    """Raise a UserError if the guide is a point and the estimator needs its density."""
    needs = settings.estimator in ("iwae", "sbc") or (
        settings.estimator in ("ais", "bdmc") and settings.annealing.start == "guide"
    )
    if needs and opened.is_point:
        if settings.estimator == "sbc":
            raise UserError(
                "a point has no spread to rank a latent in: there is nothing to calibrate; train with another guide or "
                "another --family."
            )
        raise UserError(
            "a point has no density, so it gives no importance weights; use --estimator elbo, or ais from the prior."
        )


def _num_simulated(settings: EvaluateConfig) -> int:
    return settings.limit or _NUM_SIMULATED[settings.estimator]


def _labels(opened: OpenedRun, settings: EvaluateConfig) -> torch.Tensor | None:
    """Labels for simulated data, the split's own, over and over; None where the data has none."""
    if not opened.run.record.info.num_classes:
        return None
    y = opened.split(settings.split).y
    return None if y is None else y[torch.arange(_num_simulated(settings), device=y.device) % len(y)]


def _protocol(opened: OpenedRun, settings: EvaluateConfig, split: str, data: Dataset, guide: nn.Module) -> Protocol:
    details = to_plain(settings.annealing) if settings.estimator in ("ais", "bdmc") else {}
    details.pop("engine", None)  # how it was worked out, not what
    protocol = opened.protocol(settings.estimator, split, data, settings.draws, settings.seed, guide, details)
    if split != "simulated":
        return protocol
    x = data.x.cpu().contiguous().numpy().tobytes()
    return replace(protocol, fingerprint=hashlib.sha256(x).hexdigest()[:16], binarization="simulated")


def _bar(total: int, unit: str, what: str, progress: bool | None) -> "tqdm[Any]":
    hide = None if progress is None else not progress
    return tqdm(total=total, unit=unit, desc=what, disable=hide, leave=False)
