"""The variational autoencoder's generative program (Kingma and Welling 2014; Rezende et al. 2014)."""

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.models.base import Model


class VAE(Model):
    """z ~ N(0, I), x | z ~ Bernoulli(logits = decoder(z)), independent pixels.

    Args:
        decoder: maps z ``(..., latent_dim)`` to logits ``(..., *event)``.
        latent_dim: size of z.
    """

    def __init__(self, decoder: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, latent_dim)``, observe x ``(batch, *event)`` in {0, 1} (in [0, 1]: no likelihood)."""
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1))
            logits = self.decoder(z)
            event_dim = batch.x.dim() - 1
            # Grey levels are let through, and labelled where they come out; that x is in [0, 1] check_pair sees to.
            likelihood = dist.Bernoulli(logits=logits, validate_args=False).to_event(event_dim)
            x: Tensor = pyro.sample("x", likelihood, obs=batch.x)
        return x
