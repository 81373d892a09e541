"""Pyro's own way: ``SVI.step`` over modules in the global parameter store, as in the VAE example of its documentation.

Written anew after https://pyro.ai/examples/vae.html: two linear heads, a scale that is an exponential, probabilities
out of a sigmoid, ``pyro.module``, ``Trace_ELBO``, ``pyro.optim.Adam``, validation on, which is Pyro's default.
"""

from collections.abc import Iterable
from itertools import pairwise

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import ELBO, SVI, RenyiELBO, Trace_ELBO
from pyro.optim import Adam  # type: ignore[attr-defined]  # made at import, out of torch's
from pyro.params.param_store import StateDict
from torch import Tensor, nn

from ppl_vae.bench.minibatches import Minibatches
from ppl_vae.bench.sizes import Size

_ACTIVATIONS: dict[str, type[nn.Module]] = {"softplus": nn.Softplus, "tanh": nn.Tanh}


def _hidden(widths: tuple[int, ...], activation: str) -> nn.Sequential:
    layers = [(nn.Linear(i, o), _ACTIVATIONS[activation]()) for i, o in pairwise(widths)]
    return nn.Sequential(*(module for layer in layers for module in layer))


class Encoder(nn.Module):
    """From x to mean and scale of q(z | x)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.hidden = _hidden(size.widths, size.activation)
        self.loc = nn.Linear(size.widths[-1], size.latent_dim)
        self.log_scale = nn.Linear(size.widths[-1], size.latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """X ``(batch, pixels)`` to two of ``(batch, latent_dim)``."""
        hidden = self.hidden(x)
        return self.loc(hidden), self.log_scale(hidden).exp()


class Decoder(nn.Module):
    """From z to the probabilities of lit pixels."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        *widths, pixels = size.decoder_widths
        self.hidden = _hidden(tuple(widths), size.activation)
        self.pixels = nn.Linear(widths[-1], pixels)

    def forward(self, z: Tensor) -> Tensor:
        """Z ``(..., batch, latent_dim)`` to ``(..., batch, pixels)``."""
        return torch.sigmoid(self.pixels(self.hidden(z)))


class PyroVAE(nn.Module):
    """Model and guide as methods of one module."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latent_dim = Encoder(size), Decoder(size), size.latent_dim

    def model(self, x: Tensor) -> None:
        """z ~ N(0, I), x ~ Bernoulli(decoder(z))."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            prior = dist.Normal(x.new_zeros(len(x), self.latent_dim), x.new_ones(len(x), self.latent_dim))
            z = pyro.sample("latent", prior.to_event(1))
            pyro.sample("obs", dist.Bernoulli(self.decoder(z), validate_args=False).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """z ~ N(encoder(x))."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            pyro.sample("latent", dist.Normal(*self.encoder(x)).to_event(1))


class PyroExample:
    """Steps of ``SVI.step``; see :class:`ppl_vae.bench.contenders.Contender`.

    The importance bound is ``RenyiELBO(alpha=0)``, all draws in one call: the nearest that Pyro has. (It weighs the
    draws of the batch as one, which is no bound on log p(x) of a datapoint, at the same cost.)
    """

    def __init__(self, size: Size, device: str) -> None:
        torch.manual_seed(0)
        vae = PyroVAE(size).to(device)
        loss: ELBO = Trace_ELBO()
        if size.num_particles > 1:
            loss = RenyiELBO(alpha=0, num_particles=size.num_particles, vectorize_particles=True, max_plate_nesting=1)
        self.svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), loss)
        self.batches = Minibatches.of(size, device)
        self.store: StateDict = {"params": {}, "constraints": {}}

    def run(self, steps: int) -> float:
        """Take steps; the mean loss of them in nats per datapoint."""
        return self.take(self.batches.binarized(steps)) / steps / self.batches.batch_size

    def take(self, batches: Iterable[Tensor]) -> float:
        """Take a step on each of these batches, ``(batch, pixels)``; the sum of their losses, summed over the batch."""
        # Its parameters live in the global store: they are there while it runs, and at no other time.
        with pyro.get_param_store().scope(self.store) as self.store:
            return float(sum(self.svi.step(x) for x in batches))
