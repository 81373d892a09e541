"""Amortized inference: one network gives every datapoint's parameters (Kingma and Welling 2014)."""

from torch import Tensor, nn

from ppl_vae.guides.base import Guide
from ppl_vae.guides.families import Family
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.errors import UserError


class Amortized(Guide):
    """q(z | x) = family(encoder(x)), or q(z | x, y, c) = family(encoder(x, y, c)) of what the model is given.

    Args:
        latents: what to sample, from ``Latents.of(model, batch)``.
        family: what q is.
        encoder: maps x ``(batch, *event)`` to ``(batch, family.num_params)``.
        labelled: whether it is given the labels ``(batch,)`` too.
        holes: whether it is given, by the name ``mask``, which numbers of x were seen.
        conditioned: whether it is given, by the name ``c``, the conditions ``(batch, C)``.
    """

    def __init__(
        self,
        latents: Latents,
        family: Family,
        encoder: nn.Module,
        *,
        labelled: bool = False,
        holes: bool = False,
        conditioned: bool = False,
    ) -> None:
        super().__init__(latents, family)
        self.encoder, self.labelled, self.holes, self.conditioned = encoder, labelled, holes, conditioned

    def params(self, batch: Batch) -> Tensor:
        """The encoder's output, ``(batch, num_params)``.

        Raises:
            UserError: it needs labels or conditions and the batch has none.
        """
        if self.labelled and batch.y is None:
            raise UserError("this guide needs labels: give the data integer labels y.")
        if self.conditioned and batch.c is None:
            raise UserError("this guide needs conditions: give the data c, (N, C).")
        labels = (batch.y,) if self.labelled else ()
        beside = ({"mask": batch.mask} if self.holes else {}) | ({"c": batch.c} if self.conditioned else {})
        params: Tensor = self.encoder(batch.x, *labels, **beside)
        return params
