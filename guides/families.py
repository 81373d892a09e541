"""WHAT q is: from a vector of parameters to a distribution over the latents.

The contract: a :class:`Family` over R^D says how many parameters one datapoint needs (``num_params``), and
``family(params)`` turns ``(..., num_params)`` into a distribution of batch shape ``(...)`` and event shape ``(D,)``
with a reparameterised sample and an exact log-density. ``params = 0`` is the neutral value, where fits begin: q is the
prior N(0, I) to within the family's floor, or as near to it as the family comes. Any finite parameters give a proper
distribution.

To add a family:

1. copy :class:`Diagonal`, or ``examples/heavy.py``, which has a setting of its own: a keyword-only parameter,
   ``*, tail: Annotated[float, Field(gt=1)] = 4.0``, with its words under ``Args:`` (:mod:`ppl_vae.registry.settings`).
   Give each a default, with which ``ppl-vae gaps --families`` makes the family;
2. leave it in your own file and pass ``--family path/to/file.py:Mine``, or give it a name: export the class from
   ``guides/__init__.py`` and put it in ``FAMILIES`` of ``ppl_vae/registry/factories.py``; any guide then takes it;
3. add its line to the conformance table, ``tests/conformance.py``, and to the table of families in ``README.md``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from math import log, nan, pi
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_vae.networks.dense import positive
from ppl_vae.runtime.config import Size
from ppl_vae.runtime.errors import UserError


class Family(nn.Module, ABC):
    """A family of distributions over R^D; the module's docstring states the contract.

    Args:
        latent_dim: D, at least 1.

    Attributes:
        num_params: parameters of one datapoint's q.
    """

    num_params: int

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., num_params)`` to q, batch shape ``(...)``, event shape ``(latent_dim,)``."""


class Diagonal(Family):
    """q = N(loc, diag(scale²)): 2D parameters, the mean-field Gaussian (Kingma and Welling 2014)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_params = 2 * latent_dim

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., 2D)``: loc, then the raw scale."""
        loc, raw_scale = params.chunk(2, dim=-1)
        q: dist.TorchDistribution = dist.Normal(loc, positive(raw_scale)).to_event(1)
        return q


class LowRank(Family):
    """q = N(loc, WWᵀ + diag(scale²)), W of a few columns: (2 + rank) D parameters (Ong et al. 2018).

    Args:
        latent_dim: D.
        rank: Columns of W, at most D; by default the nearest integer to √D.

    Raises:
        UserError: more columns than latents, of which D are as good as any more.
    """

    def __init__(self, latent_dim: int, *, rank: Size | None = None) -> None:
        super().__init__(latent_dim)
        if rank and rank > latent_dim:
            latents = f"{latent_dim} latent{'s' * (latent_dim != 1)}"
            raise UserError(
                f"`rank` {rank}: q is of {latents}, so more columns than {latent_dim} add nothing; lower it."
            )
        self.rank = rank or max(1, round(latent_dim**0.5))
        self.num_params = (2 + self.rank) * latent_dim

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., (2 + rank) D)``: loc, the raw scale, then W by rows."""
        size = self.latent_dim
        loc, raw_scale, factor = params.split([size, size, self.rank * size], dim=-1)
        factor = factor.unflatten(-1, (size, self.rank))
        # A floor that grows with W keeps the condition number of I + WᵀD⁻¹W where float32 can factorise it.
        scale = positive(raw_scale) + 1e-3 * factor.norm(dim=-1)
        return _LowRankNormal(loc, factor, scale**2)


class _LowRankNormal(dist.LowRankMultivariateNormal):
    """torch's, whose constructor asks whether its factorisation has failed, for which a GPU has to be waited for. Where
    it has, the density is NaN here.

    Args:
        loc: ``(..., D)``.
        factor: W, ``(..., D, rank)``.
        variance: ``(..., D)``.
    """

    def __init__(self, loc: Tensor, factor: Tensor, variance: Tensor) -> None:
        self.loc, self.cov_factor, self.cov_diag = loc, factor, variance
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = factor, variance
        capacitance = (factor.mT / variance.unsqueeze(-2)) @ factor + torch.eye(
            factor.shape[-1], dtype=factor.dtype, device=factor.device
        )
        tril, failed = torch.linalg.cholesky_ex(capacitance)
        self._capacitance_tril = tril.masked_fill((failed != 0)[..., None, None], nan)
        torch.distributions.Distribution.__init__(self, loc.shape[:-1], loc.shape[-1:])

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, _instance or self.__new__(type(self)))  # type: ignore[no-untyped-call]


class FullRank(Family):
    """q = N(loc, LLᵀ), L lower triangular with a positive diagonal: D + D(D+1)/2 parameters."""

    source: Tensor
    places: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_params = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2
        square = torch.arange(latent_dim**2).unflatten(0, (latent_dim, latent_dim))
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        places = torch.cat([square.diagonal(), square[rows, columns]])
        source = torch.full((latent_dim**2,), len(places))  # above the diagonal, the 0 after all numbers
        source[places] = torch.arange(len(places))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("source", source, persistent=False)

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., D + D(D+1)/2)``: loc, the raw diagonal of L, then √D times what is below it, row by row."""
        size = self.latent_dim
        # Split, not sliced: of slices the gradient is a sum of rows that are 0 but for their own part.
        loc, raw, below = params.split([size, size, self.num_params - 2 * size], dim=-1)
        # Over √D, so that a step along all of a row's numbers moves z as far as a step along its diagonal: without it
        # Adam, whose steps are of one length whatever the gradient, is thrown off by a row of fifty.
        entries = torch.cat([positive(raw), below / size**0.5], dim=-1)
        square: Tensor = _Square.apply(entries, self.source, self.places)
        return _Cholesky(loc, scale_tril=square.unflatten(-1, (size, size)))


