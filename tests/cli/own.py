"""A user's file, as tests give it to the commands: a labelled model, its guide, and a guide that is a point.

It imports nothing of ours: a pair is Pyro programs, and whatever a command does it finds out from them.
"""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule
from torch import nn


class Labelled(PyroModule):
    """z ~ N(0, I), x | z, y ~ Bernoulli(W z + class's own image)."""

    def __init__(self, event_shape, latent_dim, num_classes):
        super().__init__()
        self.shape = event_shape
        self.decoder = nn.Linear(latent_dim, _size(event_shape))
        self.of_class = nn.Parameter(torch.randn(num_classes, *event_shape))
        self.register_buffer("zero", torch.zeros(latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1))
            logits = self.decoder(z).unflatten(-1, self.shape) + self.of_class[batch.y]
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(len(self.shape)), obs=batch.x)


class Unlabelled(PyroModule):
    """z ~ N(0, I), x | z ~ Bernoulli(W z + b)."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.shape = event_shape
        self.decoder = nn.Linear(latent_dim, _size(event_shape))
        self.register_buffer("zero", torch.zeros(latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.zero, torch.ones_like(self.zero)).to_event(1))
            logits = self.decoder(z).unflatten(-1, self.shape)
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(len(self.shape)), obs=batch.x)


class Encoded(PyroModule):
    """q(z | x) = N(loc(x), scale²)."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.encoder = nn.Linear(_size(event_shape), latent_dim)
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.encoder(batch.x.flatten(1)), self.log_scale.exp()).to_event(1))


class Spot(PyroModule):
    """q(z | x) = the point loc(x)."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.encoder = nn.Linear(_size(event_shape), latent_dim)

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Delta(self.encoder(batch.x.flatten(1)), event_dim=1))


def _size(shape):
    return torch.Size(shape).numel()
