"""Tensors are the same, NaN and all; a program may have one with a NaN among its buffers."""

from math import inf, nan

import pytest
import torch
from torch import Tensor, nn

from ppl_vae.svi.traced import _buffers_kept
from ppl_vae.tracing.capture import NotTraceableError, trace
from ppl_vae.tracing.equality import same_numbers

CASES = [[1.0, nan], [0.0, inf], [], 2.0, nan, [True, False], [3, 4], [1j, complex(nan, 1)]]


@pytest.mark.parametrize("numbers", CASES)
def test_a_copy_is_the_same(numbers: object) -> None:
    tensor = torch.tensor(numbers)
    assert same_numbers(tensor, tensor.clone())


@pytest.mark.parametrize(
    ("one", "other"), [(nan, 0.0), (inf, torch.finfo().max), ([1.0], 1.0), (1, 1.0), ([nan, 1.0], [nan, 2.0])]
)
def test_others_are_not(one: object, other: object) -> None:
    assert not same_numbers(torch.tensor(one), torch.tensor(other))
    assert not same_numbers(torch.tensor(other), torch.tensor(one))


def test_a_program_that_reads_a_nan_is_the_same_at_each_call() -> None:
    missing = torch.tensor([1.0, nan])

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return (torch.where(missing.isnan(), x, missing),)

    assert trace(function, [torch.ones(2)])(torch.ones(2))[0].tolist() == [1.0, 1.0]


def test_a_buffer_with_a_nan_has_not_changed() -> None:
    module = nn.Module()
    module.register_buffer("missing", torch.tensor([1.0, nan]))
    with _buffers_kept(module):
        pass
    with pytest.raises(NotTraceableError, match="missing"), _buffers_kept(module):
        module.missing.fill_(nan)
