"""The steps of an LSTM's layer, each one call of a compiled cell, and their gradient: operations for a compiled graph.

The loop is no part of the graph, so that compiling takes as long for a long sequence as for a short one. (Unrolled, 15
steps of two networks are 4,000 operations and two minutes of compiling.) In the graph: `ppl_vae.tracing.lstm_layer`.

What a step sees stands side by side, ``(N, seen)``: what comes in, what the step before has put out, a 1 by which the
bias is a weight like others, and zeros up to a full line of memory. So a step is one product and one cell, its
gradient a cell and two products of numbers that are still in the cache. Gates stand in torch's order: in, forget,
candidate, out.
"""

from collections.abc import Callable, Sequence
from functools import cache
from threading import Lock
from typing import NamedTuple

import torch
from torch import Size, Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from ppl_vae.tracing.elementary import ELEMENTARY
from ppl_vae.tracing.inductor import by_inductor
from ppl_vae.tracing.repeated import repeated

_LINE = 16  # numbers of float32 in a line of a processor's memory

# All in one pass: nothing is put into memory on the way because it is read twice or has cost much.
_SETTINGS: dict[str, object] = {
    "cpp.enable_floating_point_contract_flag": "fast",
    **dict.fromkeys(("realize_opcount_threshold", "realize_reads_threshold", "realize_acc_reads_threshold"), 1_000),
}


def _cell(sums: Tensor, before: Tensor, *written: Tensor) -> tuple[()]:
    """One step.

    Args:
        sums: of what it sees by its weights, ``(N, 4 hidden)``.
        before: the cell before, ``(N, hidden)``.
        written: each gate, the cell, and twice the output, ``(N, hidden)``.
    """
    admit, forget, candidate, out = sums.chunk(4, dim=1)
    admit, forget, candidate, out = admit.sigmoid(), forget.sigmoid(), candidate.tanh(), out.sigmoid()
    after = forget * before + admit * candidate
    output = out * after.tanh()
    for place, value in zip(written, (admit, forget, candidate, out, after, output, output), strict=True):
        place.copy_(value)
    return ()


def _cell_backward(
    gates: Tensor, after: Tensor, before: Tensor, back: Tensor, of_output: Tensor, of_cell: Tensor, *of_sums: Tensor
) -> tuple[()]:
    """The gradient of one step.

    Args:
        gates: ``(N, 4 hidden)``.
        after, before: the cell, ``(N, hidden)``.
        back, of_output: of the output, by way of the next step and its own, ``(N, hidden)``.
        of_cell: of the cell by way of the next step; becomes that of the cell before.
        of_sums: written: of the sums of each gate, ``(N, hidden)``.
    """
    admit, forget, candidate, out = gates.chunk(4, dim=1)
    outer, squashed = back + of_output, after.tanh()
    inner = of_cell + outer * out * (1 - squashed * squashed)
    found = (
        inner * candidate * admit * (1 - admit),
        inner * before * forget * (1 - forget),
        inner * admit * (1 - candidate * candidate),
        outer * squashed * out * (1 - out),
    )
    for place, value in zip((*of_sums, of_cell), (*found, inner * forget), strict=True):
        place.copy_(value)
    return ()


def _compiled(cell: Callable[..., tuple[()]], arguments: Sequence[Tensor]) -> Callable[..., object]:
    """A cell, compiled for arguments that lie like these."""
    return _compile(cell, *[(each.shape, each.stride()) for each in arguments])


@cache
def _compile(cell: Callable[..., tuple[()]], *layouts: tuple[Size, tuple[int, ...]]) -> Callable[..., object]:
    examples = [torch.empty_strided(shape, stride).zero_() for shape, stride in layouts]
    graph = make_fx(cell, decomposition_table=ELEMENTARY)(*examples)
    return by_inductor(graph, examples, _SETTINGS)


