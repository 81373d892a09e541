"""The family of hierarchical models: from the latent next to x upwards, each layer given the one below.

    q(z₁, …, z_L | x) = q(z₁ | x) ∏ₗ q(zₗ | zₗ₋₁),   each factor of one family

A datapoint's own parameters are those of q(z₁ | x); the networks from layer to layer are shared by all datapoints and
belong to the family, as a flow's do, so that every parameterisation has it. Source: Burda et al. 2016; Rezende et al.
2014.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae.guides.families import Diagonal, Family
from ppl_vae.networks.dense import mlp


class BottomUp(Family):
    """q(z₁ | x) ∏ₗ q(zₗ | zₗ₋₁) over the latents' flat vector, which the model's order has from the top down.

    The networks end in zeros, so that the upper factors start at N(0, I).

    Args:
        sizes: of the latents, in the model's order: the top first, z₁ last. With one, q is the layer's family.
        hidden: widths of each network between two layers, from the lower to the upper.
        activation: theirs.
        layer: from a size to the family of a factor.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: Sequence[int] = (100,),
        activation: str = "relu",
        layer: Callable[[int], Family] = Diagonal,
    ) -> None:
        super().__init__(sum(sizes))
        self.sizes = tuple(sizes)
        self.layers = nn.ModuleList(layer(size) for size in reversed(sizes))  # from the bottom up
        nets = []
        for below, above in pairwise(self.layers):
            net = mlp(below.latent_dim, hidden, above.num_params, activation)  # type: ignore[arg-type]
            for param in net[-1].parameters():
                nn.init.zeros_(param)
            nets.append(net)
        self.nets = nn.ModuleList(nets)
        self.num_params = int(self.layers[0].num_params)  # type: ignore[arg-type]

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., num_params)``: those of q(z₁ | x)."""
        bottom: dist.TorchDistribution = self.layers[0](params)
        if len(self.sizes) == 1:
            return bottom

        def above(number: int, below: Tensor) -> dist.TorchDistribution:
            q: dist.TorchDistribution = self.layers[number + 1](self.nets[number](below))
            return q

        return Chain(bottom, above, self.sizes)


class Chain(dist.TorchDistribution):
    """The distribution of the family: batch shape that of ``bottom``, event shape the sum of the sizes.

    It remembers its last draw, whose density then needs no network a second time and no flow's inverse.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        bottom: dist.TorchDistribution,
        above: Callable[[int, Tensor], dist.TorchDistribution],
        sizes: tuple[int, ...],
    ) -> None:
        super().__init__(bottom.batch_shape, torch.Size((sum(sizes),)), validate_args=False)
        self.bottom, self.above, self.sizes = bottom, above, sizes
        self._drawn: tuple[Tensor, list[dist.TorchDistribution], list[Tensor]] | None = None

    def expand(self, batch_shape: Any, _instance: object = None) -> "Chain":
        """The same for a larger batch."""
        return Chain(self.bottom.expand(batch_shape), self.above, self.sizes)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """z₁, then each layer given the one below; put together in the model's order."""
        factors, parts = [self.bottom], [self.bottom.rsample(torch.Size(sample_shape))]
        for number in range(len(self.sizes) - 1):
            factors.append(self.above(number, parts[-1]))
            parts.append(factors[-1].rsample())
        value = torch.cat(parts[::-1], dim=-1)
        self._drawn = (value, factors, parts)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """The sum of the factors' log-densities."""
        if self._drawn is not None and self._drawn[0] is value:
            _, factors, parts = self._drawn
        else:
            parts = list(value.split(self.sizes, dim=-1))[::-1]
            factors = [self.bottom, *(self.above(number, below) for number, below in enumerate(parts[:-1]))]
        log_prob: Tensor = sum(q.log_prob(part) for q, part in zip(factors, parts, strict=True))  # type: ignore[assignment]
        return log_prob
