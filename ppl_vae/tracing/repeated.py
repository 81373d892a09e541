"""Products by one matrix, again and again: what a kernel does to the matrix first is done once."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.tracing.choices import Choices, shortest_seconds, steady
from ppl_vae.tracing.compiler_cache import cache_folder

Multiply = Callable[[Tensor], Tensor]
"""From x ``(rows, inner)`` to x Wᵀ ``(rows, columns)``."""


def _by_torch(weight: Tensor, rows: int) -> Multiply:
    return partial(torch.mm, mat2=weight.t())


def _by_mkl(weight: Tensor, rows: int) -> Multiply:
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
    return lambda x: torch.ops.mkl._mkl_linear(x, packed, weight, None, rows)


def _by_onednn(weight: Tensor, rows: int) -> Multiply:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


_USUAL = "torch"
KERNELS: dict[str, Callable[[Tensor, int], Multiply]] = {_USUAL: _by_torch, "MKL": _by_mkl, "oneDNN": _by_onednn}
"""By name: from a weight W ``(columns, inner)`` and the rows of what it will be given."""


class Repeated(NamedTuple):
    """The shape of a product by one matrix."""

    rows: int
    inner: int
    columns: int


def repeated(weight: Tensor, rows: int) -> Multiply:
    """The fastest kernel for products by this matrix.

    Args:
        weight: W, ``(columns, inner)``, float32 on a processor.
        rows: of what will be multiplied.

    Returns:
        from x ``(rows, inner)``, stored by rows, to x Wᵀ.
    """
    return KERNELS[_chosen(Repeated(rows, weight.shape[1], weight.shape[0]))](weight.contiguous(), rows)


@cache
def _chosen(product: Repeated) -> str:
    return Choices(cache_folder(), fastest, KERNELS).choose(product)


def fastest(product: Repeated) -> str:
    """The name of the fastest kernel, of those that come to the same bits with any number of threads; torch's own where
    there is none."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(product.columns, product.inner, generator=generator)
    x = torch.randn(product.rows, product.inner, generator=generator)

    def multiplied(name: str) -> Tensor:
        return KERNELS[name](weight, product.rows)(x)

    found = [name for name in KERNELS if steady(partial(multiplied, name))]
    shortest = shortest_seconds({name: partial(KERNELS[name](weight, product.rows), x) for name in found})
    return min(shortest, key=lambda name: shortest[name], default=_USUAL)
