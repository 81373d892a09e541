"""The guide with which a run meets unseen data: its own where that is a function of x, else one fitted to the data."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from ppl_vae.batch import Batch
from ppl_vae.data import Dataset
from ppl_vae.guides import Family, PerDatapoint
from ppl_vae.inference import InferConfig, infer
from ppl_vae.latents import Latents


class Fitted(NamedTuple):
    """A guide with an answer to given datapoints.

    Args:
        guide: the trained one, or one fitted to the datapoints.
        converged: which of its rows had converged when the fit ended, ``(N,)``; None where nothing was fitted.
    """

    guide: nn.Module
    converged: torch.Tensor | None = None


class LocalFit(NamedTuple):
    """A guide fitted to given datapoints, and which of them had converged when the fit ended, ``(N,)``."""

    guide: PerDatapoint
    converged: torch.Tensor


def guide_for(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: InferConfig,
    advance: Callable[[int], object] | None = None,
) -> nn.Module:
    """The guide of :func:`fitted_for`, for those who do not ask whether its fits had converged."""
    return fitted_for(model, guide, data, settings, advance).guide


def fitted_for(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: InferConfig,
    advance: Callable[[int], object] | None = None,
) -> Fitted:
    """A guide for these datapoints.

    Args:
        model: p(x, z), trained.
        guide: trained with it.
        data: not dynamic, on the device of the pair.
        settings: of local inference, where it is needed.
        advance: called with the number of datapoints done.

    Returns:
        the guide itself if it has an answer to this data: it takes any x, or was trained on these very rows; for any
        other per-datapoint guide one of the same family whose rows are fitted to this data from the neutral start, the
        model frozen.
    """
    if not isinstance(guide, PerDatapoint) or has_rows(guide, data):
        return Fitted(guide)
    return Fitted(*fit_locally(model, guide.family, guide.latents, data, settings, advance=advance))


def has_rows(guide: PerDatapoint, data: Dataset) -> bool:
    """Whether these datapoints are among those that it was trained on."""
    first, count = guide.table.first, len(guide.table.weight)
    return first <= data.first and data.first + len(data) <= first + count


def fit_locally(
    model: nn.Module,
    family: Family,
    latents: Latents,
    data: Dataset,
    settings: InferConfig,
    init: Callable[[Batch], torch.Tensor] | None = None,
    advance: Callable[[int], object] | None = None,
) -> LocalFit:
    """A per-datapoint guide with rows fitted to this data, the model and what the family has learned frozen.

    Args:
        model: p(x, z), trained.
        family: what q is.
        latents: of the model.
        data: not dynamic, on the device of the model.
        settings: of the fits.
        init: where they start; the neutral value if None.
        advance: called with the number of datapoints done.
    """
    family = family.to(data.x)  # a fresh one is in torch's default precision, on the CPU
    inferred = infer(model, family, data, latents, init, settings, advance)
    local = PerDatapoint(latents, family, len(data), data.first).to(data.x)
    with torch.no_grad():
        local.table.weight.copy_(inferred.params)
    return LocalFit(local, inferred.converged)
