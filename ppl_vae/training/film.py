"""Frames of a film of learning: where q puts some observations, and what the model makes of the latent plane."""

from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.evaluation.bounds import ElboParts, elbo
from ppl_vae.predictive.draws import latent_grid
from ppl_vae.predictive.posteriors import posterior_gaussians
from ppl_vae.runtime.seeding import seeded

_ELBO_SAMPLES = 10


class Frame(NamedTuple):
    """A pair at one step of its training.

    Args:
        means: of q(z | x), ``(N, 2)``.
        covariances: of q(z | x), ``(N, 2, 2)``.
        grid: E[x | z] over the latent plane, ``(S, S, *event)``: rows are z₂ upwards, columns z₁.
        parts: the N observations' ELBO and its parts, in nats per datapoint.
    """

    means: Tensor
    covariances: Tensor
    grid: Tensor
    parts: ElboParts


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
        label: of the grid of a conditional model; conditions are at their mean.
        seed: of draws.

    Raises:
        UserError: the latent is not one vector of size 2.
    """
    with seeded(seed, data.device):
        q = posterior_gaussians(model, guide, data)
        grid = latent_grid(model, data.event_shape, axis, label, None if data.c is None else data.c.mean(0))
        parts = elbo(model, guide, data, _ELBO_SAMPLES, seed)
    return Frame(q.means, q.covariances, grid, parts)
