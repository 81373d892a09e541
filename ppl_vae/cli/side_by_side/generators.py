"""``ppl-vae generators``: what baselines and trained models generate, side by side."""

from typing import Annotated

from pydantic import Field

from ppl_vae.cli.side_by_side.base import Laid
from ppl_vae.reports.side_by_side import draws_of_runs
from ppl_vae.runtime.config import config

_Few = Annotated[int, Field(ge=1, le=50)]


@config
class Generators(Laid):
    """Lay draws of baselines and of trained models side by side, under test data of the same set.

    The pictures are free of pixel noise: E[x | z] of a model, z from its prior; of a baseline E[x | t], t its principal
    components. Arrays: data, and means_k of run k = 0, 1, ...

    examples:
      ppl-vae baseline gaussian --out runs/gaussian
      ppl-vae baseline mixture --out runs/mixture
      ppl-vae train --out runs/vae
      ppl-vae generators runs/gaussian runs/mixture runs/vae
    """

    rows: _Few | None = None
    """Rows of draws of each, 2 by default; with --by-label there is one for each label."""
    columns: _Few = 10
    """Draws in a row."""
    by_label: bool = False
    """A row for each label, of baselines and conditional models."""
    lay = staticmethod(draws_of_runs)
