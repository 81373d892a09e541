"""The evaluation of a pair as one result: estimates, diagnostics, what is to be doubted, and the protocol."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ppl_vae.data.checks import check_rows_are_there
from ppl_vae.data.dataset import Dataset
from ppl_vae.diagnostics.diagnosis import Diagnostics, diagnose
from ppl_vae.diagnostics.per_datapoint import EachDatapoint, as_csv, per_datapoint
from ppl_vae.estimates.caveats import BELOW_ZERO, POINT_IN_WORDS
from ppl_vae.estimates.estimate import Estimate, Origin, Protocol, errors_line, rows_of, table_of
from ppl_vae.estimates.significance import still_rising
from ppl_vae.evaluation.estimators import EvaluateConfig, Evaluated, estimates, fitted_to
from ppl_vae.evaluation.per_step import BesideNGrams, beside_ngrams, has_steps
from ppl_vae.evaluation.weight_tails import WeightTails, weight_tails
from ppl_vae.guides.unseen import doubts_about, lines_about, told_of
from ppl_vae.programs.density import has_density
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.config import changed, checked, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Row, Shown

_DIAGNOSED = 500  # datapoints that diagnostics look at where not so many are asked for: a thousand draws of each
_DRAWS = 1000
_LOW_ACCEPTANCE = 0.4  # the step sizes aim at 0.65


@dataclass(frozen=True, eq=False)
class Evaluation(Shown):
    """An evaluation; nats per datapoint.

    Args:
        estimated: the estimates, what they were made on and with.
        settings: what was asked for.
        per_step: per step of a sequence, beside n-grams; None of other models, or without training data to count on.
        diagnostics: of the pair; None where they were not asked for, or do not belong to the estimator.
        weights: of the guide's draws at each datapoint; None where nothing needs them, or q has no density.
        point: whether q is a point, which has a reconstruction and no ELBO.
    """

    estimated: Evaluated
    settings: EvaluateConfig
    per_step: BesideNGrams | None
    diagnostics: Diagnostics | None
    weights: WeightTails | None
    point: bool

    @property
    def results(self) -> dict[str, Estimate]:
        """The estimates by name, the headline first."""
        return self.estimated.results

    @property
    def protocol(self) -> Protocol:
        """What they were made on, with what and how; what they may be compared with."""
        return self.estimated.protocol

    @property
    def warnings(self) -> list[str]:
        """What is to be doubted of the numbers, and what is wrong with the pair, in words."""
        fits = self.estimated.fitted.fits
        found = [
            *self._rising(),
            *self._stuck(),
            *(doubts_about(fits, self.settings.infer) if fits is not None else []),
        ]
        if self.diagnostics:
            found += [*self.diagnostics.warnings, *self._of_bound()]
        return [*found, *self._of_point()]

    def rows(self) -> list[Row]:
        """A row for each estimate."""
        return rows_of(self.results)

    def footnotes(self) -> list[str]:
        """Which errors the numbers have, and the protocol."""
        return [errors_line(self.results.values()), *self.protocol.in_words()]

    def per_datapoint(self) -> EachDatapoint:
        """What was found of each datapoint, with its row number and label: the ELBO, its parts and log p(x), each with
        its standard error over draws; see :func:`ppl_vae.diagnostics.per_datapoint.per_datapoint`.

        What the estimator does not give is by draws of the diagnostics, of as many datapoints as these were made on.
        """
        data = self.estimated.data
        return per_datapoint(self.results, self.weights, data.y, data.names)

    def to_csv(self) -> str:
        """:meth:`per_datapoint` as text, a row for each datapoint."""
        return as_csv(self.per_datapoint())

    @property
    def of_each(self) -> str:
        """Which columns of :meth:`per_datapoint` are the estimates, and by how many draws the others are."""
        return f"{', '.join(self.results)} as above, the rest by {_DRAWS} draws"

    def to_dict(self) -> dict[str, Any]:
        """The headline, its errors, and everything else, as JSON takes it."""
        plain = as_plain(self.results, self.protocol)
        headline = self._headline
        if headline.rise:
            plain["rise"] = headline.rise.to_dict() | {"still_rising": still_rising(headline)}
        if (acceptance := self.estimated.acceptance) is not None:
            plain["acceptance"] = acceptance if math.isfinite(acceptance) else None
        if self.per_step:
            plain["per_step"] = self.per_step.to_dict()
        plain |= told_of(self.estimated.fitted, self.settings.infer)
        if self.diagnostics:
            plain["diagnostics"] = self.diagnostics.to_dict()
        if self.point:
            plain["warning"] = POINT_IN_WORDS
        return plain

    def __str__(self) -> str:
        """How it was estimated, what is to be known of it, and last the numbers, the headline last of all."""
        fitted, infer, headline = self.estimated.fitted, self.settings.infer, self._headline
        lines = self.protocol.in_words(None if fitted.fits is None else to_plain(infer))
        lines += lines_about(fitted, infer)
        if self.diagnostics:
            lines += self.diagnostics.lines(weights=self.settings.weighs)
            lines += _warned((*self.diagnostics.warnings, *self._of_bound()))
        if (acceptance := self.estimated.acceptance) is not None:
            lines += [f"acceptance {acceptance:.2f} of the Hamiltonian transitions", *_warned(self._stuck())]
        if headline.rise:
            of_half = f"with half of the {self.settings.draws} {self._draws} this bound is {headline.rise} nats lower"
            lines += [of_half, *_warned(self._rising())]
        if self.per_step:
            lines.append(str(self.per_step))
        if "kl" in self.results and self.results["kl"].mean < 0:
            lines.append(BELOW_ZERO)
        lines += [*_warned(self._of_point()), f"{errors_line(self.results.values())}:"]
        return "\n".join([*lines, table_of(dict(reversed(self.results.items())))])

    @property
    def _headline(self) -> Estimate:
        return next(iter(self.results.values()))

    @property
    def _draws(self) -> str:
        return "chains" if self.settings.anneals else "draws"

    def _rising(self) -> list[str]:
        if not still_rising(self._headline):
            return []
        advice = "`temperatures`" if self.settings.anneals else "`num_samples`, or take `estimator` ais"
        return [f"that is more than its error: with more of them it would be higher still; raise {advice}."]

    def _stuck(self) -> list[str]:
        acceptance = self.estimated.acceptance
        if acceptance is None or not acceptance < _LOW_ACCEPTANCE:
            return []
        return [
            "the chains hardly move, because their steps are too long; raise `temperatures`, with which "
            "it grows longer."
        ]

    def _of_bound(self) -> tuple[str, ...]:
        """What is wrong with the importance bound does not touch the ELBO."""
        found = self.diagnostics
        return found.bound_warnings if found and self.settings.weighs else ()

    def _of_point(self) -> list[str]:
        return [POINT_IN_WORDS] if self.point else []


def evaluate(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: EvaluateConfig | None = None,
    *,
    diagnosed: bool = True,
    each: bool = False,
    origin: Origin | None = None,
    train: Callable[[], Dataset] | None = None,
    layout: Layout = "plain",
    unfinished: str = "",
    progress: bool | None = None,
    **named: object,
) -> Evaluation:
    """Estimate log p(x) or the ELBO of a pair on data, and say what is to be known of the numbers.

    Args:
        model: p(x, z), trained.
        guide: q(z | x), trained with it; where it has no answer to this data, its rows are fitted to it.
        data: the datapoints, on the device of the pair; see :func:`ppl_vae.evaluation.estimates`.
        settings: what to estimate, and how; not ``sbc``, for which there is
            :func:`ppl_vae.diagnostics.calibrate_pair`. The defaults if None.
        diagnosed: with an estimator by draws of the guide (``way.is_diagnosed``), diagnostics, on as many datapoints as
            ``settings.limit``, or on the first 500.
        each: what is in :meth:`Evaluation.per_datapoint` for each estimator; diagnostics then are of all datapoints.
        origin: where the data comes from, for the protocol.
        train: gives the training data, on which n-grams are counted; called only for a model of sequences.
        layout: of an observation.
        unfinished: why inactive units are no collapse, in words; see :func:`ppl_vae.diagnostics.diagnose`.
        progress: show progress bars; None shows them on a terminal and in a notebook.
        named: settings by name, in place of those in ``settings``: ``estimator="iwae", num_samples=500``.

    Raises:
        UserError: no setting has that name, the estimator does not read it, or as :func:`ppl_vae.evaluation.estimates`.
    """
    settings = checked(changed(settings or EvaluateConfig(), named))
    settings.refuse_unread(named)
    if not diagnosed and not settings.way.is_diagnosed:
        raise UserError(f"`no_diagnose`: `estimator` {settings.estimator} makes no diagnostics; leave it out.")
    check_rows_are_there(data)
    found = estimates(model, guide, data, settings, origin, progress)
    if each and not settings.looks_at_guide:  # annealing has looked at no guide, the table has columns of one
        found = found._replace(fitted=fitted_to(model, guide, found.data, settings.infer, progress))
    pair, data = (model, found.fitted.guide), found.data
    point = "reconstruction" in found.results and not has_density(found.fitted.guide, data.probe())
    steps = None
    if train and not settings.simulates and not point and has_steps(model, data, layout):
        headline, estimate = next(iter(found.results.items()))
        steps = beside_ngrams(headline, estimate, data, train().fixed(0), layout)
    diagnostics, weights = None, None
    if diagnosed and settings.way.is_diagnosed and len(data) > 1:
        num = len(data) if settings.limit or each else min(_DIAGNOSED, len(data))
        with bar(num, "datapoint", "diagnosing", progress) as done:
            try:
                diagnostics = diagnose(*pair, data, _DRAWS, settings.seed, done.update, num, unfinished)
            except UserError as error:
                how = "`no_diagnose`, in Python diagnosed=False, leaves the diagnostics out"
                raise UserError(f"{str(error).rstrip('.')}; {how}.") from None
        weights = diagnostics.weights
    elif each:  # those of the draws that diagnostics make
        with seeded(stream(settings.seed, "draws"), data.device):
            weights = weight_tails(*pair, data, _DRAWS) if has_density(found.fitted.guide, data.probe()) else None
    if point:
        found = found._replace(protocol=replace(found.protocol, estimator="reconstruction"))
    return Evaluation(found, settings, steps, diagnostics, weights, point)


def as_plain(results: dict[str, Estimate], protocol: Protocol) -> dict[str, Any]:
    """The headline first: its value and errors, over datapoints and over draws, then the other parts with theirs."""
    plain: dict[str, Any] = {}
    for name, estimate in results.items():
        prefix = f"{name}_" if plain else ""
        found = estimate.to_dict()
        plain |= {name: found.pop("mean"), **{f"{prefix}{error}": value for error, value in found.items()}}
    return {**plain, "unit": "nats per datapoint", "protocol": protocol.to_dict()}


def _warned(warnings: Iterable[str]) -> list[str]:
    return [f"warning: {warning}" for warning in warnings]
