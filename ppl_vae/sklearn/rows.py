"""Rows of an estimator's X as the data of its pair, read as those that it was fitted to."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppl_vae.data import Binarization, Dataset, binarized
from ppl_vae.data.info import DataInfo
from ppl_vae.data.kinds import LARGEST
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.runtime.seeding import stream


def data_of(x: NDArray[np.generic], info: DataInfo, binarization: Binarization, y: Tensor | None = None) -> Dataset:
    """Rows as a data set. A number means the same whatever its type: 3 is what 3.0 is.

    Args:
        x: ``(N, features)``, NaN where a number is missing.
        info: of the data that the pair was fitted to, which says what numbers are divided by.
        binarization: what became of grey levels there.
        y: labels, 0, 1, 2, ..., ``(N,)``.

    Raises:
        ValueError: numbers are missing, and none were there; or one is larger than any that can be fitted.
    """
    with np.errstate(over="ignore"):
        values = x.astype(np.float32).reshape(len(x), *info.event_shape)
    if (np.abs(values) > LARGEST).any():
        raise ValueError(
            f"X holds a number beyond {LARGEST:g}, too large to add up squares in float32; give it in the units of fit."
        )
    if np.isnan(values).any() and not info.holes:
        raise ValueError(
            "X holds NaN and X in fit had none, so that the encoder has no input for what is missing; fit to rows with "
            "NaN too, or fill them."
        )
    tensor = torch.tensor(values) / max(1, info.scale)
    mask = None
    if not (seen := ~tensor.isnan()).all():  # what stands in for a hole is a number of training, not of other rows
        mask, tensor = seen, torch.where(seen, tensor, torch.tensor(info.least or (0.0,)))
    held = "dynamic" if binarization == "static" else binarization  # bits of these rows are drawn by `with_own_bits`
    return binarized(tensor, y, held, 0, first=UNSEEN, mask=mask)


def with_own_bits(data: Dataset, seed: int) -> Dataset:
    """The same rows, no longer dynamic: grey levels as bits, which are drawn of each row by its own numbers.

    Raises:
        UserError: x is no probability.
    """
    if not data.dynamic:
        return data
    data.probe()  # refuses what is none
    draws = [torch.rand(data.event_shape, generator=torch.Generator().manual_seed(own)) for own in seeds_of(data, seed)]
    return data.replace(x=(torch.stack(draws) < data.values()).float(), dynamic=False)


def seeds_of(data: Dataset, seed: int) -> list[int]:
    """A seed for each row, by its numbers alone: what is drawn for it depends on no other row, nor on its place."""
    x = data.values() if data.mask is None else torch.cat([data.values(), data.mask.float()], dim=-1)
    return [stream(seed, hashlib.sha256(row.tobytes()).hexdigest()) for row in x.numpy()]


class Rows(NamedTuple):
    """Rows to be read by a pair, each under each label where the model reads labels.

    Args:
        data: ``(N · each)``, those of one row of X side by side; nothing in it is drawn anew at a visit.
        seeds: of the rows of X, ``N``.
        each: how many of the data there are for one row of X: the labels, or 1.
    """

    data: Dataset
    seeds: list[int]
    each: int

    @classmethod
    def of(cls, data: Dataset, seed: int, num_labels: int) -> "Rows":
        """Rows of :func:`data_of`, on the CPU.

        Args:
            data: without labels.
            seed: of all that is drawn for them.
            num_labels: that the model tells apart; 0 if it reads none.
        """
        seeds, data = seeds_of(data, seed), with_own_bits(data, seed)
        if num_labels:
            rows = torch.arange(len(data)).repeat_interleave(num_labels)
            data = data.take(rows).replace(y=torch.arange(num_labels).repeat(len(data)))
        return cls(data, seeds, max(1, num_labels))

    def to(self, device: torch.device) -> "Rows":
        """The same on another device."""
        return self._replace(data=self.data.to(device))
