"""Amortized inference: one network gives every datapoint's parameters (Kingma and Welling 2014)."""

from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.guides.base import Guide
from ppl_vae.guides.families import Family
from ppl_vae.latents import Latents


class Amortized(Guide):
    """q(z | x) = family(encoder(x)).

    Args:
        latents: what to sample, from ``Latents.of(model, batch)``.
        family: what q is.
        encoder: maps x ``(batch, *event)`` to ``(batch, family.num_params)``.
    """

    def __init__(self, latents: Latents, family: Family, encoder: nn.Module) -> None:
        super().__init__(latents, family)
        self.encoder = encoder

    def params(self, batch: Batch) -> Tensor:
        """The encoder's output, ``(batch, num_params)``."""
        params: Tensor = self.encoder(batch.x)
        return params
