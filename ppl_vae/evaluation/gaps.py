"""Where inference loses its nats, taken apart (Cremer et al. 2018).

    log p(x)  ≥  L*_f(x)  ≥  L(x)

L is the trained guide's ELBO and L*_f the best one that a family f can reach for this very x. So for every family

    log p(x) − L(x)  =  [log p(x) − L*_f(x)]  +  [L*_f(x) − L(x)]
    inference gap    =  approximation gap     +  amortization gap

log p(x) itself is the best of three lower bounds. Importance sampling and annealed importance sampling start from the
best local q, not from the guide's, so what the guide misses they need not miss; but a mode that the local q misses they
miss too. The third, annealed importance sampling from the prior, shares no mode with any q. Where it finds more than
the other two, beyond chance, on average or on some datapoints, the result says so; where it falls short of them beyond
chance, by how much.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from ppl_vae import figures
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate, errors_line
from ppl_vae.estimates.significance import beyond_chance, each_beyond_chance, freedom_of_draws
from ppl_vae.evaluation.annealing import AnnealingConfig, Schedule, Temperatures, annealed_importance_bound
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.evaluation.prior_draws import LeftOut
from ppl_vae.figures import GapBar
from ppl_vae.runtime.config import Count, Seed, checked, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import Row, Shown, with_error
from ppl_vae.tracing.capture import Engine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of so few chains, hence degrees of freedom, a single one of many datapoints can hardly be told: each is held to this
# level, and it is counted on how many more is found than chance makes.
_EACH = 0.01
_PARTS = ("local", "approximation", "amortization")


@config
class GapsConfig:
    """How to take the gap apart."""

    elbo_samples: Count = 100
    """Draws of z for each ELBO."""
    num_samples: Count = 1000
    """Draws of z for the importance bound, the best local q being the proposal."""
    chains: Count = 4
    """Chains of annealed importance sampling for each datapoint."""
    temperatures: Temperatures = 50
    """Annealing from the best local q: T, densities passed between it and the posterior."""
    prior_temperatures: Temperatures = 300
    """Annealing from the prior, which shares no mode with any q: T. Most of the time of all estimates goes here, in
    proportion to T."""
    leapfrog: Count = AnnealingConfig.leapfrog
    """Annealing: leapfrog steps of the transition at each temperature."""
    schedule: Schedule = AnnealingConfig.schedule
    """Annealing: how the temperatures are spaced; sigmoid has more of them near both ends."""
    engine: Engine = "auto"
    """How the densities are evaluated: eager, plain Pyro; traced, compiled once; auto, what ends sooner."""
    seed: Seed = 0
    """Seed of all draws."""

    def annealing(self, start: Literal["prior", "guide"]) -> AnnealingConfig:
        """How to anneal from there; "guide" is the best local q."""
        count = self.prior_temperatures if start == "prior" else self.temperatures
        return AnnealingConfig(count, self.leapfrog, self.schedule, start, self.engine)

    @property
    def total(self) -> int:
        """Temperatures that each datapoint passes in all, what a progress bar counts."""
        return self.annealing("prior").total + self.annealing("guide").total


@dataclass(frozen=True, eq=False)
class FamilyGap:
    """The inference gap as one family divides it, nats per datapoint.

    Args:
        local: L*_f, the ELBO of the family's local optimum.
        approximation: log p(x) − L*_f, what no member of the family can reach.
        amortization: L*_f − L, what the guide's own q misses of it.
    """

    local: Estimate
    approximation: Estimate
    amortization: Estimate


@dataclass(frozen=True, eq=False)
class Gaps(Shown):
    """The inference gap, taken apart; nats per datapoint, all over the same datapoints in the same order.

    Args:
        log_px: the best of ``bounds``.
        best: which of them: the one with the greatest mean. (A choice for each datapoint would keep what noise has
            lifted, and be no bound; one choice of three for all keeps less than the error of draws of a difference.)
        bounds: lower bounds on log p(x) by the name of their estimator: ``importance``, ``annealed`` and
            ``annealed_from_prior``.
        missed: what annealing from the prior finds beyond the better of the two from the best local q, and where.
        proposal: the family whose local fits they were drawn from: the one with the highest ELBO.
        guide: L, the trained guide's ELBO.
        inference: log p(x) − L.
        families: how each family divides it, by name.
    """

    log_px: Estimate
    best: str
    bounds: dict[str, Estimate]
    missed: LeftOut
    proposal: str
    guide: Estimate
    inference: Estimate
    families: dict[str, FamilyGap]

    @property
    def beyond_local(self) -> Estimate:
        """What annealing from the prior finds beyond the best local q's bounds, negative where it falls short."""
        return self.missed.more

    @property
    def warnings(self) -> list[str]:
        """That the local fits miss part of a posterior, where annealing from the prior shows it."""
        start = f"the bounds that start from the best local q ({self.proposal})"
        if beyond_chance(self.beyond_local):
            return [
                f"annealing from the prior finds {_words(self.beyond_local)} nats more of log p(x) than {start}: on "
                "some datapoints that q misses a mode, or a tail, of the posterior."
            ]
        if self.missed.telling:
            return [
                f"on {100 * self.missed.share:.0f} % of datapoints annealing from the prior finds more of log p(x), "
                f"{self.missed.nats:.2f} nats there, than {start}: there that q misses a mode, or a tail, of "
                "the posterior, and log p(x) is too low."
            ]
        return []

    @property
    def notes(self) -> list[str]:
        """How far annealing from the prior is from the bound that was taken, where it is below it."""
        short = -self.beyond_local
        if not beyond_chance(short):
            return []
        return [
            f"annealing from the prior ends {_words(short)} nats below the bounds that start from the best local q "
            f"({self.proposal}): modes that this q misses would show only if they were worth more; raise "
            "`prior_temperatures` to see closer."
        ]

    def lines(self, own: str = "", where: str = "") -> list[str]:
        """Bounds, gap and a table of families, a line each; ``own`` is called the guide's, ``where`` is the data."""
        names = {name: f"{name} (the guide's family)" if name == own else name for name in self.families}
        width = 2 + max(map(len, [heading := f"{where}: family" if where else "family", *names.values()]))
        lines = [
            f"  {_text('log p(x) ≥', bound)}  {name}{' (used)' if name == self.best else ''}"
            for name, bound in self.bounds.items()
        ]
        of_guide = _text("guide's ELBO", self.guide)
        lines += [f"  {of_guide}", f"  {_text('inference gap', self.inference)}"]
        lines.append(f"  {heading:<{width}}{'ELBO of its best q':>28}{'approximation gap':>28}{'amortization gap':>28}")
        for name, gap in self.families.items():
            cells = map(_cell, (gap.local, gap.approximation, gap.amortization))
            lines.append(f"  {names[name]:<{width}}{''.join(cells)}")
        return lines

    def __str__(self) -> str:
        told = [*(f"  note: {note}" for note in self.notes), *(f"  warning: {warning}" for warning in self.warnings)]
        return "\n".join([*self.lines(), *told, errors_line([self.inference])])

    def rows(self) -> list[Row]:
        """A row for each family: its local optimum and the two gaps, each with its standard error."""
        return [
            {"family": name}
            | {part: getattr(gap, part).mean for part in _PARTS}
            | {f"{part}_stderr": getattr(gap, part).stderr for part in _PARTS}
            for name, gap in self.families.items()
        ]

    def bars(self) -> list[GapBar]:
        """The gaps as :func:`ppl_vae.figures.gaps` draws them."""
        return [GapBar(name, _pair(gap.approximation), _pair(gap.amortization)) for name, gap in self.families.items()]

    def figure(self, title: str = "", caption: str = "") -> "Figure":
        """Both gaps as bars, a row for each family."""
        return figures.gaps([(title or f"{len(self.guide.values)} datapoints", self.bars())], caption)

    def to_dict(self) -> dict[str, Any]:
        """Means and standard errors by name, ready for JSON."""
        return {
            "log_px": self.log_px.to_dict() | {"estimator": self.best, "proposal": self.proposal},
            "bounds": {
                name: bound.to_dict() | ({"rise": bound.rise.to_dict()} if bound.rise else {})
                for name, bound in self.bounds.items()
            },
            "beyond_local": self.beyond_local.to_dict() | {"share": self.missed.share, "nats": self.missed.nats},
            "guide": self.guide.to_dict(),
            "inference": self.inference.to_dict(),
            "families": {
                name: {part: getattr(gap, part).to_dict() for part in _PARTS} for name, gap in self.families.items()
            },
        }


