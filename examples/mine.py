"""A model and a guide of one's own: copy this file and change it.

ppl-vae train --model examples/mine.py:Mine --guide examples/mine.py:Guide
"""

import pyro
import pyro.distributions as dist
import torch
from torch import nn
from torch.nn.functional import softplus

from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.programs.program import Program


class Mine(Program):
    """z ~ Laplace(0, I), x ~ Bernoulli(decoder(z))."""

    def __init__(
        self, event_shape, latent_dim, hidden, x_mean
    ):  # what a constructor can ask for: ppl_vae/registry/build.py
        super().__init__()
        self.event_dim = len(event_shape)
        self.decoder = Decoder(latent_dim, event_shape, hidden, start=torch.logit(x_mean.clamp(0.01, 0.99)))
        self.register_buffer("zero", torch.zeros(latent_dim))

    def forward(self, batch):
        """Sample z ``(batch, latent_dim)``, observe x."""
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Laplace(self.zero, torch.ones_like(self.zero)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(self.event_dim), obs=batch.x)


class Guide(Program):
    """q(z | x) = Laplace(loc(x), scale), the scale the same for every x."""

    def __init__(self, event_shape, latent_dim, hidden):
        super().__init__()
        self.encoder = Encoder(event_shape, latent_dim, hidden)
        self.raw_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, batch):
        """Sample the model's z, under its name and in its plate."""
        scale = softplus(self.raw_scale) + 1e-4
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Laplace(self.encoder(batch.x), scale).to_event(1))
