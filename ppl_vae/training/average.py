"""A running mean of a pair's weights, which is often better than the weights of any one step.

θ̄ ← d θ̄ + (1 − d) θ after each step t, with d = min(decay, (1 + t) / (10 + t)), so that the first weights are soon
forgotten. Source: Polyak and Juditsky 1992, there with equal shares.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The mean of the parameters of a pair; its buffers are the pair's.

    Args:
        model: p(x, z).
        guide: q(z | x).
        decay: d, from 0 to below 1; with 0 the mean is the weights themselves, and takes no memory.
    """

    def __init__(self, model: nn.Module, guide: nn.Module, decay: float) -> None:
        self.model, self.guide, self.decay = model, guide, decay
        params = dict.fromkeys([*model.parameters(), *guide.parameters()])  # a guide may hold its model
        self.params: list[Tensor] = list(params) if decay else []
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Begin with the weights as they are now."""
        self.means = [param.clone() for param in self.params]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step.

        Args:
            step: t, from 1.
        """
        if self.params:
            torch._foreach_lerp_(self.means, self.params, 1 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def put(self) -> None:
        """Make the mean the pair's weights, for good."""
        for param, mean in zip(self.params, self.means, strict=True):
            param.copy_(mean)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the pair has the mean for its weights, in the very tensors that a step reads and moves."""
        own = [param.detach().clone() for param in self.params]
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for param, value in zip(self.params, own, strict=True):
                    param.copy_(value)

    def state(self) -> dict[str, Any]:
        """A copy of the state of model and guide with the mean for their weights."""
        with self.in_place():
            return copy.deepcopy({"model": self.model.state_dict(), "guide": self.guide.state_dict()})
