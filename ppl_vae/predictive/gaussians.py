"""q(z | x) as a Gaussian: its mean and covariance, of whatever family it is."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ppl_vae.data.dataset import Dataset
from ppl_vae.predictive.draws import plane_site, posterior_samples
from ppl_vae.programs.contract import trace_in_plate
from ppl_vae.programs.pair import frozen, latent_sites
from ppl_vae.runtime.errors import UserError

_DRAWS = 200  # of each q whose covariance has no closed form


class Gaussians(NamedTuple):
    """Of N datapoints' q(z | x), z of size 2.

    Args:
        means: ``(N, 2)``.
        covariances: ``(N, 2, 2)``.
    """

    means: Tensor
    covariances: Tensor


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
        q: Any = latent_sites(trace_in_plate(guide, batch))[name]["fn"]
    if hasattr(q, "covariance_matrix"):
        means, covariances = q.mean, q.covariance_matrix
    elif isinstance(getattr(q, "base_dist", q), Normal):
        means, covariances = q.mean, torch.diag_embed(q.variance)
    else:
        draws = posterior_samples(guide, batch, _DRAWS)[name]
        means, error = draws.mean(0), draws - draws.mean(0)
        covariances = torch.einsum("kni,knj->nij", error, error) / (_DRAWS - 1)
    return Gaussians(means.detach(), covariances.detach())
