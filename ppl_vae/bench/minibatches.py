"""Resident data for the contenders that run on torch."""

from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from ppl_vae.bench.sizes import NetSize, Size


class Minibatches:
    """Data on the device, visited in an order that is drawn anew in each epoch.

    Args:
        x: ``(N, *event)``.
        batch_size: datapoints a step.
    """

    def __init__(self, x: Tensor, batch_size: int) -> None:
        self.x, self.batch_size = x, batch_size
        self.rest: list[Tensor] = []

    @classmethod
    def of(cls, size: Size | NetSize, device: str) -> Self:
        """Random ones of that size."""
        return cls(torch.from_numpy(size.observations()).to(device), size.batch_size)

    def indices(self, steps: int) -> Iterator[Tensor]:
        """The rows of so many batches, ``(batch,)`` each."""
        for _ in range(steps):
            if not self.rest:
                self.rest = list(torch.randperm(len(self.x), device=self.x.device).split(self.batch_size))
            yield self.rest.pop()

    def binarized(self, steps: int) -> Iterator[Tensor]:
        """So many batches, ``(batch, *event)`` each, their bits drawn now."""
        for index in self.indices(steps):
            yield torch.bernoulli(self.x[index])
