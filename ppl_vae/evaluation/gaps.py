"""Where inference loses its nats, taken apart (Cremer et al. 2018).

    log p(x)  ≥  L*_f(x)  ≥  L(x)

L is the trained guide's ELBO and L*_f the best one that a family f can reach for this very x. So for every family

    log p(x) − L(x)  =  [log p(x) − L*_f(x)]  +  [L*_f(x) − L(x)]
    inference gap    =  approximation gap     +  amortization gap

log p(x) itself is the better of two lower bounds, both started from the best local q, not from the guide's: importance
sampling and annealed importance sampling. So what the guide misses is not missed by the ruler.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ppl_vae.config import Count, Seed, checked, config
from ppl_vae.data.dataset import Dataset
from ppl_vae.errors import UserError
from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound
from ppl_vae.evaluation.bounds import elbo, importance_bound
from ppl_vae.evaluation.estimate import Estimate


@config
class GapsConfig:
    """How to take the gap apart."""

    elbo_samples: Count = 100
    """Draws of z for each ELBO."""
    num_samples: Count = 1000
    """Draws of z for the importance bound, the best local q being the proposal."""
    chains: Count = 4
    """Chains of annealed importance sampling for each datapoint."""
    annealing: AnnealingConfig = field(default_factory=lambda: AnnealingConfig(temperatures=50, start="guide"))
    """Annealed importance sampling; "guide" is here the best local q."""
    seed: Seed = 0
    """Seed of all draws."""


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
class Gaps:
    """The inference gap, taken apart; nats per datapoint, all over the same datapoints in the same order.

    Args:
        log_px: the best of ``bounds``.
        best: which of them: the one with the greater mean. (A choice for each datapoint would keep what noise has
            lifted, and be no bound; one choice for all keeps at most the standard error of their difference.)
        bounds: lower bounds on log p(x) by the name of their estimator.
        proposal: the family whose local fits they were drawn from: the one with the highest ELBO.
        guide: L, the trained guide's ELBO.
        inference: log p(x) − L.
        families: how each family divides it, by name.
    """

    log_px: Estimate
    best: str
    bounds: dict[str, Estimate]
    proposal: str
    guide: Estimate
    inference: Estimate
    families: dict[str, FamilyGap]

    def to_dict(self) -> dict[str, Any]:
        """Means and standard errors by name, ready for JSON."""
        parts = ("local", "approximation", "amortization")
        return {
            "log_px": self.log_px.to_dict() | {"estimator": self.best, "proposal": self.proposal},
            "bounds": {name: bound.to_dict() for name, bound in self.bounds.items()},
            "guide": self.guide.to_dict(),
            "inference": self.inference.to_dict(),
            "families": {
                name: {part: getattr(gap, part).to_dict() for part in parts} for name, gap in self.families.items()
            },
        }


def inference_gaps(
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
            frozen (:func:`ppl_vae.inference.infer`); at least one.
        data: the datapoints; not dynamic, since a local q is of one x and no other.
        settings: how; the defaults of :class:`GapsConfig` if None.
        advance: called with datapoints × temperatures of annealing done, for a progress bar.

    Raises:
        ValueError: the data is dynamic, or there is no family.
        UserError: an ELBO is not finite (the message names the family), or neither bound on log p(x) is.
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
        advice = "leave the family out, or fit it with a smaller --infer-rate."
        _refuse_unless_finite(optimum, f"family '{name}': the ELBO of its local fit", advice)
    name = max(optima, key=lambda name: optima[name].mean)
    proposal, engine = local[name], settings.annealing.engine
    bounds = {
        "importance": importance_bound(model, proposal, data, settings.num_samples, seed, engine=engine),
        "annealed": annealed_importance_bound(
            model, proposal, data, settings.chains, settings.annealing, seed=seed, advance=advance
        ).log_px,
    }
    # NaN compares with nothing: as it stands it would win from the first place.
    best = max(bounds, key=lambda name: bounds[name].mean if math.isfinite(bounds[name].mean) else -math.inf)
    _refuse_unless_finite(bounds[best], "the bound on log p(x)", "the pair cannot be measured; train it again.")
    log_px = bounds[best]
    families = {each: FamilyGap(optimum, log_px - optimum, optimum - reached) for each, optimum in optima.items()}
    return Gaps(log_px, best, bounds, name, reached, log_px - reached, families)


def _refuse_unless_finite(estimate: Estimate, what: str, advice: str) -> None:
    failed = int((~estimate.values.isfinite()).sum())
    if failed:
        raise UserError(f"{what} is not finite on {failed} of {len(estimate.values)} datapoints; {advice}")
