"""What a guide is made of, where it is made of what local inference and the aggregate posterior can use."""

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import frozen, unwrapped
from ppl_vae.runtime.errors import UserError, as_given
from ppl_vae.runtime.seeding import preserved


class Factored(Protocol):
    """A guide that is a family (what q is) times a parameterisation (where its parameters come from).

    Args:
        latents: of the model, as one vector.
        family: from parameters ``(..., num_params)`` to a distribution over that vector.
        params: of some datapoints, ``(batch, num_params)``.
        q: family and params together, for some datapoints.
    """

    latents: Latents
    family: Any
    params: Callable[[Batch], Tensor]
    q: Callable[[Batch], Any]


def factored(guide: nn.Module) -> Factored | None:
    """The guide as a family times a parameterisation, if it has these parts, whoever wrote it; otherwise None."""
    parts = [getattr(guide, name, None) for name in ("latents", "family", "params", "q")]
    latents, family, params, q = parts
    made_of = isinstance(latents, Latents) and hasattr(family, "num_params") and callable(params) and callable(q)
    return cast(Factored, guide) if made_of else None


def check_family(family: object, latents: Latents, name: str = "the family") -> None:
    """See that something is a family over these latents: it is run on the neutral parameters.

    Args:
        family: what is held to be one.
        latents: of the model.
        name: what the message calls it.

    Raises:
        UserError: it is none, or one over so many numbers that the latents are not.
    """
    num_params = getattr(family, "num_params", None)
    if not (isinstance(family, nn.Module) and isinstance(num_params, int)):
        what = as_given(family)
        raise UserError(f"{name} is {what}; pass a family that is made, such as Diagonal({latents.size}).")
    event = tuple(neutral(family).event_shape)
    if event != (latents.size,):
        over = ", ".join(map(str, event))
        raise UserError(f"{name} is over {over} numbers, the model's latents are {latents.size}; make it over as many.")


def neutral(family: Any) -> TorchDistribution:
    """q at the neutral parameters 0, where fits begin, batch shape ``(1,)``; generators are left as they were.

    Args:
        family: from parameters ``(..., num_params)`` to a distribution.
    """
    params = next(iter((*family.parameters(), *family.buffers())), torch.zeros(())).new_zeros(1, family.num_params)
    with frozen(family), torch.no_grad(), preserved(params.device):
        q: TorchDistribution = family(params)
    return q


def is_mean_field(family: nn.Module) -> bool:
    """Whether q is a Gaussian for each number, independent of the others."""
    q = neutral(family)
    while isinstance(q, Independent):
        q = q.base_dist
    return isinstance(q, Normal)


def is_gaussian_at_base(family: nn.Module) -> bool:
    """Whether q is a Gaussian, with whatever covariance, or maps of one, as a flow's is."""
    return isinstance(unwrapped(neutral(family)), Normal | MultivariateNormal | LowRankMultivariateNormal)


def has_learned(family: nn.Module) -> bool:
    """Whether a family holds something learned with a guide, such as the networks of a flow.

    A fresh one of its kind has not learned it, and cannot be fitted to a datapoint in its place.
    """
    return next(family.parameters(), None) is not None
