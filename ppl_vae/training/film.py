"""Frames of a film of learning: where q puts some observations, and what the model makes of the latent plane."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.evaluation.bounds import elbo
from ppl_vae.predictive.draws import latent_grid, plane_site, posterior_samples
from ppl_vae.programs.contract import trace_in_plate
from ppl_vae.programs.pair import frozen, latent_sites
from ppl_vae.runtime.seeding import seeded

_DRAWS = 200  # of each q whose covariance has no closed form
_ELBO_SAMPLES = 10


class Frame(NamedTuple):
    """A pair at one step of its training.

    Args:
        means: of q(z | x), ``(N, 2)``.
        covariances: of q(z | x), ``(N, 2, 2)``.
        grid: E[x | z] over the latent plane, ``(S, S, *event)``: rows are z₂ upwards, columns z₁.
        elbo: the N observations' ELBO, in nats per datapoint.
    """

    means: Tensor
    covariances: Tensor
    grid: Tensor
    elbo: Estimate


def film_steps(total: int, count: int) -> list[int]:
    """The steps after which to take frames: 0, the last, and between them ever further apart, as learning slows down.

    Args:
        total: steps of the whole training, at least 1.
        count: frames at most, at least 2; fewer where there are not so many steps.
    """
    spaced = np.geomspace(1, total, count - 1).round().astype(int)
    return [0, *sorted(set(spaced.tolist()))]


def take_frame(
    model: nn.Module, guide: nn.Module, data: Dataset, axis: Tensor, label: int | None = None, seed: int = 0
) -> Frame:
    """The pair as it stands. Neither it nor any random generator is changed, so training goes on as if unseen.

    Args:
        model: p(x, z) with one latent, of size 2.
        guide: q(z | x).
        data: the observations, not dynamic, on the device of the pair.
        axis: values of z₁ and of z₂ in the grid, ``(S,)``.
        label: of the grid of a conditional model.
        seed: of draws.

    Raises:
        ValueError: the latent is not one vector of size 2.
    """
    name = plane_site(model, data.event_shape)
    if name is None:
        raise ValueError("a film needs a model with one latent of size 2")
    batch = data.batch(torch.arange(len(data), device=data.x.device))
    with seeded(seed, data.x.device):
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
        grid = latent_grid(model, data.event_shape, axis, label)
        value = elbo(model, guide, data, _ELBO_SAMPLES, seed).elbo
    return Frame(means.detach(), covariances.detach(), grid, value)
