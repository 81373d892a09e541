"""The floor: the matrix products of a step, forward and backward, and nothing else."""

import math
from itertools import pairwise

import torch

from ppl_vae.bench.sizes import Size


class Floor:
    """The products that no implementation can leave out; see :class:`ppl_vae.bench.contenders.Contender`.

    Of each layer y = x Wᵀ: that product, the weight's gradient gᵀ x and, but for the first layer, the input's g W.
    Every result goes into memory that is there already.
    """

    def __init__(self, size: Size, device: str) -> None:
        torch.manual_seed(0)
        self.products = []
        encoder = pairwise((*size.widths, 2 * size.latent_dim))
        decoder = pairwise(size.decoder_widths)
        layers = [(size.batch_size, *widths) for widths in encoder]
        layers += [(size.batch_size * size.num_particles, *widths) for widths in decoder]
        for number, (rows, width_in, width_out) in enumerate(layers):
            x, g, weight = (
                torch.randn(shape, device=device)
                for shape in ((rows, width_in), (rows, width_out), (width_out, width_in))
            )
            pairs = [(x, weight.T), (g.T, x)] + ([(g, weight)] if number else [])
            self.products += [(a, b, a @ b) for a, b in pairs]

    @torch.no_grad()
    def run(self, steps: int) -> float:
        """Multiply; there is no loss."""
        for _ in range(steps):
            for a, b, out in self.products:
                torch.mm(a, b, out=out)
        if out.device.type != "cpu":
            out[0, 0].item()  # wait for the device
        return math.nan
