"""Where local inference starts: q made narrow and put at given points, for any family, by what its draws do.

The points are draws of the prior, a few of many, taken with probability proportional to p(x | v): rough draws of the
posterior (Rubin 1988). The best ELBO within one mode is about the logarithm of the mode's mass, so the mode that most
of them fall into is the one to find. Of two modes d nats apart, n of them all fall into the lesser one with probability
(1 + e^d)⁻ⁿ: for d = 0.1 that is 11 % of three, and 1 % of six. Wide starts, as the neutral one is, see all modes at
once and can stay where they see them; narrow ones do not.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_joint import draw, draw_with_likelihood
from ppl_vae.programs.log_weights import chunks
from ppl_vae.programs.pair import evaluating
from ppl_vae.runtime.ambient import apart
from ppl_vae.runtime.seeding import seeded, stream

CANDIDATES = 64
"""Draws of the prior that a datapoint's points are chosen among."""

# The standard deviation of q at a point, where the prior's is about 1.
_WIDTH = 0.3
# Moments of q are those of so many draws; its width is found by so many Newton steps, none longer than a unit.
_DRAWS, _STEPS = 256, 5
# Directions in which the parameters move the moments less than this share of the most are left alone.
_WEAK = 0.1
# The mean of a guide's q is that of so many draws.
_MEAN = 16


@apart()
def starting_rows(
    model: nn.Module,
    family: nn.Module,
    latents: Latents,
    batch: Batch,
    num: int,
    first: Tensor | None = None,
    guide: nn.Module | None = None,
) -> Tensor:
    """Parameters to start from: a given first start, the neutral 0, then q at draws of the prior.

    Args:
        model: p(x, z).
        family: what q is, ``params -> distribution``.
        latents: of the model.
        batch: the datapoints.
        num: how many starts, at least 1.
        first: rows ``(batch, num_params)``, if there are any to start from.
        guide: without them, a q(z | x) whose means the first start is at.

    Returns:
        ``(num, batch, num_params)``.

    Raises:
        ValueError: the first start is of another shape.
    """
    shape = (len(batch.x), int(family.num_params))  # type: ignore[arg-type]  # a family states its size
    if first is not None and tuple(first.shape) != shape:
        raise ValueError(f"initial rows of shape {tuple(first.shape)} where the family needs {shape}")
    neutral = batch.x.new_zeros(shape)
    rows = [neutral] if first is None else [first.detach().clone(), neutral]
    if num == 1 and (first is not None or guide is None):
        return rows[0].unsqueeze(0)
    place = placing(family, batch.x)
    if first is None and guide is not None:
        rows = [place(draw(guide, latents, batch, _MEAN).mean(0)), neutral]
    if num > len(rows):
        rows += place(likely_points(model, latents, batch, num - len(rows))).unbind(0)
    return torch.stack(rows[:num])


def likely_points(model: nn.Module, latents: Latents, batch: Batch, num: int) -> Tensor:
    """Draws of the prior, resampled without replacement by their likelihood: ``(num, batch, D)``.

    Args:
        model: p(x, z).
        latents: of the model.
        batch: the datapoints.
        num: how many for each, from 1 to :data:`CANDIDATES`.
    """
    drawn = [draw_with_likelihood(model, latents, batch, count) for count in chunks(CANDIDATES, batch)]
    vectors, log_likelihood = (torch.cat(column) for column in zip(*drawn, strict=True))
    # The largest of log-probabilities with Gumbel noise are a sample without replacement.
    gumbel = -torch.empty_like(log_likelihood).exponential_().log()
    chosen = (log_likelihood + gumbel).nan_to_num(nan=-math.inf).topk(num, dim=0).indices  # (num, batch)
    return vectors.gather(0, chosen.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))


@apart()
def placing(family: nn.Module, like: Tensor) -> Callable[[Tensor], Tensor]:
    """How to put a narrow q at a point.

    From the neutral value 0, Newton steps on mean and log standard deviation of q's draws make it narrow. What moves
    the mean from there, and nothing else, is to first order a linear map, the same for all points. A family that cannot
    do all of it, having no width or parameters for a part of the latents only, does what it can.

    Args:
        family: what q is over R^D, ``params -> distribution``.
        like: a tensor of the precision and on the device of the parameters.

    Returns:
        a function from points ``(..., D)`` to parameters ``(..., num_params)``; the neutral ones where a family's
        moments are no numbers.
    """
    params = like.new_zeros(int(family.num_params))  # type: ignore[arg-type]  # a family states its size

    def moments(params: Tensor) -> Tensor:
        """Mean and log standard deviation, ``(2D,)``, by the same noise at every call."""
        with evaluating(family), seeded(stream(0, "moments"), params.device):
            draws = family(params.unsqueeze(0)).rsample((_DRAWS,)).squeeze(1)
        variance = draws.var(0).clamp(min=torch.finfo(draws.dtype).tiny)
        return torch.cat([draws.mean(0), variance.log() / 2])

    size = len(moments(params)) // 2
    aim = torch.cat([like.new_zeros(size), like.new_full((size,), math.log(_WIDTH))])
    for _ in range(_STEPS):
        params = params + _steps(moments, params) @ (aim - moments(params)).clamp(-1.0, 1.0)
    here, steps = moments(params)[:size], _steps(moments, params)[:, :size]

    @apart()
    def place(points: Tensor) -> Tensor:
        found = params + (points - here) @ steps.mT
        return torch.where(found.isfinite().all(-1, keepdim=True), found, 0.0)

    return place


def _steps(moments: Callable[[Tensor], Tensor], params: Tensor) -> Tensor:
    """The shortest step that changes each of the moments by 1 and the others not, by column: ``(num_params, 2D)``."""
    with torch.enable_grad():
        jacobian: Tensor = torch.autograd.functional.jacobian(moments, params)
    if not jacobian.isfinite().all():
        return torch.full_like(jacobian.mT, math.nan)
    steps: Tensor = torch.linalg.pinv(jacobian, rtol=_WEAK)
    return steps
