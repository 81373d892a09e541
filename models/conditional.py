"""The conditional VAE: the label is given, and z is left with the rest (Kingma et al. 2014; Sohn et al. 2015)."""

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.errors import UserError
from ppl_vae.models.base import Model


class ConditionalVAE(Model):
    """z ~ N(0, I), x | z, y ~ Bernoulli(logits = decoder(z, y)); y is observed and has no distribution of its own.

    Every "log p(x)" of this model is log p(x | y).

    Args:
        decoder: maps z ``(..., latent_dim)`` and labels ``(batch,)`` to logits ``(..., *event)``.
        latent_dim: size of z.
        num_classes: labels are 0, …, num_classes − 1.
    """

    loc: Tensor

    def __init__(self, decoder: nn.Module, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.num_classes = num_classes
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Sample z ``(..., batch, latent_dim)``, observe x ``(batch, *event)`` in {0, 1} (in [0, 1]: no likelihood).

        Raises:
            UserError: the batch has no labels.
        """
        if batch.y is None:
            raise UserError("the conditional model needs labels: give the data integer labels y.")
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.loc, torch.ones_like(self.loc)).to_event(1))
            logits = self.decoder(z, batch.y)
            event_dim = batch.x.dim() - 1
            # Grey levels are let through, and labelled where they come out; that x is in [0, 1] check_pair sees to.
            likelihood = dist.Bernoulli(logits=logits, validate_args=False).to_event(event_dim)
            x: Tensor = pyro.sample("x", likelihood, obs=batch.x)
        return x
