"""Which end of local inference is the best, for each datapoint, and which of the others are lower beyond chance.

All ends of a datapoint are judged by the same noise, so that two that are alike differ by hardly any. Datapoints whose
ends cannot be told apart by the first draws get more. That ends are alike a few draws can show; that one is lower is
not believed before there are some hundreds, since what is looked at is the largest of many differences.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.inference.weights import Weights
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.seeding import seeded, stream

LEAST, SIGNIFICANT = 0.1, 3.0
"""What difference of ELBOs, in nats, is worth the name, and how many standard errors make one."""

ENOUGH = 256
"""From how many draws on an end may be found lower."""

# Draws of each round.
_ROUNDS = (64, ENOUGH - 64, *[256] * 15)


class Judged(NamedTuple):
    """The ends of each datapoint.

    Args:
        best: which has the highest ELBO, ``(batch,)``.
        behind: by how much each is below that one, nats, ``(starts, batch)``; NaN where it has no number.
        lower: which are lower, by 0.1 nats at least and beyond chance, or have no number, ``(starts, batch)``.
    """

    best: Tensor
    behind: Tensor
    lower: Tensor


def judged(weights: Weights, batch: Batch, ends: Tensor, seed: int) -> Judged:
    """Compare the ELBOs at the ends of several starts.

    Args:
        weights: of draws of q.
        batch: the datapoints.
        ends: parameters, ``(starts, batch, num_params)``.
        seed: of the draws.
    """
    starts, size = ends.shape[:2]
    count = ends.new_zeros(size, dtype=torch.float64)
    total = count.new_zeros(starts, size)
    products = count.new_zeros(starts, starts, size)
    undecided = torch.arange(size, device=ends.device)
    for number, num_draws in enumerate(_ROUNDS):
        part = batch.rows(undecided)
        elbos = []
        for end in ends[:, undecided]:
            with seeded(stream(seed, f"best end {number}"), ends.device):
                elbos.append(weights(end, part, num_draws))
        drawn = torch.stack(elbos).double()  # (starts, draws, undecided)
        if number == 0:  # what is summed is small beside it, and so are its squares
            centre = drawn[0].mean(0).nan_to_num(0.0, 0.0, 0.0)
        drawn = drawn - centre[undecided]
        count[undecided] += drawn.shape[1]
        total[:, undecided] += drawn.sum(1)
        products[:, :, undecided] += torch.einsum("sdb,tdb->stb", drawn, drawn)
        found, error = _compared(count, total, products)
        # One wait for the device a round, so that what is decided costs nothing more.
        open_ = ((~found.lower | (count < ENOUGH)) & (SIGNIFICANT * error > LEAST)).any(0)
        undecided = undecided[open_[undecided]]
        if len(undecided) == 0:
            break
    return found


def _compared(count: Tensor, total: Tensor, products: Tensor) -> tuple[Judged, Tensor]:
    """The judgement by sums over draws, and the standard error of each difference, ``(starts, batch)``."""
    mean = total / count
    best, rows = mean.nan_to_num(nan=-torch.inf).argmax(0), torch.arange(len(count), device=count.device)
    behind = mean[best, rows] - mean
    squares = products.diagonal().mT + products[best, best, rows] - 2 * products[best, :, rows].mT
    error = ((squares / count - behind.square()).clamp(min=0.0) / count).sqrt()
    lower = ((behind > LEAST) & (behind > SIGNIFICANT * error)) | ~mean.isfinite()
    return Judged(best, behind, lower), error
