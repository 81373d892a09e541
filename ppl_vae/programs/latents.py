"""The latents of any model, read from one trace of it, as one flat vector of real numbers.

A family is a distribution over that vector, so a new model needs no new guide: the vector is cut into the model's
sites, reshaped, and mapped to each site's support (Kucukelbir et al. 2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Self, cast

import pyro
import pyro.distributions as dist
import torch
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import biject_to, constraints

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import trace_in_plate
from ppl_vae.programs.pair import frozen
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved

VECTOR = "_latents"
"""Name of the auxiliary site that a guide samples the whole vector at, where that is not itself the model's site."""


@dataclass(frozen=True)
class LatentSite:
    """One latent of the model.

    Args:
        name: the site's name.
        shape: its event shape, for one datapoint.
        support: where its values live.
    """

    name: str
    shape: tuple[int, ...]
    support: constraints.Constraint

    @property
    def unconstrained_shape(self) -> tuple[int, ...]:
        """Shape of the real numbers that are mapped to a value of this site."""
        return tuple(biject_to(self.support).inverse_shape(torch.Size(self.shape)))

    @property
    def size(self) -> int:
        """How many real numbers this site takes of the vector."""
        return prod(self.unconstrained_shape)

    def mapped(self, part: Tensor) -> tuple[Tensor, Tensor]:
        """Its part of the vector, ``(..., size)``, as a value ``(..., *shape)``; and log |dvalue/dpart|, ``(...)``."""
        transform = biject_to(self.support)
        real = part.unflatten(-1, self.unconstrained_shape) if self.unconstrained_shape else part.squeeze(-1)
        value = transform(real)
        log_det = transform.log_abs_det_jacobian(real, value)
        if log_det.dim() >= part.dim():  # one for each number; an empty list of dimensions would sum over the batch
            log_det = log_det.flatten(part.dim() - 1).sum(-1)
        return value, log_det


@dataclass(frozen=True)
class Latents:
    """All latents of a model, in the order in which it samples them.

    Args:
        sites: at least one.
    """

    sites: tuple[LatentSite, ...]

    @classmethod
    def of(cls, model: nn.Module, batch: Batch) -> Self:
        """Read them from one run of the model; draws and parameters are left as they were.

        Args:
            model: any Pyro program that takes a batch.
            batch: any batch that the model accepts; its shapes are used, its values are not.

        Raises:
            UserError: no latent, or one without a continuous support (the message names the site); or it does not run.
        """
        with frozen(model), preserved(batch.x.device):
            trace = trace_in_plate(model, batch)
        sites = []
        for name in trace.stochastic_nodes:
            site = cast(Any, trace.nodes[name])
            if site_is_subsample(site):
                continue
            sites.append(LatentSite(name, tuple(site["fn"].event_shape), _support(name, site["fn"])))
        if not sites:
            raise UserError("the model has no latent variable: there is nothing to infer.")
        return cls(tuple(sites))

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(site.size for site in self.sites)

    def sample(self, q: dist.TorchDistribution) -> None:
        """Sample every site from a distribution over the vector; to be called inside the guide's plate.

        Args:
            q: batch shape ``(..., batch)``, event shape ``(size,)``.
        """
        first = self.sites[0]
        if len(self.sites) == 1 and first.shape == (self.size,) and _is_real(first.support):
            pyro.sample(first.name, q)  # the vector is the site: q's own density, entropy and KL stay visible
            return
        vector = pyro.sample(VECTOR, q, infer={"is_auxiliary": True})  # (..., size)
        for site, part in zip(self.sites, self._parts(vector), strict=True):
            value, log_det = site.mapped(part)
            pyro.sample(site.name, dist.Delta(value, log_density=-log_det, event_dim=len(site.shape)))

    def mapped(self, vector: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The vector ``(..., size)`` as values by site, ``(..., *shape)``, and log |dvalues/dvector|, ``(...)``."""
        pairs = [site.mapped(part) for site, part in zip(self.sites, self._parts(vector), strict=True)]
        values = {site.name: value for site, (value, _) in zip(self.sites, pairs, strict=True)}
        return values, torch.stack([log_det for _, log_det in pairs]).sum(0)

    def flattened(self, values: Mapping[str, Tensor]) -> Tensor:
        """The inverse of :meth:`mapped`: values by site, ``(..., *shape)``, as a vector ``(..., size)``."""
        reals = [biject_to(site.support).inv(values[site.name]) for site in self.sites]
        parts = [
            real.flatten(real.dim() - len(site.unconstrained_shape)) if site.unconstrained_shape else real.unsqueeze(-1)
            for site, real in zip(self.sites, reals, strict=True)
        ]
        return torch.cat(parts, dim=-1)

    def _parts(self, vector: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = vector.split([site.size for site in self.sites], dim=-1)
        return parts


def _support(name: str, fn: Any) -> constraints.Constraint:
    """Where the values of a site live, in words that torch knows a map to the real numbers for."""
    kind = type(fn).__name__
    try:
        support = _of_components(fn.support)
        if support.is_discrete:
            raise UserError(f"site '{name}': {kind} is discrete; this needs real latents.")
        biject_to(support)
    except NotImplementedError:
        raise UserError(
            f"site '{name}': torch has no transform from the real numbers to the support of {kind}; give the "
            f"distribution "
            "a `support` that it knows one for, such as constraints.real_vector."
        ) from None
    return support


def _of_components(support: constraints.Constraint) -> constraints.Constraint:
    """A mixture lives where its components do; torch has another word for that, and no map to it."""
    if isinstance(support, constraints.MixtureSameFamilyConstraint):
        return _of_components(support.base_constraint)
    if isinstance(support, constraints.independent):
        return constraints.independent(_of_components(support.base_constraint), support.reinterpreted_batch_ndims)
    return support


def _is_real(support: constraints.Constraint) -> bool:
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return type(support) is type(constraints.real)  # not `is`: a copied guide has a copy of it
