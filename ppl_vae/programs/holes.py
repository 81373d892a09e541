"""Observations with holes: what is missing counts for nothing, and a program that counts it is found out."""

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import called
from ppl_vae.programs.pair import frozen, latent_sites
from ppl_vae.programs.program import trace_program
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved, seeded


def seen(likelihood: TorchDistribution, batch: Batch) -> TorchDistribution:
    """The likelihood p(x | z) of what was seen of x: ∏ over seen numbers of p(xᵢ | z).

    Args:
        likelihood: of independent numbers, made by ``.to_event(...)`` of all dimensions of an observation.
        batch: whose mask says what was seen; without one the likelihood is returned as it is.

    Raises:
        UserError: the numbers of an observation are not independent given z, so that a part of them has no density
            here.
    """
    if batch.mask is None:
        return likelihood
    event_dim = batch.x.dim() - 1
    if not isinstance(likelihood, dist.Independent) or likelihood.reinterpreted_batch_ndims != event_dim:
        raise UserError(
            f"the model's {called(likelihood)} has no density of a part of an observation; for data with "
            "holes take one of independent numbers, or fill the holes."
        )
    masked: TorchDistribution = likelihood.base_dist.mask(batch.mask).to_event(event_dim)
    return masked


def beside_mask(x: Tensor, mask: Tensor | None, event_dim: int) -> Tensor:
    """Observations, 0 where nothing was seen, with 1 beside each number that was and 0 beside the others, for a network
    to read.

    Args:
        x: ``(..., *event)``.
        mask: likewise, or None where all was seen.
        event_dim: how many dimensions an observation has.

    Returns:
        ``(..., 2 D)`` of vectors, ``(..., H, W, 2)`` of ``(H, W)``, ``(..., H, W, 2 C)`` of ``(H, W, C)``.
    """
    marks = torch.ones_like(x) if mask is None else mask.to(x)
    if mask is not None:  # what stands in for a hole depends on the other rows, and q of this row must not
        x = torch.where(mask, x, torch.zeros_like(x))
    return torch.stack([x, marks], dim=-1) if event_dim == 2 else torch.cat([x, marks], dim=-1)


def with_gaps(x: Tensor, mask: Tensor | None) -> Tensor:
    """Observations as they are shown and saved: NaN where nothing was seen, not what stands in for it.

    Args:
        x: ``(n, *event)``, float.
        mask: likewise, or None where all was seen.
    """
    return x if mask is None else torch.where(mask, x, torch.full_like(x, torch.nan))


def shape_beside_mask(event_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an observation of :func:`beside_mask`."""
    return (*event_shape, 2) if len(event_shape) == 2 else (*event_shape[:-1], 2 * event_shape[-1])


def hold_to_mask(model: nn.Module, batch: Batch) -> None:
    """See that what is missing counts for nothing in a model's density of x: where all of x is, other values of it have
    the same density.

    Args:
        model: p(x, z); random generators are left as they were.
        batch: a few datapoints of data with holes, which these rows need not have; without a mask nothing is looked at.

    Raises:
        UserError: the density depends on numbers that were not seen.
    """
    if batch.mask is None:
        return
    batch = batch._replace(mask=torch.zeros_like(batch.mask))
    other = batch._replace(x=batch.x.roll(1, 0))  # values that x takes in the same places
    with preserved(batch.x.device), frozen(model):
        handled = poutine.replay(model, trace=trace_program(model, batch))  # the same latents
        found = [trace_program(model, each, handled) for each in (batch, other)]
    densities = []
    for trace in found:
        trace.compute_log_prob()
        densities.append(trace.nodes["x"]["unscaled_log_prob"])
    if not torch.equal(*densities):
        raise UserError(
            f"{type(model).__name__} counts numbers of x that are missing: observe x under "
            "ppl_vae.programs.holes.seen(likelihood, batch), or give data without holes."
        )


def reads_stand_ins(guide: nn.Module, batch: Batch) -> bool:
    """Whether q(z | x) depends on what stands in x for numbers that were not seen, as one that cannot be told of them
    does: q of the same z, where all of x is missing, for other values of it.

    Args:
        guide: q(z | x), with an answer to these datapoints; random generators are left as they were.
        batch: a few of them; without a mask there is nothing to read.
    """
    if batch.mask is None:
        return False
    blank = batch._replace(mask=torch.zeros_like(batch.mask))
    other = blank._replace(x=blank.x.flatten().roll(1).view_as(blank.x))  # values that x takes, in other places
    with preserved(batch.x.device), frozen(guide):
        drawn = trace_program(guide, blank)
        found = []
        for each in (blank, other):
            with seeded(0, batch.x.device):  # of what a guide draws to find its q
                trace = trace_program(guide, each, poutine.replay(guide, trace=drawn))
            found.append([site["fn"].log_prob(site["value"]) for site in latent_sites(trace).values()])
    return not all(map(torch.equal, *found))
