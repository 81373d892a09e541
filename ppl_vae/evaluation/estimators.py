"""The estimators of log p(x) and the ELBO by name, on given data or on data that the model simulates.

A guide that has no answer to the data, as one with a row for each datapoint that it was trained on, is met by local
inference: rows are fitted to these datapoints, the model frozen.
"""

from collections.abc import Iterable
from dataclasses import field
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import Doc

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate, Origin, Protocol, check_origin
from ppl_vae.evaluation.annealing import AnnealingConfig
from ppl_vae.evaluation.named import (
    ESTIMATORS,
    IN_WORDS,
    SIMULATED_IN_WORDS,
    Asked,
    Estimator,
    Way,
    draws_in_words,
    names_of,
)
from ppl_vae.evaluation.simulation import simulate, with_holes_of
from ppl_vae.guides.unseen import Fitted, fitted_for, is_point
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.check import check_pair
from ppl_vae.runtime.config import Count, Seed, checked, config, field_names, refuse_unread, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar

_ANNEALING = names_of(lambda way: way.passes > 0)
_LIMIT = f"Only the first so many datapoints; how many to simulate for {SIMULATED_IN_WORDS}."


@config
class EvaluateConfig:
    """What to estimate, and how."""

    estimator: Annotated[Estimator, Doc(f"{IN_WORDS}.")] = "elbo"
    num_samples: Annotated[Count | None, Doc(draws_in_words())] = None
    limit: Annotated[Count | None, Doc(_LIMIT)] = None
    seed: Seed = 0
    """Seed of the draws and of dynamic binarization."""
    annealing: Annotated[AnnealingConfig, Doc(f"{_ANNEALING}.")] = field(default_factory=AnnealingConfig)
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    @property
    def way(self) -> Way:
        """The estimator itself."""
        return ESTIMATORS[self.estimator]

    @property
    def draws(self) -> int:
        """``num_samples``, or the estimator's own default."""
        return self.num_samples or self.way.num_samples

    @property
    def simulates(self) -> bool:
        """Whether the data is the model's own."""
        return self.way.num_simulated is not None

    @property
    def num_simulated(self) -> int:
        """Datapoints to simulate; 0 if the data is given."""
        return self.limit or self.way.num_simulated or 0

    @property
    def anneals(self) -> bool:
        """Whether chains pass temperatures."""
        return self.way.passes > 0

    @property
    def ranks(self) -> bool:
        """Whether it tests calibration by ranks, and estimates nothing."""
        return self.way.estimate is None

    def refuse_unread(self, named: Iterable[str] = ()) -> None:
        """See that the estimator reads all that was set, by a value of its own or by name.

        Raises:
            UserError: it does not.
        """
        if not self.anneals:
            unread = [name for name in field_names(self.annealing) if name != "engine"]  # how, not what
            refuse_unread(self, unread, f"`estimator` {_ANNEALING}", named)

    @property
    def looks_at_guide(self) -> bool:
        """Whether the estimate depends on the guide: annealing from the prior does not."""
        return not self.anneals or self.annealing.start == "guide"

    @property
    def weighs(self) -> bool:
        """Whether the estimate weighs draws of the guide, which needs its density."""
        return self.way.weighs and self.looks_at_guide


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
            observation, and the labels to simulate for and the holes to give it, over and over.
        settings: what to estimate, and how; not ``sbc``, which is no estimate
            (:func:`ppl_vae.diagnostics.calibrate_pair`). The defaults if None.
        origin: where the data comes from, for the protocol.
        progress: show a progress bar; None shows it on a terminal and in a notebook.

    Raises:
        UserError: the guide is a point and the estimator needs its density, the pair cannot run on this data, or a
            setting that the estimator does not read.
    """
    settings = checked(settings or EvaluateConfig())
    settings.refuse_unread()
    check_origin(origin)
    refuse_point(guide, data, settings)
    way, truth = settings.way, None
    if way.estimate is None:
        raise UserError(
            f"`estimator` {settings.estimator} makes no estimate but ranks; call ppl_vae.calibrate, or use the command."
        )
    if settings.simulates:
        origin = origin or Origin.unknown(data)
        y, c = given_for(data, settings)
        simulated, truth = simulate(model, data.event_shape, settings.num_simulated, y, settings.seed, c)
        data = with_holes_of(data, simulated)
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
        results, acceptance = way.estimate(Asked(model, fitted.guide, data, truth, settings, done.update))
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
        if settings.ranks:
            raise UserError(
                "the guide puts z at one point and has no spread that could be calibrated; train with another guide or "
                "another `family`."
            )
        raise UserError(
            "the guide puts z at one point, which has no density, so there are no importance weights; use "
            "`estimator` elbo, or ais from the prior."
        )


def given_for(data: Dataset, settings: EvaluateConfig) -> tuple[Tensor | None, Tensor | None]:
    """Labels and conditions for simulated data, those of the data, over and over; None where it has none."""
    rows = torch.arange(settings.num_simulated, device=data.device) % len(data)
    y, c = (None if each is None else each[rows.to(each.device)] for each in (data.y, data.c))
    return y, c


def protocol_of(
    model: nn.Module, guide: nn.Module, data: Dataset, settings: EvaluateConfig, origin: Origin | None
) -> Protocol:
    """What an evaluation was made on, with what and how."""
    details = to_plain(settings.annealing) if settings.anneals else {}
    details.pop("engine", None)  # how it was worked out, not what
    return Protocol.of(model, guide, data, origin, settings.estimator, settings.draws, settings.seed, details)