def seen_by(width: int, hidden: int) -> int:
    """How many numbers a step sees of which ``width`` come in."""
    return -(-(width + hidden + 1) // _LINE) * _LINE


class Kept(NamedTuple):
    """What is kept of the steps for the gradient, parts of one tensor."""

    gates: Tensor  # (T, N, 4 hidden)
    cells: Tensor  # (T, N, hidden)
    seen: Tensor  # (T + 1, N, seen); what a next step would see is there too

    @classmethod
    def of(cls, whole: Tensor, x: Tensor, cell: Tensor) -> "Kept":
        """The parts of a tensor."""
        shapes = cls.shapes(x, cell)
        parts = whole.split([shape.numel() for shape in shapes])
        return cls(*(part.view(shape) for part, shape in zip(parts, shapes, strict=True)))

    @staticmethod
    def shapes(x: Tensor, cell: Tensor) -> list[Size]:
        """Of the parts, for inputs x ``(T, N, in)`` and a cell ``(N, hidden)``."""
        (steps, size, width), hidden = x.shape, cell.shape[1]
        return [
            Size((steps, size, 4 * hidden)),
            Size((steps, size, hidden)),
            Size((steps + 1, size, seen_by(width, hidden))),
        ]


def _users(tensor: Tensor) -> int:
    return int(torch._C._storage_Use_Count(tensor.untyped_storage()._cdata))


_ALONE = _users(torch.empty(1))
_POOLED = 2**24  # numbers; more are given back after each call
_pool: dict[int, list[Tensor]] = {}
_lock = Lock()


def unused(size: int) -> Tensor:
    """Memory for so many numbers, that of an earlier call if nobody has it any more: new memory is handed out by the
    system page by page, which takes a tenth of a step."""
    if size > _POOLED:
        return torch.empty(size)
    with _lock:
        pool = _pool.setdefault(size, [])
        free = next((tensor for tensor in pool if _users(tensor) == _ALONE), None)
        if free is None:
            free = torch.empty(size)
            pool.append(free)
        return free.view(size)


def forward(x: Tensor, weights: Tensor, output: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """All steps.

    Args:
        x: what comes in, ``(T, N, in)``.
        weights: of all that a step sees, ``(4 hidden, seen)``.
        output, cell: before the first step, ``(N, hidden)``.

    Returns:
        outputs ``(T, N, hidden)``, stored as ``(N, T, hidden)``, and what the gradient is to be given, in one piece.
    """
    outputs = like_forward(x, weights, output, cell)[0]
    whole = unused(sum(shape.numel() for shape in Kept.shapes(x, cell)))
    gates, cells, seen = Kept.of(whole, x, cell)
    width, end = x.shape[2], x.shape[2] + cell.shape[1]
    seen[:-1, :, :width], seen[0, :, width:end], seen[:, :, end], seen[:, :, end + 1 :] = x, output, 1.0, 0.0
    multiply, step = repeated(weights, len(cell)), None
    cell = cell.contiguous()
    for now, then, of_gates, after, put_out in zip(seen[:-1], seen[1:], gates, cells, outputs, strict=True):
        arguments = multiply(now), cell, *of_gates.chunk(4, dim=1), after, then[:, width:end], put_out
        step = step or _compiled(_cell, arguments)
        step(*arguments)
        cell = after
    return outputs, whole


def backward(
    x: Tensor, turned: Tensor, cell: Tensor, kept: Tensor, of_outputs: Tensor, of_output: Tensor, of_cell: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of all steps.

    Args:
        x, cell: as :func:`forward` was given them.
        turned: the weights, ``(seen, 4 hidden)``.
        kept: as it has returned it.
        of_outputs: of its outputs, ``(T, N, hidden)``.
        of_output, of_cell: of output and cell after the last step, ``(N, hidden)``.

    Returns:
        of x, of the weights ``(4 hidden, seen)``, and of output and cell before the first step.
    """
    of_x, of_weights, of_output_before, of_cell_before = like_backward(
        x, turned, cell, kept, of_outputs, of_output, of_cell
    )
    gates, cells, seen = Kept.of(kept, x, cell)
    width, end = x.shape[2], x.shape[2] + cell.shape[1]
    back, of_sums = seen.new_zeros(seen.shape[1:]), torch.empty_like(gates[0])
    back[:, width:end] = of_output
    of_weights.zero_()
    of_cell_before.copy_(of_cell)
    multiply, step = repeated(turned, len(cell)), None
    befores, of_gates = [cell.contiguous(), *cells[:-1]], of_sums.chunk(4, dim=1)
    # Where all sequences have ended before the last step, nothing that comes after has a gradient.
    moves = bool(of_output.any() or of_cell.any())
    for time in reversed(range(len(x))):
        moves = moves or bool(of_outputs[time].any())
        if not moves:
            of_x[time] = 0.0
            continue
        state = gates[time], cells[time], befores[time], back[:, width:end], of_outputs[time]
        arguments = *state, of_cell_before, *of_gates
        step = step or _compiled(_cell_backward, arguments)
        step(*arguments)
        back = multiply(of_sums)
        of_weights.addmm_(of_sums.t(), seen[time])
        of_x[time] = back[:, :width]
    of_output_before.copy_(back[:, width:end])
    return of_x, of_weights, of_output_before, of_cell_before


def like_forward(x: Tensor, weights: Tensor, output: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Tensors like those that :func:`forward` returns."""
    (steps, size, _), hidden = x.shape, cell.shape[1]
    kept = sum(shape.numel() for shape in Kept.shapes(x, cell))
    return x.new_empty(size, steps, hidden).transpose(0, 1), x.new_empty(kept)


def like_backward(
    x: Tensor, turned: Tensor, cell: Tensor, kept: Tensor, of_outputs: Tensor, of_output: Tensor, of_cell: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tensors like those that :func:`backward` returns."""
    return x.new_empty(x.shape), x.new_empty(turned.shape[::-1]), x.new_empty(cell.shape), x.new_empty(cell.shape)
