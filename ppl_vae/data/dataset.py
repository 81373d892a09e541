"""Observations resident on one device, binarized there at every visit."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from ppl_vae.batch import Batch
from ppl_vae.seeding import seeded, stream

Binarization = Literal["dynamic", "static", "threshold", "none"]

UNSEEN = 2**40
"""``first`` of datapoints that belong to no data set, such as simulated ones: no row is theirs."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set.

    Args:
        x: observations, ``(N, *event)``, float; probabilities of a lit pixel if ``dynamic``.
        y: integer labels, ``(N,)``, or None.
        dynamic: draw x ~ Bernoulli(x) anew at every visit (Burda et al. 2016), from torch's own generator.
        first: number of row 0 in the whole data set; each split has its own, so that no row is taken for another's.
    """

    x: Tensor
    y: Tensor | None = None
    dynamic: bool = False
    first: int = 0

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return tuple(self.x.shape[1:])

    def batch(self, index: Tensor) -> Batch:
        """The rows of ``index``, ``(batch,)`` from 0, in its order; binarized now if dynamic."""
        x = self.x[index]
        y = None if self.y is None else self.y[index]
        if self.dynamic:  # torch.bernoulli draws the same, one number at a time: three times as slow on the CPU
            x = (torch.rand_like(x) < x).to(x.dtype)
        return Batch(x, y, index + self.first)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The whole split in order, in batches of at most ``batch_size``."""
        for index in torch.arange(len(self), device=self.x.device).split(batch_size):
            yield self.batch(index)

    def probe(self) -> Batch:
        """A few rows to try a pair on: the first two, and the first ones with values that not every model takes, grey
        levels and what is outside [0, 1]."""
        rows = self.x.flatten(1)
        grey = ((rows != 0) & (rows != 1)).any(1).nonzero().flatten()
        outside = (~((rows >= 0) & (rows <= 1))).any(1).nonzero().flatten()  # NaN too
        first = torch.arange(min(2, len(self)), device=self.x.device)
        return self.batch(torch.cat([first, grey[:1], outside[:1]]))

    def fixed(self, seed: int) -> Self:
        """The same rows, no longer dynamic: binarized once, from the seed, with bits of its own for each split."""
        if not self.dynamic:
            return self
        with seeded(stream(seed, f"bits from {self.first}"), self.x.device):
            return replace(self, x=torch.bernoulli(self.x), dynamic=False)

    def head(self, limit: int | None) -> Self:
        """The first ``limit`` rows; all of them if None or if there are fewer."""
        return replace(self, x=self.x[:limit], y=None if self.y is None else self.y[:limit])

    def to(self, device: torch.device) -> Self:
        """The same rows on another device."""
        return replace(self, x=self.x.to(device), y=None if self.y is None else self.y.to(device))


def binarized(x: Tensor, y: Tensor | None, binarization: Binarization, seed: int, first: int = 0) -> Dataset:
    """A data set under one of the four protocols; figures are comparable only under the same one.

    Args:
        x: grey levels in [0, 1], ``(N, *event)``.
        y: labels, ``(N,)``, or None.
        binarization: ``dynamic`` draws x ~ Bernoulli(x) at every visit, ``static`` once (from ``seed``), ``threshold``
            takes x > ½, ``none`` takes x as it is.
        seed: for ``static``.
        first: number of row 0 in the whole data set.
    """
    if binarization == "static":
        return Dataset(x, y, dynamic=True, first=first).fixed(seed)
    if binarization == "threshold":
        x = (x > 0.5).to(x.dtype)
    return Dataset(x, y, dynamic=binarization == "dynamic", first=first)
