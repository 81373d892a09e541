"""Per-datapoint inference: classic variational inference, free parameters for each datapoint (Jordan et al. 1999)."""

from torch import Tensor

from ppl_vae.guides.base import Guide
from ppl_vae.guides.families import Family
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.rows import RowTable


class PerDatapoint(Guide):
    """q(zₙ) = family(rowₙ), rows addressed by ``batch.index``; with the diagonal family, mean-field.

    Args:
        latents: what to sample, from ``Latents.of(model, batch)``.
        family: what q is.
        num_data: N, the number of datapoints.
        first: the number of the first of them in its data set.
    """

    def __init__(self, latents: Latents, family: Family, num_data: int, first: int = 0) -> None:
        super().__init__(latents, family)
        self.table = RowTable(num_data, family.num_params, first)

    def params(self, batch: Batch) -> Tensor:
        """The rows, ``(batch, num_params)``."""
        params: Tensor = self.table(batch.index)
        return params
