"""The sequence VAE: a latent for the whole, an LSTM for the steps (Bowman et al. 2016)."""

from typing import Annotated

import pyro
import torch
from pydantic import Field
from torch import Tensor

from ppl_vae.models.autoregressive import Autoregressive
from ppl_vae.models.base import Model
from ppl_vae.models.priors import Prior, StandardNormal
from ppl_vae.networks.recurrent import RecurrentDecoder
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.holes import seen
from ppl_vae.programs.layout import Layout


class SequenceVAE(Model):
    """z ~ p(z), x | z ~ ∏ₜ p(xₜ | x₍<t₎, z): :class:`ppl_vae.models.autoregressive.Autoregressive`.

    An LSTM that is told the past needs no z, and a model that is trained so may leave z empty: the KL collapses. So in
    training mode it is told only part of the past; each step is blanked with probability ``word_dropout``.

    Args:
        decoder: from z and the past to logits.
        latent_dim: size of z.
        layout: of the observations.
        prior: p(z), over ``latent_dim`` numbers; the standard normal if None.
        word_dropout: How often, in training, the decoder is not told the step before, so that it has to ask z.
    """

    def __init__(
        self,
        decoder: RecurrentDecoder,
        latent_dim: int,
        layout: Layout = "plain",
        prior: Prior | None = None,
        *,
        word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3,
    ) -> None:
        super().__init__()
        self.decoder, self.layout, self.word_dropout = decoder, layout, word_dropout
        self.prior = prior or StandardNormal(latent_dim)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, latent_dim)``, observe x ``(batch, T, C)`` in {0, 1}."""
        prior = self.prior()
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", prior)
            likelihood = Autoregressive(self.decoder, z, self.layout, self._kept(z))
            x: Tensor = pyro.sample("x", seen(likelihood, batch), obs=batch.x)
        return x

    def _kept(self, z: Tensor) -> Tensor | None:
        """Which steps the decoder is told, drawn here, so that the density itself is a function of x alone."""
        if not self.training or not self.word_dropout:
            return None
        shape = (*z.shape[:-1], self.decoder.event_shape[0], 1)
        kept: Tensor = (torch.rand(shape, dtype=z.dtype, device=z.device) >= self.word_dropout).to(z.dtype)
        return kept
