"""Distributions by what they are inside their wrappers: what they are called, and whether q(z | x) has a density, the
one rule for "the guide is a point", for anybody's guide."""

from typing import Any

import torch
from pyro import poutine
from pyro.distributions import Delta, Independent, MaskedDistribution
from torch import nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import trace_in_plate
from ppl_vae.programs.pair import frozen, in_particles, latent_sites, unwrapped
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved


def points_of(guide: nn.Module, batch: Batch) -> list[str]:
    """The latents that a guide puts a point at, in its order.

    A ``Delta`` is a point if two draws of it are the same. It may also be the image of an auxiliary draw, whose density
    it then has; the next draw is another.

    Args:
        guide: q(z | x).
        batch: a few datapoints that it has an answer to; torch's generators are left as they were.
    """
    with frozen(guide), preserved(batch.x.device):
        sites = latent_sites(trace_in_plate(guide, batch, in_particles(guide, 2)))  # one call: q may refine itself
    return [
        name
        for name, site in sites.items()
        if not site["infer"].get("is_auxiliary")
        and isinstance(unwrapped(site["fn"]), Delta)
        and torch.equal(*site["value"].expand(2, len(batch.x), *site["fn"].event_shape))
    ]


def has_density(guide: nn.Module, batch: Batch) -> bool:
    """Whether all that a guide draws has a density, so that there are importance weights and a bound on log p(x).

    Args:
        guide: q(z | x).
        batch: a few datapoints that it has an answer to; torch's generators are left as they were.
    """
    return not points_of(guide, batch)


def refuse_points(guide: nn.Module, batch: Batch, instead: str) -> None:
    """See that q has a density, without which its draws have no weights.

    Args:
        guide: q(z | x).
        batch: a few datapoints that it has an answer to; torch's generators are left as they were.
        instead: what to do where it has none, for the message.

    Raises:
        UserError: the guide puts a point somewhere; the message names the site.
    """
    for name in points_of(guide, batch):
        raise UserError(
            f"site '{name}': the guide puts a point there, which has no density and gives no importance weights; "
            f"{instead}"
        )


def is_drawn(guide: nn.Module, batch: Batch) -> bool:
    """Whether a guide draws to find its q, as a semi-amortized one does in its refinement: at the same z another run
    of it has another density.

    Args:
        guide: q(z | x).
        batch: a few datapoints that it has an answer to; torch's generators are left as they were.
    """
    with frozen(guide), preserved(batch.x.device), torch.no_grad():
        drawn = trace_in_plate(guide, batch)
        # Both at given values: of a flow's own draw the density comes without an inverse, and is rounded otherwise.
        again = [trace_in_plate(guide, batch, poutine.replay(guide, trace=drawn)) for _ in range(2)]
        densities = [[site["fn"].log_prob(site["value"]) for site in latent_sites(each).values()] for each in again]
    return not all(map(torch.equal, *densities))


def unmasked(fn: Any) -> Any:
    """The distribution without masks and declared event dims: of the same numbers, so that mean and mode are its."""
    while isinstance(fn, MaskedDistribution | Independent):
        fn = fn.base_dist
    return fn


def called(fn: Any) -> str:
    """What messages call a distribution: the class of one of Pyro's; of ours the likelihood by its name in settings."""
    while hasattr(fn, "base_dist") and not hasattr(fn, "called"):
        fn = fn.base_dist
    return f"{fn.called} likelihood" if hasattr(fn, "called") else type(fn).__name__
