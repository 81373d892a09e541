"""What a likelihood is: from the decoder's output η to a distribution of x."""

from abc import ABC, abstractmethod

import pyro.distributions as dist
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.holes import seen

HASTE = 10.0
"""A scale is one number that all of x, or all of a feature, wait for, and Adam's steps are of one length: so they are
made this much longer for it. On the digits 20 epochs of a Normal then end at 22 nats instead of 9."""


class Likelihood(nn.Module, ABC):
    """p(x | z) given the decoder's output; the package's docstring has them all."""

    @abstractmethod
    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """From η to p(x | z).

        Args:
            output: η, ``(..., *event)``; or ``(..., *event, K)`` where :meth:`start` is of K numbers for each of x.
            event_dim: how many dimensions an observation has.

        Returns:
            a distribution over x ``(*event)``, of independent numbers (``.to_event(event_dim)``): a part of x may be
            missing.
        """

    @abstractmethod
    def start(self, x_mean: Tensor) -> Tensor:
        """The output that a decoder does well to begin with, whose shape is then the shape of all its outputs.

        Args:
            x_mean: of the data, ``(*event)``. What else a start takes, such as spreads, a constructor asks for by name
                (:mod:`ppl_vae.registry.build`).

        Returns:
            ``(*event)``, or ``(*event, K)`` of a likelihood that needs K numbers for each number of x.
        """

    def of(self, output: Tensor, batch: Batch) -> dist.TorchDistribution:
        """What a model observes a batch under: p(x | z) of those numbers of x that were seen.

        A likelihood that is given more of a batch than its shape, such as the total of each row, overrides it.

        Args:
            output: as :meth:`forward`'s.
            batch: the observations.
        """
        return seen(self(output, batch.x.dim() - 1), batch)
