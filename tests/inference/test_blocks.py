"""Blocks of rows: all rows, once, in as few blocks as there must be, none of them nearly empty."""

import pytest
import torch

from ppl_vae import Batch
from ppl_vae.inference.blocks import block_size, blocks

MOST = 2**18 // 784


@pytest.mark.parametrize("num", [1, MOST, MOST + 1, 500, 2 * MOST, 2 * MOST + 1, 4000])
def test_rows_are_shared_out_evenly(num: int) -> None:
    batch = Batch(torch.zeros(3, 784), None, torch.arange(3))
    size, taken = block_size(batch, num, 1), []
    found = list(blocks(num, size, torch.device("cpu")))
    for places, left in found:
        assert len(places) == size <= MOST
        assert places.max() < num
        taken += places[:left].tolist()
    assert taken == list(range(num))
    assert len(found) == -(-num // MOST)
    assert len(found) * size - num < len(found)
