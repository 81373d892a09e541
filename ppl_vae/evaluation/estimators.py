"""The estimators of log p(x) and the ELBO by name, on given data or on data that the model simulates.

A guide that has no answer to the data, as one with a row for each datapoint that it was trained on, is met by local
inference: rows are fitted to these datapoints, the model frozen.
"""

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate, Origin, Protocol
from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound
from ppl_vae.evaluation.bidirectional import bidirectional_bounds
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.evaluation.simulation import simulate
from ppl_vae.guides.unseen import Fitted, fitted_for, is_point
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.check import check_pair
from ppl_vae.runtime.config import Count, Seed, checked, config, field_names, refuse_unread, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar

Estimator = Literal["elbo", "iwae", "ais", "bdmc", "sbc"]  # its table is ESTIMATORS, below


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
        return self.num_samples or ESTIMATORS[self.estimator].num_samples

    @property
    def simulates(self) -> bool:
        """Whether the data is the model's own."""
        return ESTIMATORS[self.estimator].num_simulated is not None

    @property
    def num_simulated(self) -> int:
        """Datapoints to simulate; 0 if the data is given."""
        return self.limit or ESTIMATORS[self.estimator].num_simulated or 0

    @property
    def anneals(self) -> bool:
        """Whether chains pass temperatures."""
        return ESTIMATORS[self.estimator].passes > 0

    def refuse_unread(self, named: Iterable[str] = ()) -> None:
        """See that the estimator reads all that was set, by a value of its own or by name.

        Raises:
            UserError: it does not.
        """
        if not self.anneals:
            unread = [name for name in field_names(self.annealing) if name != "engine"]  # how, not what
            refuse_unread(self, unread, "`estimator` ais, bdmc", named)

    @property
    def looks_at_guide(self) -> bool:
        """Whether the estimate depends on the guide: annealing from the prior does not."""
        return not self.anneals or self.annealing.start == "guide"

    @property
    def weighs(self) -> bool:
        """Whether the estimate weighs draws of the guide, which needs its density."""
        return ESTIMATORS[self.estimator].weighs and self.looks_at_guide


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
        UserError: the guide is a point and the estimator needs its density, the pair cannot run on this data, or a
            setting that the estimator does not read.
    """
    settings = checked(settings or EvaluateConfig())
    settings.refuse_unread()
    refuse_point(guide, data, settings)
    if settings.estimator == "sbc":
        raise UserError("`estimator` sbc ranks and estimates nothing; call ppl_vae.calibrate or the command.")
    way, truth = ESTIMATORS[settings.estimator], None
    if settings.simulates:
        origin = origin or Origin.unknown(data)
        y = labels_for(data, settings)
        data, truth = simulate(model, data.event_shape, settings.num_simulated, y, settings.seed)
        origin = origin.simulated(data)
    else:
        data = data.head(settings.limit).fixed(settings.seed)
    fitted = Fitted(guide)
    if settings.looks_at_guide:
        fitted = fitted_to(model, guide, data, settings.infer, progress)
    total, unit = len(data), "datapoint"
    if way.passes:
        total, unit = len(data) * way.passes * settings.annealing.total, "temperature"
    with bar(total, unit, "evaluating", progress) as done:
        results, acceptance = way.estimate(_Asked(model, fitted.guide, data, truth, settings, done.update))
    protocol = protocol_of(model, fitted.guide, data, settings, origin)
    return Evaluated(results, protocol, data, fitted, acceptance)


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
    if settings.weighs and is_point(guide, data):
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


# --- The estimators by name: to add one, a function, its line in the table and its name in Estimator ------------------


class _Asked(NamedTuple):
    """What an estimator is given.

    Args:
        model: p(x, z).
        guide: q(z | x), with an answer to this data.
        data: the datapoints, binarized.
        truth: their latents, where the model has simulated them.
        settings: of the evaluation.
        advance: to be called with the number of datapoints that are done, of annealing with that of temperatures.
    """

    model: nn.Module
    guide: nn.Module
    data: Dataset
    truth: dict[str, Tensor] | None
    settings: EvaluateConfig
    advance: Callable[[int], object]


_Found = tuple[dict[str, Estimate], float | None]  # estimates by name, the headline first; annealing's acceptance


def _elbo(asked: _Asked) -> _Found:
    model, guide, data, _, settings, advance = asked
    return elbo(model, guide, data, settings.draws, settings.seed, advance).by_name(), None


def _iwae(asked: _Asked) -> _Found:
    model, guide, data, _, settings, advance = asked
    engine = settings.annealing.engine
    return {"log_px": importance_bound(model, guide, data, settings.draws, settings.seed, advance, engine)}, None


def _ais(asked: _Asked) -> _Found:
    model, guide, data, _, settings, advance = asked
    found = annealed_importance_bound(
        model, guide, data, settings.draws, settings.annealing, seed=settings.seed, advance=advance
    )
    return {"log_px": found.log_px}, found.acceptance


def _bdmc(asked: _Asked) -> _Found:
    model, guide, data, truth, settings, advance = asked
    found = bidirectional_bounds(
        model, guide, data, truth or {}, settings.draws, settings.annealing, settings.seed, advance
    )
    return found.by_name(), found.acceptance


def _no_estimate(asked: _Asked) -> _Found:
    raise UserError("`estimator` sbc is no estimate of log p(x): call ppl_vae.diagnostics.calibrate_pair.")


class _Way(NamedTuple):
    """An estimator.

    Args:
        estimate: works it out.
        num_samples: draws where none are asked for: of z, chains, or draws that a latent is ranked among.
        num_simulated: datapoints that the model simulates where no number is asked for; None if the data is given.
        passes: how often its chains pass all temperatures; 0 without annealing.
        weighs: whether it needs the density of the guide that it looks at.
    """

    estimate: Callable[[_Asked], _Found]
    num_samples: int
    num_simulated: int | None = None
    passes: int = 0
    weighs: bool = True


ESTIMATORS: dict[Estimator, _Way] = {
    "elbo": _Way(_elbo, num_samples=10, weighs=False),
    "iwae": _Way(_iwae, num_samples=500),
    "ais": _Way(_ais, num_samples=16, passes=1),
    "bdmc": _Way(_bdmc, num_samples=16, num_simulated=100, passes=2),
    "sbc": _Way(_no_estimate, num_samples=63, num_simulated=1000),
}
