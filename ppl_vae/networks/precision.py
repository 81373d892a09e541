"""In which precision networks multiply matrices. All else, every density and every sum, stays in float32.

``tf32`` and ``bf16`` shorten the factors of matrix products (convolutions are such), to 10 and 7 bits of mantissa; the
products are added up in float32. tf32 happens inside the product, on NVIDIA GPUs; for bf16 a network runs under torch's
autocast and hands its result out in the precision of its input, so that whatever comes after it is computed in that.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bf16"]

_chosen: ContextVar[Precision] = ContextVar("precision", default="float32")


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Inside the block networks multiply in this precision; torch's settings are put back afterwards.

    Args:
        precision: float32, tf32 (away from NVIDIA GPUs the same as float32) or bf16.
    """
    token, matmul, cudnn = _chosen.set(precision), torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = matmul.allow_tf32 or precision == "tf32"
    cudnn.allow_tf32 = precision == "tf32"  # torch's own default is yes, for convolutions alone
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
        _chosen.reset(token)


def network(device: torch.device) -> AbstractContextManager[object]:
    """What a network runs under: autocast to bfloat16 if that was chosen."""
    if _chosen.get() != "bf16":
        return nullcontext()
    # Without its cache: that would hold the weights as they were before a step moved them.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
