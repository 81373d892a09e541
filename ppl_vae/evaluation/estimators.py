"""The estimators of log p(x) and the ELBO by name, on given data or on data that the model simulates.

A guide that has no answer to the data, as one with a row for each datapoint that it was trained on, is met by local
inference: rows are fitted to these datapoints, the model frozen.
"""

from dataclasses import field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound
from ppl_vae.evaluation.bidirectional import bidirectional_bounds
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.evaluation.estimate import Estimate, Origin, Protocol
from ppl_vae.evaluation.simulation import simulate
from ppl_vae.guides.unseen import Fitted, fitted_for, is_point
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.check import check_pair
from ppl_vae.runtime.config import Count, Seed, checked, config, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar

Estimator = Literal["elbo", "iwae", "ais", "bdmc", "sbc"]

# Draws where none are asked for: of z for the first two, chains for the next two, draws that a latent is ranked among.
_NUM_SAMPLES: dict[Estimator, int] = {"elbo": 10, "iwae": 500, "ais": 16, "bdmc": 16, "sbc": 63}
# Datapoints to simulate where none are asked for.
_NUM_SIMULATED: dict[Estimator, int] = {"bdmc": 100, "sbc": 1000}


@config
class EvaluateConfig:
    """What to estimate, and how."""

    estimator: Estimator = "elbo"
    """elbo, with its reconstruction and KL; iwae, the K-sample importance bound; ais, annealed importance sampling;
    bdmc, log p(x) of simulated data from both sides; sbc, whether q is calibrated on simulated data."""
    num_samples: Count | None = None
    """elbo, iwae: draws of z for each datapoint (10, 500). ais, bdmc: chains (16). sbc: draws that a latent is ranked
    among (63)."""
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

    @property
    def simulates(self) -> bool:
        """Whether the data is the model's own."""
        return self.estimator in _NUM_SIMULATED

    @property
    def num_simulated(self) -> int:
        """Datapoints to simulate."""
        return self.limit or _NUM_SIMULATED[self.estimator]

    @property
    def anneals(self) -> bool:
        """Whether chains pass temperatures."""
        return self.estimator in ("ais", "bdmc")

    @property
    def looks_at_guide(self) -> bool:
        """Whether the estimate depends on the guide: annealing from the prior does not."""
        return not self.anneals or self.annealing.start == "guide"


class Evaluated(NamedTuple):
    """What estimators came to.

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


def estimates(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: EvaluateConfig | None = None,
    origin: Origin | None = None,
    progress: bool | None = None,
) -> Evaluated:
    """Estimate by one of the estimators, on data binarized once, so that every estimator sees the same bits.

    Args:
        model: p(x, z), trained.
        guide: q(z | x), trained with it.
        data: the datapoints, on the device of the pair; of ``bdmc``, which simulates its own, the shape of an
            observation and the labels to simulate for, over and over.
        settings: what to estimate, and how; not ``sbc``, which is no estimate
            (:func:`ppl_vae.diagnostics.calibrate_pair`). The defaults if None.
        origin: where the data comes from, for the protocol.
        progress: show a progress bar; None shows it on a terminal only.

    Raises:
        UserError: the guide is a point and the estimator needs its density, or the pair cannot run on this data.
    """
    settings = checked(settings or EvaluateConfig())
    refuse_point(guide, data, settings)
    if settings.estimator == "bdmc":
        return _bidirectional(model, guide, data, settings, origin or Origin.unknown(data), progress)
    data = data.head(settings.limit).fixed(settings.seed)
    fitted, acceptance = Fitted(guide), None
    if settings.looks_at_guide:
        fitted = fitted_to(model, guide, data, settings.infer, progress)
    total, unit = len(data), "datapoint"
    if settings.anneals:
        total, unit = len(data) * settings.annealing.total, "temperature"
    draws, seed = settings.draws, settings.seed
    with bar(total, unit, "evaluating", progress) as done:
        if settings.estimator == "elbo":
            results = elbo(model, fitted.guide, data, draws, seed, done.update).by_name()
        elif settings.estimator == "iwae":
            engine = settings.annealing.engine
            results = {"log_px": importance_bound(model, fitted.guide, data, draws, seed, done.update, engine)}
        else:
            annealed = annealed_importance_bound(
                model, fitted.guide, data, draws, settings.annealing, seed=seed, advance=done.update
            )
            results, acceptance = {"log_px": annealed.log_px}, annealed.acceptance
    protocol = protocol_of(model, fitted.guide, data, settings, origin)
    return Evaluated(results, protocol, data, fitted, acceptance)


def _bidirectional(
    model: nn.Module, guide: nn.Module, data: Dataset, settings: EvaluateConfig, origin: Origin, progress: bool | None
) -> Evaluated:
    """log p(x) of data from the model itself, bounded from below and above by the same annealing."""
    simulated, truth = simulate(
        model, data.event_shape, settings.num_simulated, labels_for(data, settings), settings.seed
    )
    fitted = Fitted(guide)
    if settings.looks_at_guide:
        fitted = fitted_to(model, guide, simulated, settings.infer, progress)
    with bar(2 * len(simulated) * settings.annealing.total, "temperature", "evaluating", progress) as done:
        common = (settings.draws, settings.annealing, settings.seed, done.update)
        found = bidirectional_bounds(model, fitted.guide, simulated, truth, *common)
    protocol = protocol_of(model, fitted.guide, simulated, settings, origin.simulated(simulated))
    return Evaluated(found.by_name(), protocol, simulated, fitted, found.acceptance)


def fitted_to(
    model: nn.Module, guide: nn.Module, data: Dataset, infer: InferConfig, progress: bool | None = None
) -> Fitted:
    """The guide for this data, see :func:`ppl_vae.guides.unseen.fitted_for`, checked against model and data."""
    with bar(len(data), "datapoint", "inferring", progress) as done:
        fitted = fitted_for(model, guide, data, infer, done.update)
    check_pair(model, fitted.guide, data.probe())
    return fitted


def refuse_point(guide: nn.Module, data: Dataset, settings: EvaluateConfig) -> None:
    """Raise a UserError if the guide is a point and the estimator needs its density."""
    needs = settings.estimator != "elbo" and settings.looks_at_guide
    if needs and is_point(guide, data):
        if settings.estimator == "sbc":
            raise UserError(
                "a point has no spread to rank a latent in: there is nothing to calibrate; train with another guide or "
                "another `family`."
            )
        raise UserError(
            "a point has no density, so it gives no importance weights; use `estimator` elbo, or ais from the prior."
        )


def labels_for(data: Dataset, settings: EvaluateConfig) -> Tensor | None:
    """Labels for simulated data, those of the data, over and over; None where it has none."""
    y = data.y
    return None if y is None else y[torch.arange(settings.num_simulated, device=y.device) % len(y)]


def protocol_of(
    model: nn.Module, guide: nn.Module, data: Dataset, settings: EvaluateConfig, origin: Origin | None
) -> Protocol:
    """What an evaluation was made on, with what and how."""
    details = to_plain(settings.annealing) if settings.anneals else {}
    details.pop("engine", None)  # how it was worked out, not what
    return Protocol.of(model, guide, data, origin, settings.estimator, settings.draws, settings.seed, details)
