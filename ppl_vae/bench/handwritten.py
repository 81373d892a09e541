"""PyTorch by hand: what a careful programmer writes who wants no probabilistic language (Kingma and Welling 2014).

The loss is the same estimator as the contenders' in Pyro, log q(z | x) − log p(z) at the draws, written out:
½ z² − ½ ε² − log σ with z = μ + σ ε. Adam is torch's fused one.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ppl_vae.bench.minibatches import Minibatches
from ppl_vae.bench.sizes import Size

_ACTIVATIONS: dict[str, type[nn.Module]] = {"softplus": nn.Softplus, "tanh": nn.Tanh}


def _network(widths: tuple[int, ...], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class HandWritten:
    """Steps in eager PyTorch; see :class:`ppl_vae.bench.contenders.Contender`."""

    def __init__(self, size: Size, device: str) -> None:
        torch.manual_seed(0)
        self.size = size
        self.encoder = _network((*size.widths, 2 * size.latent_dim), size.activation).to(device)
        self.decoder = _network(size.decoder_widths, size.activation).to(device)
        params = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(params, lr=1e-3, fused=True)
        self.batches = Minibatches.of(size, device)

    def loss(self, x: Tensor) -> Tensor:
        """Minus the bound, averaged over ``(batch, pixels)``, nats per datapoint."""
        particles = self.size.num_particles
        loc, log_scale = self.encoder(x).chunk(2, dim=-1)  # (batch, z)
        shape = loc.shape if particles == 1 else (particles, *loc.shape)
        noise = torch.randn(shape, device=x.device)
        z = loc + log_scale.exp() * noise
        logits = self.decoder(z)
        divergence = 0.5 * (z.square() - noise.square()) - log_scale
        if particles == 1:
            cross_entropy = binary_cross_entropy_with_logits(logits, x, reduction="sum")
            loss: Tensor = (cross_entropy + divergence.sum()) / len(x)
            return loss
        cross_entropy = binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_weights = -cross_entropy - divergence.sum(-1)  # (particles, batch)
        bound: Tensor = log_weights.logsumexp(0).mean() - math.log(particles)
        return -bound

    def run(self, steps: int) -> float:
        """Take steps; the mean loss of them in nats per datapoint."""
        total = torch.zeros((), device=self.batches.x.device)
        for x in self.batches.binarized(steps):
            self.optimizer.zero_grad()
            loss = self.loss(x)
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
        return float(total) / steps
