"""A layer of an LSTM in a compiled graph: torch's own kernel for it on a processor cannot be compiled."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ppl_vae.tracing import lstm
from ppl_vae.tracing.products import MULTIPLICATIONS

_LSTM = 2  # torch's number for it among its recurrent networks

_library = torch.library.Library("ppl_vae", "FRAGMENT")
_library.define("lstm(Tensor x, Tensor weights, Tensor output, Tensor cell) -> (Tensor, Tensor)")
_library.define(
    "lstm_backward(Tensor x, Tensor turned, Tensor cell, Tensor kept, Tensor of_outputs, Tensor of_output, "
    "Tensor of_cell) -> (Tensor, Tensor, Tensor, Tensor)"
)
_library.impl("lstm", lstm.forward, "CPU")
_library.impl("lstm_backward", lstm.backward, "CPU")
torch.library.register_fake("ppl_vae::lstm", lstm.like_forward, lib=_library)
torch.library.register_fake("ppl_vae::lstm_backward", lstm.like_backward, lib=_library)


def _multiplications(node: Node) -> float:
    x, weights = (node.args[place].meta["val"] for place in (0, 1))  # type: ignore[union-attr]
    return float(x.shape[0] * x.shape[1] * weights.numel())


MULTIPLICATIONS[torch.ops.ppl_vae.lstm.default] = _multiplications
MULTIPLICATIONS[torch.ops.ppl_vae.lstm_backward.default] = lambda node: 2 * _multiplications(node)


def _weights(weight_in: Tensor, weight_back: Tensor, bias: Tensor | None) -> Tensor:
    """Of all that a step sees, ``(4 hidden, seen)``."""
    parts = [weight_in, weight_back, *([] if bias is None else [bias[:, None]])]
    width = lstm.seen_by(weight_in.shape[1], weight_back.shape[1]) - sum(part.shape[1] for part in parts)
    return torch.cat([*parts, weight_in.new_zeros(len(weight_in), width)], dim=1)


def _is_taken(x: Tensor, mode: int, batch_sizes: list[int]) -> bool:
    """Not other numbers, other recurrent networks or packed batches, which are left to torch."""
    return x.dtype == torch.float32 and mode == _LSTM and not batch_sizes


def _layer(
    x: Tensor,  # (T, N, in)
    weight_in: Tensor,  # (4 hidden, in)
    weight_back: Tensor,  # (4 hidden, hidden)
    bias_in: Tensor,  # (4 hidden,)
    bias_back: Tensor,
    output: Tensor,  # (N, hidden)
    cell: Tensor,
    reverse: bool,
    batch_sizes: list[int],
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    *others: object,
) -> Any:
    """``aten.mkldnn_rnn_layer``: outputs, output and cell after the last step, and what the gradient is to be given."""
    if not _is_taken(x, mode, batch_sizes):
        return NotImplemented
    x = x.flip(0) if reverse else x
    weights = _weights(weight_in, weight_back, bias_in + bias_back if has_biases else None)
    outputs, kept = torch.ops.ppl_vae.lstm(x, weights, output, cell)
    last = lstm.Kept.of(kept, x, cell).cells[-1].clone()
    return outputs.flip(0) if reverse else outputs, outputs[-1].clone(), last, kept


def _layer_backward(
    x: Tensor,
    weight_in: Tensor,
    weight_back: Tensor,
    bias_in: Tensor,
    bias_back: Tensor,
    output: Tensor,
    cell: Tensor,
    outputs: Tensor,
    output_after: Tensor,
    cell_after: Tensor,
    of_outputs: Tensor | None,
    of_output: Tensor | None,
    of_cell: Tensor | None,
    reverse: bool,
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    *others: Any,
) -> Any:
    """``aten.mkldnn_rnn_layer_backward``: the gradients of its first seven."""
    *_, batch_sizes, _, kept = others
    if not _is_taken(x, mode, batch_sizes):
        return NotImplemented
    of_outputs, of_output, of_cell = (
        torch.zeros_like(like) if given is None else given
        for given, like in ((of_outputs, outputs), (of_output, output), (of_cell, cell))
    )
    if reverse:
        x, of_outputs = x.flip(0), of_outputs.flip(0)
    turned = _weights(weight_in, weight_back, bias_in + bias_back if has_biases else None).t().contiguous()
    of_x, of_weights, *of_state = torch.ops.ppl_vae.lstm_backward(x, turned, cell, kept, of_outputs, of_output, of_cell)
    width, end = weight_in.shape[1], weight_in.shape[1] + weight_back.shape[1]
    of_in, of_back = of_weights[:, :width].clone(), of_weights[:, width:end].clone()
    of_biases = [of_weights[:, end].clone() if has_biases else torch.zeros_like(bias) for bias in (bias_in, bias_back)]
    of_x = of_x.flip(0) if reverse else of_x
    return of_x, of_in, of_back, *of_biases, *of_state


LSTM: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.mkldnn_rnn_layer.default: _layer,
    torch.ops.aten.mkldnn_rnn_layer_backward.default: _layer_backward,
}
"""By torch's operation, for ``make_fx``."""