def take_apart(
    model: nn.Module,
    guide: nn.Module,
    local: Mapping[str, nn.Module],
    data: Dataset,
    settings: GapsConfig | None = None,
    advance: Callable[[int], object] | None = None,
) -> Gaps:
    """Take the inference gap of a trained pair apart.

    Args:
        model: p(x, z), trained.
        guide: q(z | x), trained with it.
        local: for each family, by name, a guide whose q of each of these datapoints is fitted to it alone, the model
            frozen (:func:`ppl_vae.inference.fitting.infer`); at least one.
        data: the datapoints; not dynamic, since a local q is of one x and no other.
        settings: how; the defaults of :class:`GapsConfig` if None.
        advance: called with datapoints × temperatures of annealing done, for a progress bar.

    Raises:
        ValueError: the data is dynamic, or there is no family.
        UserError: an ELBO is not finite (the message names the family), or no bound on log p(x) is.
    """
    settings = checked(settings or GapsConfig())
    if data.dynamic or not local:
        raise ValueError("gaps need fixed data, data.fixed(seed), and at least one family")
    seed, draws = settings.seed, settings.elbo_samples
    reached = elbo(model, guide, data, draws, seed).elbo
    _refuse_unless_finite(reached, "the guide's ELBO", "the pair cannot be measured; train it again.")
    optima = {name: elbo(model, program, data, draws, seed).elbo for name, program in local.items()}
    for name, optimum in optima.items():
        # Not left out with a note: a family of which the datapoints that it fails on are missing has no gap.
        advice = "leave the family out, or fit it with a smaller `infer_rate`."
        _refuse_unless_finite(optimum, f"family '{name}': the ELBO of its local fit", advice)
    name = max(optima, key=lambda name: optima[name].mean)
    proposal = local[name]

    def annealed(start: Literal["prior", "guide"]) -> Estimate:
        how, base = settings.annealing(start), proposal if start == "guide" else None
        return annealed_importance_bound(model, base, data, settings.chains, how, seed=seed, advance=advance).log_px

    bounds = {
        "importance": importance_bound(model, proposal, data, settings.num_samples, seed, engine=settings.engine),
        "annealed": annealed("guide"),
        "annealed_from_prior": annealed("prior"),
    }
    best, of_local = _best(bounds), _best({each: bounds[each] for each in ("importance", "annealed")})
    _refuse_unless_finite(bounds[best], "the bound on log p(x)", "the pair cannot be measured; train it again.")
    log_px = bounds[best]
    families = {each: FamilyGap(optimum, log_px - optimum, optimum - reached) for each, optimum in optima.items()}
    missed = _missed(bounds["annealed_from_prior"], bounds[of_local])
    return Gaps(log_px, best, bounds, missed, name, reached, log_px - reached, families)


