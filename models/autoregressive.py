"""A distribution over whole sequences, each step given all steps before it and a latent.

    p(x | z) = ∏ₜ p(aₜ | x₍<t₎, z) p(cₜ | x₍<t₎, aₜ, z)^{aₜ}

aₜ says that the sequence goes on at step t, cₜ is what happens there. a₁ = 1, since no sequence is empty; aₜ is asked
about only while aₜ₋₁ = 1; and at step T every sequence has come to its end. So p sums to one over all sequences of 1 to
T steps. c is one character of an alphabet (``text``), or a set of keys that are independent given the past (``notes``).
A ``plain`` observation, the rows of an image, always has T steps, and its cells are independent given the rows above.

Scored in one call of the LSTM, which is told the true past ("teacher forcing"; Williams and Zipser 1989); drawn step
by step.
"""

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import log_softmax, pad, softplus

from ppl_vae.networks.recurrent import RecurrentDecoder
from ppl_vae.programs.layout import Layout, alive, content


class Sequences(constraints.Constraint):
    """Whether arrays ``(..., T, C)`` are sequences of a layout; see :mod:`ppl_vae.programs.layout`."""

    is_discrete = True
    event_dim = 2

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Which of them are, ``(...)``."""
        bits = ((value == 0) | (value == 1)).all(-1).all(-1)
        if self.layout == "plain":
            return bits
        going, happens = alive(value, self.layout), content(value, self.layout)
        ends_once = (going[..., 0] == 1) & (going[..., 1:] <= going[..., :-1]).all(-1)
        number = happens.sum(-1)
        fits = number == going if self.layout == "text" else (number == 0) | (going == 1)
        return bits & ends_once & fits.all(-1)


class Autoregressive(TorchDistribution):
    """p(x | z) of the module's docstring, batch shape that of z without its last dimension.

    Args:
        decoder: from z and the past to logits.
        z: ``(*batch_shape, latent_dim)``.
        layout: of the observations.
        kept: 0 where the decoder is not told what happened at the step before (word dropout; Bowman et al. 2016),
            ``(*batch_shape, T, 1)``; None tells it always.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol

    def __init__(
        self,
        decoder: RecurrentDecoder,
        z: Tensor,
        layout: Layout,
        kept: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.decoder, self.z, self.layout, self.kept = decoder, z, layout, kept
        super().__init__(z.shape[:-1], torch.Size(decoder.event_shape), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Sequences of the layout."""
        return Sequences(self.layout)

    def expand(self, batch_shape: Any, _instance: object = None) -> "Autoregressive":
        """The same for a larger batch."""
        shape = torch.Size(batch_shape)
        kept = None if self.kept is None else self.kept.expand(*shape, *self.kept.shape[-2:])
        z = self.z.expand(*shape, self.z.shape[-1])
        return Autoregressive(self.decoder, z, self.layout, kept, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x | z) of x ``(..., T, C)``, ``(...)``, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-2])
        before = self._told(pad(value[..., :-1, :], (0, 0, 1, 0)), self.kept)
        z = self.z.expand(*shape, -1).reshape(-1, self.z.shape[-1])
        before = before.expand(*shape, -1, -1).reshape(-1, *self.event_shape)
        logits, _ = self.decoder(z, before, self.decoder.start(z))
        return self._log_prob(logits.reshape(*shape, *self.event_shape), value)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, ``(*sample_shape, *batch_shape, T, C)``, from torch's own generator."""
        return self._unrolled(torch.Size(sample_shape), greedy=False)

    @property
    def mode(self) -> Tensor:
        """The likeliest next step after the likeliest next step (greedy decoding), ``(*batch_shape, T, C)``.

        Not the likeliest sequence, which nobody can look for among so many.
        """
        return self._unrolled(torch.Size(), greedy=True)

    def _told(self, before: Tensor, kept: Tensor | None) -> Tensor:
        """What the decoder is told of the past: that the sequence has begun, always; what happened, if kept."""
        if kept is None:
            return before
        if self.layout == "plain":
            return before * kept
        going, happened = before[..., :1], before[..., 1:] * kept
        return torch.cat([going.expand(*happened.shape[:-1], 1), happened], dim=-1)

    def _log_prob(self, logits: Tensor, value: Tensor) -> Tensor:
        happens, about = content(value, self.layout), content(logits, self.layout)
        if self.layout == "text":
            each = (happens * log_softmax(about, dim=-1)).sum(-1)  # (..., T)
        else:
            each = (happens * about - softplus(about)).sum(-1)
        if self.layout == "plain":
            return each.sum(-1)
        going, goes_on = value[..., 0], logits[..., 1:, 0]
        asked = going[..., :-1] * (going[..., 1:] * goes_on - softplus(goes_on))
        return (going * each).sum(-1) + asked.sum(-1)

    @torch.no_grad()
    def _unrolled(self, sample_shape: torch.Size, *, greedy: bool) -> Tensor:
        shape = sample_shape + self.batch_shape
        z = self.z.expand(*shape, -1).reshape(-1, self.z.shape[-1])
        length, columns = self.event_shape
        kept = None if self.kept is None else self.kept.expand(*shape, -1, -1).reshape(-1, length, 1)
        states, step = self.decoder.start(z), z.new_zeros(len(z), 1, columns)
        steps = []
        for number in range(length):  # all T of them: to stop when all have ended would wait for the device each time
            told = self._told(step, None if kept is None else kept[:, number : number + 1])
            logits, states = self.decoder(z, told, states)
            step = self._step(logits, step if number else None, greedy=greedy)
            steps.append(step)
        return torch.cat(steps, dim=1).reshape(*shape, length, columns)

    def _step(self, logits: Tensor, before: Tensor | None, *, greedy: bool) -> Tensor:
        """One step from its logits, ``(N, 1, C)``; ``before`` is the step before it, None before the first."""
        about = content(logits, self.layout)
        if self.layout == "text":
            # The largest of logits with Gumbel noise is a draw (Gumbel 1954).
            noisy = about if greedy else about - (-torch.rand_like(about).log()).log()
            happens = torch.zeros_like(about).scatter(-1, noisy.argmax(-1, keepdim=True), 1.0)
        else:
            happens = self._bits(about, greedy=greedy)
        if self.layout == "plain":
            return happens
        if before is None:
            going = torch.ones_like(logits[..., :1])
        else:
            going = before[..., :1] * self._bits(logits[..., :1], greedy=greedy)
        return torch.cat([going, going * happens], dim=-1)

    @staticmethod
    def _bits(logits: Tensor, *, greedy: bool) -> Tensor:
        threshold = torch.full_like(logits, 0.5) if greedy else torch.rand_like(logits)
        return (threshold < logits.sigmoid()).to(logits.dtype)
