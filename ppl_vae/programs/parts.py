"""What a guide is made of, where it is made of what local inference and the aggregate posterior can use."""

from collections.abc import Callable
from typing import Any, Protocol, cast

from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents


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


def has_learned(family: nn.Module) -> bool:
    """Whether a family holds something learned with a guide, such as the networks of a flow.

    A fresh one of its kind has not learned it, and cannot be fitted to a datapoint in its place.
    """
    return next(family.parameters(), None) is not None