def _best(bounds: Mapping[str, Estimate]) -> str:
    """The one with the greatest mean; NaN compares with nothing, and as it stands would win from the first place."""
    return max(bounds, key=lambda name: bounds[name].mean if math.isfinite(bounds[name].mean) else -math.inf)


def _missed(of_prior: Estimate, of_local: Estimate) -> LeftOut:
    more = of_prior - of_local
    variance, freedoms = torch.zeros(len(more.values), dtype=torch.float64), []
    for bound in (of_prior, of_local):
        variance += math.nan if bound.noise is None else bound.noise.double().square().sum(0)
        freedoms.append(freedom_of_draws(bound))
    return LeftOut(of_prior, more, each_beyond_chance(more.values, variance, min(freedoms), _EACH), _EACH)


def _text(label: str, estimate: Estimate) -> str:
    return f"{label:<14}{_cell(estimate)}"


def _cell(estimate: Estimate) -> str:
    return str(estimate).rjust(28)


def _pair(estimate: Estimate) -> tuple[float, float]:
    return estimate.mean, estimate.stderr


def _words(difference: Estimate) -> str:
    error = difference.stderr if len(difference.values) > 1 else difference.monte_carlo_stderr
    return with_error(difference.mean, error, 3)


def _refuse_unless_finite(estimate: Estimate, what: str, advice: str) -> None:
    failed = int((~estimate.values.isfinite()).sum())
    if failed:
        raise UserError(f"{what} is not finite on {failed} of {len(estimate.values)} datapoints; {advice}")
