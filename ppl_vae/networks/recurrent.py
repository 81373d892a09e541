"""Recurrent encoder and decoder networks. All of them accept leading dimensions: ``(..., batch, event)``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.networks.precision import network
from ppl_vae.programs.layout import Layout, alive
from ppl_vae.runtime.errors import UserError

_RATES = (0.001, 0.999)  # what never happens in the data would put its bias at minus infinity


class State(NamedTuple):
    """What an LSTM layer remembers: output and cell, each ``(N, hidden)``."""

    output: Tensor
    cell: Tensor


_TWICE: ContextVar[bool] = ContextVar("twice", default=False)


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """Inside the block LSTMs keep off cuDNN's kernel, whose gradient cannot be differentiated; torch's others can."""
    token = _TWICE.set(True)
    try:
        yield
    finally:
        _TWICE.reset(token)


@contextmanager
def _kernel() -> Iterator[None]:
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = before and not _TWICE.get()
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


class LSTM(nn.Module):
    """One layer of long short-term memory (Hochreiter and Schmidhuber 1997), on torch's own kernels.

    Not ``nn.LSTM``: that keeps its weights in a list of its own, past which a traced step's stand-ins cannot get, and
    on a GPU refuses gradients in evaluation mode, where a frozen model's are asked for.

    Args:
        in_size: size of the input at each step.
        hidden: size of output and cell.
    """

    def __init__(self, in_size: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_in = nn.Parameter(torch.empty(4 * hidden, in_size))
        self.weight_back = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.empty(4 * hidden))
        for param in self.parameters():
            nn.init.uniform_(param, -(hidden**-0.5), hidden**-0.5)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """X ``(N, T, in_size)`` and the state before (None: 0) to outputs ``(N, T, hidden)`` and the state after."""
        on_cpu = x.device.type == "cpu"
        if on_cpu:  # in bfloat16 torch's kernel is for some processors only, and fails on the others
            x, state = x.to(self.bias.dtype), state and State(*(each.to(self.bias.dtype) for each in state))
        if state is None:
            state = State(*[x.new_zeros(len(x), self.hidden)] * 2)
        # In one piece, as cuDNN wants them; its two biases are one here.
        whole = [self.weight_in, self.weight_back, self.bias, torch.zeros_like(self.bias)]
        parts = torch.cat([part.flatten() for part in whole]).split([part.numel() for part in whole])
        weights = [part.view_as(like) for part, like in zip(parts, whole, strict=True)]
        before = [each.unsqueeze(0).contiguous() for each in state]
        with _kernel(), torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
            outputs, output, cell = torch.lstm(x, before, weights, True, 1, 0.0, True, False, True)
        return outputs, State(output.squeeze(0), cell.squeeze(0))


def _layers(in_size: int, hidden: Sequence[int]) -> nn.ModuleList:
    if not hidden:
        raise UserError("a recurrent network needs a hidden layer: give `hidden` a width.")
    return nn.ModuleList([LSTM(below, width) for below, width in pairwise((in_size, *hidden))])


def logits_of_rates(x_mean: Tensor, layout: Layout) -> Tensor:
    """The logits under which an LSTM that knows nothing has things happen as often as in the data, ``(C,)``.

    Args:
        x_mean: mean of the training data, ``(T, C)``.
        layout: of the observations.
    """
    if layout == "plain":
        return torch.logit(x_mean.mean(0).clamp(*_RATES))
    # Of the columns, in a whole sequence; the first is its mean length, of which one goes on free.
    rates = x_mean.sum(0)
    goes_on = torch.logit((1 - 1 / rates[:1].clamp(min=1)).clamp(*_RATES))
    happens = (rates[1:] / rates[0].clamp(min=1)).clamp(*_RATES)
    return torch.cat([goes_on, happens.log() if layout == "text" else happens.logit()])


class RecurrentEncoder(nn.Module):
    """From a sequence to numbers about it, ``(..., out_size)``, from an LSTM's last output and its mean.

    The mean over steps lets the gradient of every step in, past all that come after it; without it a long sequence's z
    is about its end, and its KL the first to collapse (Long et al. 2019). Steps after the end are masked on the
    device: packing would read lengths on the host. They are read and change nothing.

    Args:
        event_shape: ``(T, C)``, the shape of one observation.
        out_size: how many numbers, for instance a family's ``num_params``.
        hidden: widths of the LSTM layers, from x upwards; at least one.
        layout: of the observations.

    Raises:
        UserError: no hidden layer.
    """

    def __init__(
        self, event_shape: Sequence[int], out_size: int, hidden: Sequence[int] = (200,), layout: Layout = "plain"
    ) -> None:
        super().__init__()
        self.layout = layout
        self.layers = _layers(event_shape[-1], hidden)
        self.out = nn.Linear(2 * hidden[-1], out_size)

    def forward(self, x: Tensor) -> Tensor:
        """X ``(..., batch, T, C)`` to ``(..., batch, out_size)``."""
        features = x.reshape(-1, *x.shape[-2:])
        going = alive(features, self.layout)
        last = going - torch.cat([going[:, 1:], torch.zeros_like(going[:, :1])], dim=1)  # one-hot, (N, T)
        with network(x.device):
            for layer in self.layers:
                features, _ = layer(features)
            final = (last.unsqueeze(-1) * features).sum(1)
            mean = (going.unsqueeze(-1) * features).sum(1) / going.sum(1, keepdim=True).clamp(min=1)
            out: Tensor = self.out(torch.cat([final, mean], dim=-1))
        return out.to(x.dtype).reshape(*x.shape[:-2], -1)


class RecurrentDecoder(nn.Module):
    """From a latent and the steps so far to the logits of the next: z is where the LSTM starts and beside every input.

    Args:
        latent_dim: size of z.
        event_shape: ``(T, C)``, the shape of one observation.
        hidden: widths of the LSTM layers, from the input upwards; at least one.
        bias: where the logits start, ``(C,)``; 0 if None.

    Raises:
        UserError: no hidden layer.
    """

    def __init__(
        self, latent_dim: int, event_shape: Sequence[int], hidden: Sequence[int] = (200,), bias: Tensor | None = None
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        columns = self.event_shape[-1]
        self.layers = _layers(columns + latent_dim, hidden)
        self.begin = nn.Linear(latent_dim, 2 * sum(hidden))
        self.out = nn.Linear(hidden[-1], columns)
        if bias is not None:
            with torch.no_grad():
                self.out.bias.copy_(bias)

    def start(self, z: Tensor) -> list[State]:
        """The layers' states before the first step, for z ``(N, latent_dim)``."""
        with network(z.device):
            numbers = self.begin(z).to(z.dtype)
        parts = numbers.split([width for layer in self.layers for width in (layer.hidden, layer.hidden)], dim=-1)
        return [State(torch.tanh(output), cell) for output, cell in zip(parts[::2], parts[1::2], strict=True)]

    def forward(self, z: Tensor, before: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """Read some steps.

        Args:
            z: ``(N, latent_dim)``.
            before: what precedes each of the steps, ``(N, T, C)``.
            states: of the layers, before the first of them.

        Returns:
            logits of the steps, ``(N, T, C)``, and the states after the last.
        """
        features = torch.cat([before, z.unsqueeze(1).expand(-1, before.shape[1], -1)], dim=-1)
        after = []
        with network(z.device):
            for layer, state in zip(self.layers, states, strict=True):
                features, reached = layer(features, state)
                after.append(State(*(part.to(z.dtype) for part in reached)))
            logits: Tensor = self.out(features)
        return logits.to(z.dtype), after
