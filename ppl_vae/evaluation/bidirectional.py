"""log p(x) from both sides, on data that the model itself drew (Grosse et al. 2015; Wu et al. 2017)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate, rows_of, table_of
from ppl_vae.estimates.order import refuse_disorder
from ppl_vae.evaluation.annealed import Annealed
from ppl_vae.evaluation.annealing import AnnealingConfig, annealed_importance_bound, reverse_annealed_bound
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.shown import Row, Shown


@dataclass(frozen=True, eq=False)
class Bidirectional(Shown):
    """Both bounds on log p(x), of the same datapoints.

    Args:
        lower: from below.
        upper: from above.
    """

    lower: Annealed
    upper: Annealed

    @property
    def gap(self) -> Estimate:
        """Upper less lower, which bounds the error of either, nats per datapoint."""
        return self.upper.log_px - self.lower.log_px

    @property
    def acceptance(self) -> float:
        """Mean probability of acceptance of the transitions, of the direction where it is lower."""
        return min(self.lower.acceptance, self.upper.acceptance)

    def by_name(self) -> dict[str, Estimate]:
        """The gap and both bounds by name."""
        return {"bdmc_gap": self.gap, "log_px_lower": self.lower.log_px, "log_px_upper": self.upper.log_px}

    def __str__(self) -> str:
        return table_of(self.by_name())

    def rows(self) -> list[Row]:
        """A row for the gap and each bound."""
        return rows_of(self.by_name())


@in_range
def bidirectional_bounds(
    model: nn.Module,
    guide: nn.Module | None,
    data: Dataset,
    truth: dict[str, Tensor],
    num_chains: Count = 16,
    settings: AnnealingConfig | None = None,
    seed: Seed = 0,
    advance: Callable[[int], object] | None = None,
) -> Bidirectional:
    """Bidirectional Monte Carlo: the same annealing upwards from its start and downwards from an exact posterior draw.

    Args:
        model: p(x, z).
        guide: q(z | x), if the chains start there.
        data: x* ~ p(x | z*), as :func:`ppl_vae.evaluation.simulate` gives it.
        truth: z* ~ p(z) by site, as it gives them beside.
        num_chains: C, at least 1.
        settings: how; the defaults of :class:`AnnealingConfig` if None.
        seed: of the draws; the caller's generators are left alone.
        advance: called with datapoints × temperatures done, 2 × temperatures of each datapoint in all.

    Raises:
        UserError: the pair cannot run on this data; or the bound from above is below the other, beyond chance.
    """
    latents = Latents.of(model, data.probe())
    common = (num_chains, settings, latents, seed, advance)
    lower = annealed_importance_bound(model, guide, data, *common)
    upper = reverse_annealed_bound(model, guide, data, latents.flattened(truth), *common)
    refuse_disorder(
        lower.log_px,
        upper.log_px,
        "the bound on log p(x) from below is above the one from above",
        "the model, or the guide that chains start at, does not draw from the densities that it scores by: see that "
        "log_prob and sample of each distribution agree, and that all is drawn by pyro.sample.",
    )
    return Bidirectional(lower, upper)
