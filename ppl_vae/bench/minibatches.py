"""Resident data for the contenders that run on torch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ppl_vae.bench.sizes import Size, grey_levels


class Minibatches:
    """Grey levels on the device, visited in an order that is drawn anew in each epoch.

    Args:
        size: of the data and its batches.
        device: where.
    """

    def __init__(self, size: Size, device: str) -> None:
        self.x = torch.from_numpy(grey_levels(size)).to(device)
        self.batch_size = size.batch_size
        self.rest: list[Tensor] = []

    def indices(self, steps: int) -> Iterator[Tensor]:
        """The rows of so many batches, ``(batch,)`` each."""
        for _ in range(steps):
            if not self.rest:
                self.rest = list(torch.randperm(len(self.x), device=self.x.device).split(self.batch_size))
            yield self.rest.pop()

    def binarized(self, steps: int) -> Iterator[Tensor]:
        """So many batches, ``(batch, pixels)`` each, their bits drawn now."""
        for index in self.indices(steps):
            yield torch.bernoulli(self.x[index])