class _Square(torch.autograd.Function):
    """Numbers ``(..., n)``, each at its own place of a longer row, whose other places are 0.

    Both ways numbers are fetched from where they are. By itself torch puts the gradient of what was fetched where it
    belongs, several to a place for all it knows, which takes a processor many times as long.
    """

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, source: Tensor, places: Tensor) -> Tensor:
        """Which number is at each place, n for a 0; and the place of each number."""
        ctx.save_for_backward(places)
        return torch.nn.functional.pad(numbers, (0, 1)).index_select(-1, source)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient at the place of each number."""
        (places,) = ctx.saved_tensors
        return gradients[0].contiguous().index_select(-1, places), None, None


class _Cholesky(dist.MultivariateNormal):
    """A Gaussian that remembers the noise of its last draw.

    The log-density of that draw then needs no L⁻¹(z − loc), which costs a triangular solve and, where L is badly
    conditioned, loses the noise that it should give back: −½‖ε‖² is at hand.
    """

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        noise = torch.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        value = self.loc + _of_each(torch.matmul, self._unbroadcasted_scale_tril, noise)
        self._drawn = (value, noise)
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        drawn, noise = getattr(self, "_drawn", (None, None))
        if drawn is not value or noise is None:
            solved: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
            return solved
        log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_prob: Tensor = -0.5 * (noise.square() + log(2 * pi)).sum(-1) - log_det
        return log_prob

    def log_prob_stuck(self, value: Tensor) -> Tensor:
        """log q(z) as a function of z alone, for :class:`ppl_vae.programs.given.Sticking`: of the last draw
        ∂/∂z log q(z) = −L⁻ᵀε, one triangular solve."""
        drawn, noise = getattr(self, "_drawn", (None, None))
        matrix = self._unbroadcasted_scale_tril.detach()
        if drawn is not value or noise is None:
            solved: Tensor = _Cholesky(self.loc.detach(), scale_tril=matrix).log_prob(value)
            return solved
        slope = -_of_each(partial(torch.linalg.solve_triangular, upper=True), matrix.mT, noise)
        stuck: Tensor = self.log_prob(value).detach() + ((value - value.detach()) * slope).sum(-1)
        return stuck


def _of_each(function: Callable[[Tensor, Tensor], Tensor], matrices: Tensor, vectors: Tensor) -> Tensor:
    """A function of a matrix and columns, such as their product, of matrices ``(*batch, D, D)`` and vectors
    ``(..., *batch, D)``. By itself torch would copy each matrix for each of its vectors."""
    more = vectors.dim() - matrices.dim() + 1
    if more < 1 or vectors.shape[more:-1] != matrices.shape[:-2]:
        return function(matrices, vectors.unsqueeze(-1)).squeeze(-1)
    columns = vectors.flatten(0, more - 1).movedim(0, -1)  # (*batch, D, vectors of each)
    return function(matrices, columns).movedim(-1, 0).reshape(vectors.shape)


class Point(Family):
    """q = a point: the code of a plain autoencoder; D parameters.

    Its log-density is 0 by convention, so "KL" is −log p(z): no bound on log p(x), and no importance weights.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_params = latent_dim

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        """Params ``(..., D)``: the point."""
        return dist.Delta(params, event_dim=1)
