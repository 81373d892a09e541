"""q(z | x) of given observations: draws from it, its moments, and of a plane its Gaussian; of whatever family it is."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from pyro.distributions import Delta
from torch import Tensor, nn
from torch.distributions import Normal

from ppl_vae.data.dataset import Dataset
from ppl_vae.predictive.draws import plane_site
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import trace_in_plate
from ppl_vae.programs.pair import frozen, in_particles, latent_sites
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import Columned, Columns, Names, spread_out, unit_names

_TwoOrMore = Annotated[int, Field(ge=2, lt=2**31)]
_DRAWS = 200  # of each q whose covariance has no closed form


class Moments(NamedTuple):
    """Mean and standard deviation of q(z | x) at one site, each ``(batch, *latent_event)``."""

    mean: Tensor
    std: Tensor


class PosteriorMoments(dict[str, Moments], Columned):
    """The moments of each latent of some observations, by its name.

    Args:
        moments: by site.
        y: labels by number, ``(batch,)``, or None.
    """

    def __init__(self, moments: Mapping[str, Moments], y: Tensor | None = None) -> None:
        super().__init__(moments)
        self.y = y

    def columns(self) -> Columns:
        """A row for each observation: its number from 0, label, mean and standard deviation of each unit."""
        num = len(next(iter(self.values())).mean)
        columns = {"index": np.arange(num), **Names().of_labels(self.y)}
        for site, moments in self.items():
            names = unit_names(site, tuple(moments.mean.shape[1:]))
            columns |= spread_out(names, moments.mean, "_mean") | spread_out(names, moments.std, "_std")
        return columns


class Gaussians(NamedTuple):
    """Of N datapoints' q(z | x), z of size 2.

    Args:
        means: ``(N, 2)``.
        covariances: ``(N, 2, 2)``.
    """

    means: Tensor
    covariances: Tensor


@in_range
def posterior_moments(guide: nn.Module, batch: Batch, num_samples: _TwoOrMore = 100) -> PosteriorMoments:
    """Mean and standard deviation of q(z | x), by site; of a site that is drawn given others, with these averaged over.

    Args:
        guide: q(z | x).
        batch: the observations.
        num_samples: draws to take them from, at least 2, where they have no closed form, from torch's own generator.

    Returns:
        the moments of each latent, in the units of z.

    Raises:
        UserError: a site of the guide is outside the batch's plate.
    """
    with frozen(guide):
        moments = _moments(guide, batch, num_samples)
    # A q whose parameters are the guide's own (no network between) hands them out as they are.
    own = {name: Moments(mean.detach(), std.detach()) for name, (mean, std) in moments.items()}
    return PosteriorMoments(own, batch.y)


@in_range
def posterior_samples(guide: nn.Module, batch: Batch, num_samples: Count) -> dict[str, Tensor]:
    """Draws z ~ q(z | x), by site, from torch's own generator.

    Args:
        guide: q(z | x).
        batch: the observations.
        num_samples: draws for each of them, at least 1.

    Returns:
        of each latent ``(num_samples, batch, *latent_event)``.

    Raises:
        UserError: a site of the guide is outside the batch's plate.
    """
    with frozen(guide):
        trace = trace_in_plate(guide, batch, in_particles(guide, num_samples))
    sites = {name: site for name, site in latent_sites(trace).items() if not site["infer"].get("is_auxiliary")}
    return {name: site["value"] if num_samples > 1 else site["value"].unsqueeze(0) for name, site in sites.items()}


def posterior_gaussians(model: nn.Module, guide: nn.Module, data: Dataset) -> Gaussians:
    """Means and covariances of q(z | x) in a latent plane, for ``figures.posteriors``.

    In closed form where the family has one; otherwise of 200 draws from torch's own generator.

    Args:
        model: p(x, z) with one latent, of size 2.
        guide: q(z | x).
        data: the observations, not dynamic, on the device of the pair.

    Raises:
        UserError: the latent is not one vector of size 2.
    """
    name = plane_site(model, data.event_shape, None if data.c is None else data.c[0])
    if name is None:
        raise UserError("a plane needs a model with one latent of size 2")
    batch = data.batch(torch.arange(len(data), device=data.device))
    with frozen(guide):
        sites = latent_sites(trace_in_plate(guide, batch))
    q: Any = sites[name]["fn"]
    alone = len(sites) == 1  # or it is given what else was drawn
    if alone and hasattr(q, "covariance_matrix"):
        means, covariances = q.mean, q.covariance_matrix
    elif alone and isinstance(getattr(q, "base_dist", q), Normal):
        means, covariances = q.mean, torch.diag_embed(q.variance)
    else:
        draws = posterior_samples(guide, batch, _DRAWS)[name]
        means, error = draws.mean(0), draws - draws.mean(0)
        covariances = torch.einsum("kni,knj->nij", error, error) / (_DRAWS - 1)
    return Gaussians(means.detach(), covariances.detach())


def _moments(guide: nn.Module, batch: Batch, num_samples: int) -> dict[str, Moments]:
    found, num_drawn = _closed_forms(guide, batch)
    if num_drawn > 1 and any(found.values()):  # that of a site given others moves with what these are drawn as
        again, _ = _closed_forms(guide, batch)
        found = {name: moments if _same(moments, again[name]) else None for name, moments in found.items()}
    drawn = {} if all(found.values()) else posterior_samples(guide, batch, num_samples)
    return {
        name: moments or Moments(drawn[name].mean(0), drawn[name].std(0))  # over (num_samples, batch, *latent_event)
        for name, moments in found.items()
    }


def _closed_forms(guide: nn.Module, batch: Batch) -> tuple[dict[str, Moments | None], int]:
    """Moments of each latent's own distribution in one run of the guide, and how many variables it has drawn."""
    sites = latent_sites(trace_in_plate(guide, batch))
    latents = {name: site["fn"] for name, site in sites.items() if not site["infer"].get("is_auxiliary")}
    return {name: _closed_form(q) for name, q in latents.items()}, len(sites)


def _closed_form(q: Any) -> Moments | None:
    if isinstance(q, Delta):  # the image of an auxiliary draw: its own mean says nothing about q
        return None
    try:
        return Moments(q.mean, q.stddev)
    except NotImplementedError:
        return None


def _same(one: Moments | None, other: Moments | None) -> bool:
    return one is not None and other is not None and all(map(torch.equal, one, other))
