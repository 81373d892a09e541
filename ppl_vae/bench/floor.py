"""The floor: the matrix products of a step, forward and backward, and nothing else."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ppl_vae.bench.sizes import Size
from ppl_vae.tracing.choices import shortest_seconds
from ppl_vae.tracing.products import KERNELS


def _fastest(left: Tensor, right: Tensor, out: Tensor) -> Callable[[], object]:
    """The product by torch's own kernel or, on a processor, by oneDNN, whichever is faster."""
    ways: list[Callable[[], object]] = [lambda: torch.mm(left, right, out=out)]
    if left.device.type == "cpu" and torch.backends.mkldnn.is_available():
        ways.append(lambda: KERNELS["oneDNN"](left, right))
    taken = shortest_seconds({str(number): way for number, way in enumerate(ways)})
    return ways[int(min(taken, key=lambda number: taken[number]))]


class Floor:
    """The products that no implementation can leave out; see :class:`ppl_vae.bench.contenders.Contender`.

    Of each layer y = x Wᵀ: that product, the weight's gradient gᵀ x and, but for the first layer, the input's g W.
    Each is taken by the fastest kernel at hand; torch's own writes into memory that is there already.
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
        self.calls = [_fastest(*product) for product in self.products]
        self.device = x.device

    @torch.no_grad()
    def run(self, steps: int) -> float:
        """Multiply; there is no loss."""
        for _ in range(steps):
            for call in self.calls:
                call()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return math.nan
