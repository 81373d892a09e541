"""Functions of a compiled step in the form that costs a processor least, polynomials above all.

The library that inductor calls for tanh and log1p on a processor takes 70 to 100 cycles for a vector, as long as the
products of a small layer. Here each is a polynomial or a quotient of two, fitted to the least largest relative error
(below 3e-8, half of float32's last digit); with the roundings of its evaluation a result is within 4 units of its last
place. A layer's bias is no part of its product. Only float32 on a processor is taken so; other numbers, and what is
not compiled, keep torch's own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# log1p(u) / u for 0 ≤ u ≤ 1, in powers of u from the constant.
_LOG1P = (
    *(0.9999999698, -0.4999949251, 0.3331908358, -0.2484287699, 0.1910559533),
    *(-0.1366237153, 0.07821565422, -0.02949891994, 0.005231118489),
)
# tanh(x) / x for |x| ≤ 9.02, beyond which tanh is ±1 in float32: a quotient of polynomials in x².
_TANH_END = 9.02
_TANH_ABOVE = (0.999999979, 0.133798194, 0.00349415319, 2.05853488e-05, 1.33214801e-08)
_TANH_BELOW = (1.0, 0.467131347, 0.0258715295, 0.000328328333, 7.76304413e-07)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Horner's scheme, the coefficients from the constant."""
    value: Tensor = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        value = value * x + coefficient
    return value


def _is_taken(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu"


def tanh(x: Tensor) -> Any:
    """tanh x."""
    if not _is_taken(x):
        return NotImplemented
    inside = x.clamp(-_TANH_END, _TANH_END)
    square = inside * inside
    value = inside * _polynomial(square, _TANH_ABOVE) / _polynomial(square, _TANH_BELOW)
    return value.clamp(-1.0, 1.0)


def _log_of_one_and_exp(x: Tensor) -> Tensor:
    """log(1 + e⁻ˣ) for x ≥ 0."""
    small = (-x).exp()
    return small * _polynomial(small, _LOG1P)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + eˣ), for all x: what torch's threshold is for cannot happen."""
    if not _is_taken(x) or beta != 1.0:
        return NotImplemented
    return x.clamp(min=0.0) + _log_of_one_and_exp(x.abs())


def binary_cross_entropy_with_logits(
    x: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 1
) -> Any:
    """(1 − t) x − min(x, 0) + log(1 + e^−|x|), a number for each; torch's own where something is weighted or summed."""
    if not _is_taken(x) or weight is not None or pos_weight is not None or reduction:
        return NotImplemented
    return (1 - target) * x - x.clamp(max=0.0) + _log_of_one_and_exp(x.abs())


def log_sigmoid(x: Tensor) -> Any:
    """−log(1 + e⁻ˣ), and what torch's gradient of it wants to be given, e^−|x|."""
    if not _is_taken(x):
        return NotImplemented
    return x.clamp(max=0.0) - _log_of_one_and_exp(x.abs()), (-x.abs()).exp()


def addmm(bias: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """The product alone; the bias is added where its result is read. Written as a difference, since inductor would put
    a product and a sum together again, for which it first copies the bias to the size of the result."""
    if not _is_taken(bias) or beta != 1 or alpha != 1:
        return NotImplemented
    return torch.ops.aten.mm(left, right) - (-bias)


_library = torch.library.Library("ppl_vae", "FRAGMENT")
_library.define("columns(Tensor x, Tensor index) -> Tensor")
_library.impl("columns", lambda x, index: torch.index_select(x.contiguous(), -1, index), "CPU")
torch.library.register_fake("ppl_vae::columns", lambda x, index: x.new_empty(*x.shape[:-1], len(index)), lib=_library)


def index_select(x: Tensor, dim: int, index: Tensor) -> Any:
    """Numbers of each row by torch's own kernel: inductor fetches them one by one, each behind a check of its place,
    and once more for whatever reads them."""
    if not _is_taken(x) or dim not in (-1, x.dim() - 1):
        return NotImplemented
    return torch.ops.ppl_vae.columns(x, index)


ELEMENTARY: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.tanh.default: tanh,
    torch.ops.aten.softplus.default: softplus,
    torch.ops.aten.binary_cross_entropy_with_logits.default: binary_cross_entropy_with_logits,
    torch.ops.aten.log_sigmoid_forward.default: log_sigmoid,
    torch.ops.aten.addmm.default: addmm,
    torch.ops.aten.index_select.default: index_select,
}
"""By torch's operation, for ``make_fx``."""
