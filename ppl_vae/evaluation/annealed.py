"""What annealing comes to: the bound, and how its chains moved."""

from dataclasses import dataclass

from ppl_vae.estimates.estimate import Estimate
from ppl_vae.runtime.shown import Row, Shown


@dataclass(frozen=True, eq=False)
class Annealed(Shown):
    """The outcome of a run of chains.

    Args:
        log_px: the bound, per datapoint.
        acceptance: mean probability of acceptance of all transitions; NaN if there was none (T = 1).
    """

    log_px: Estimate
    acceptance: float

    def rows(self) -> list[Row]:
        """One, of the bound's mean and standard errors, and the acceptance."""
        return [{**self.log_px.to_dict(), "acceptance": self.acceptance}]

    def __str__(self) -> str:
        return f"{self.log_px}, acceptance {self.acceptance:.2f}"
