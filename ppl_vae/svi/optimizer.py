"""One torch optimizer over all parameters of a pair (Pyro makes one for each parameter, at a cost on every step)."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat

from ppl_vae.config import config


@config
class OptimizerConfig:
    """Settings of the optimizer."""

    learning_rate: PositiveFloat = 1e-3
    """Step size of Adam (Kingma and Ba 2015)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the step size goes on: as it is, or down to zero along half a cosine."""
    adam_epsilon: PositiveFloat = 1e-8
    """What Adam adds to the root of the second moment (Burda et al. use 1e-4)."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; longer ones are scaled down to it. None: no limit."""


def make_optimizer(params: Iterable[torch.nn.Parameter], settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Adam over the parameters, its update one fused kernel."""
    return torch.optim.Adam(params, lr=settings.learning_rate, eps=settings.adam_epsilon, fused=True)


def learning_rate_at(step: int, total_steps: int, settings: OptimizerConfig) -> float:
    """The step size of step ``step`` of ``total_steps``, counted from 0."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / total_steps))
