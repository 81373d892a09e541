"""What is compiled for rows of one number, called with any number of them.

More are taken in turn; fewer are filled up with copies of the first, whose results are thrown away. A block is so few
that what is worked out for it stays in a processor's cache.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ppl_vae.programs.batch import Batch

# What is worked out at once on a processor, in elements of x, and the fewest rows. Where there is less than this share
# of a block to do, an eager call costs less than a compiled one of copies.
_ELEMENTS, _FEWEST, _SHARE = 2**18, 16, 1 / 16


def block_size(batch: Batch, num_rows: int, num_draws: int) -> int:
    """How many rows to compile for.

    Args:
        batch: some datapoints.
        num_rows: how many rows there will be.
        num_draws: of z for each in a call.
    """
    if batch.x.device.type != "cpu":
        return num_rows
    most = max(_FEWEST, _ELEMENTS // (num_draws * batch.x[0].numel()))
    # Blocks of equal size: a last one that is half empty costs as much as a full one.
    return -(-num_rows // -(-num_rows // most))


def fills(num_rows: int, size: int) -> bool:
    """Whether a compiled call with so many rows costs less than an eager one."""
    return num_rows >= _SHARE * size


def blocks(num_rows: int, size: int, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """The places of the rows of each block, ``(size,)``, and how many of them count."""
    for first in range(0, num_rows, size):
        places = torch.arange(first, first + size, device=device)
        left = min(size, num_rows - first)
        places[left:] = first
        yield places, left


def example(batch: Batch, size: int) -> list[Tensor]:
    """Tensors of a batch of one block."""
    return [each[torch.arange(size, device=each.device) % len(each)] for each in batch.tensors]
