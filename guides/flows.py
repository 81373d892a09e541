"""Families that are flows: a diagonal Gaussian sent through invertible maps, its density followed exactly."""

from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions import transforms
from pyro.nn import ConditionalAutoRegressiveNN
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from torch.nn.functional import softplus

from ppl_vae.guides.families import Diagonal, Family
from ppl_vae.networks.dense import UNIT
from ppl_vae.runtime.config import Few, Size

# w·u must stay above −1 for a planar map to be invertible; this far above, so that its logarithm stays finite.
_PLANAR_MARGIN = 1e-3
_BISECTIONS = 60  # halves the bracket until it is below float64's resolution


class PlanarMap(Transform):
    """y = x + u tanh(w·x + b), one for each datapoint (Rezende and Mohamed 2015).

    Args:
        u: ``(..., D)``; its part along w is replaced by one with w·u > −1, which makes the map invertible (their
            appendix A); u = 0 stays 0.
        w: ``(..., D)``.
        b: ``(..., 1)``.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__(cache_size=1)
        dot = (w * u).sum(-1, keepdim=True)
        allowed = (1 - _PLANAR_MARGIN) * softplus(dot + UNIT) + _PLANAR_MARGIN - 1  # 0 at 0: u = 0 stays the identity
        square = (w * w).sum(-1, keepdim=True).clamp(min=1e-12)
        self.u, self.w, self.b = (u - dot * w / square) + allowed * w / square, w, b
        # What w·u comes to, (..., 1); summed up again from u it would lose the margin to rounding.
        self.dot = allowed * (w * w).sum(-1, keepdim=True) / square

    def _call(self, x: Tensor) -> Tensor:
        return x + self.u * torch.tanh((self.w * x).sum(-1, keepdim=True) + self.b)

    def _inverse(self, y: Tensor) -> Tensor:
        """Solve a + (w·u) tanh(a) = w·y + b for a = w·x + b, which is increasing in a: bisect, then one Newton step."""
        target = (self.w * y).sum(-1, keepdim=True) + self.b
        with torch.no_grad():
            low, high = target - self.dot.abs(), target + self.dot.abs()
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                above = middle + self.dot * torch.tanh(middle) > target
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        a = (low + high) / 2
        tanh = torch.tanh(a)
        a = a - (a + self.dot * tanh - target) / (1 + self.dot * (1 - tanh**2))  # carries the gradient
        return y - self.u * torch.tanh(a)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |1 + (w·u) (1 − tanh²(w·x + b))|, ``(...)``."""
        tanh = torch.tanh((self.w * x).sum(-1, keepdim=True) + self.b)
        return torch.log(1 + self.dot * (1 - tanh**2)).squeeze(-1)


class Planar(Family):
    """A diagonal Gaussian through planar maps, every parameter of every map per datapoint (Rezende and Mohamed 2015).

    Args:
        latent_dim: D.
        num_maps: Planar maps; q has 2D + num_maps (2D + 1) parameters.
    """

    directions: Tensor

    def __init__(self, latent_dim: int, *, num_maps: Few = 8) -> None:
        super().__init__(latent_dim)
        self.base = Diagonal(latent_dim)
        self.num_maps = num_maps
        self.num_params = self.base.num_params + num_maps * (2 * latent_dim + 1)
        # u = w = 0 would be a saddle point that gradients cannot leave, so w starts along fixed directions.
        generator = torch.Generator().manual_seed(0)
        directions = nn.functional.normalize(torch.randn(num_maps, latent_dim, generator=generator), dim=-1)
        self.register_buffer("directions", directions)

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., num_params)``: the base's, then u, w and b of each map."""
        size = self.latent_dim
        base, maps = params.split([self.base.num_params, params.shape[-1] - self.base.num_params], dim=-1)
        u, w, b = maps.unflatten(-1, (self.num_maps, 2 * size + 1)).split([size, size, 1], dim=-1)
        w = w + self.directions
        planar = [PlanarMap(u[..., k, :], w[..., k, :], b[..., k, :]) for k in range(self.num_maps)]
        q: dist.TorchDistribution = dist.TransformedDistribution(self.base(base), planar)
        return q


class _InOrder(transforms.ConditionalAffineAutoregressive):
    """Pyro's map, its order in Python's numbers: Pyro inverts it by indices that it reads from a tensor one by one, at
    each of which a GPU would be waited for.

    Args:
        network: mean and log scale of each number from those before it and the context.
        order: of the numbers, a permutation of 0, …, D − 1.
    """

    def __init__(self, network: nn.Module, order: list[int]) -> None:
        super().__init__(network)  # type: ignore[no-untyped-call]
        self.order = order

    def condition(self, context: Tensor) -> Any:
        """The map at this context, ``(..., D)``."""
        conditioned = super().condition(context)  # type: ignore[no-untyped-call]
        conditioned.arn.permutation = self.order
        return conditioned


class InverseAutoregressive(Family):
    """A diagonal Gaussian through inverse autoregressive maps with a context of each datapoint (Kingma et al. 2016).

    The maps' networks are shared by all datapoints and belong to the family; a datapoint's own parameters are the
    base's and the context, 3D numbers. The networks start at zero, where every map is the identity.

    Args:
        latent_dim: D. With D = 1 there is nothing to be autoregressive in, and q is the base.
        iaf_maps: Autoregressive maps, each in the reverse order of the one before.
        iaf_hidden: Width of the hidden layer of each map's network, at least D.
    """

    def __init__(self, latent_dim: int, *, iaf_maps: Few = 2, iaf_hidden: Size = 128) -> None:
        super().__init__(latent_dim)
        self.base = Diagonal(latent_dim)
        self.num_params = self.base.num_params + latent_dim
        order = torch.arange(latent_dim)
        maps: list[nn.Module] = []
        for number in range(iaf_maps if latent_dim > 1 else 0):
            permutation = order if number % 2 == 0 else order.flip(0)
            network = ConditionalAutoRegressiveNN(
                latent_dim,
                latent_dim,
                [max(iaf_hidden, latent_dim)],
                permutation=cast(Any, permutation),
                nonlinearity=nn.ELU(),
            )
            for param in network.layers[-1].parameters():
                nn.init.zeros_(param)
            maps.append(_InOrder(network, permutation.tolist()))
        self.maps = nn.ModuleList(maps)

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., 3D)``: the base's, then the context."""
        base, context = params.split([self.base.num_params, self.latent_dim], dim=-1)
        flow = [conditional.condition(context) for conditional in self.maps]  # type: ignore[operator]
        q: dist.TorchDistribution = dist.TransformedDistribution(self.base(base), flow) if flow else self.base(base)
        return q
