"""The guide with which a run meets unseen data: its own where that is a function of x, else one fitted to the data."""

from collections.abc import Callable

import torch
from torch import nn

from ppl_vae.data import Dataset
from ppl_vae.guides import Family, Guide, PerDatapoint
from ppl_vae.inference import InferConfig, infer


def guide_for(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    settings: InferConfig,
    advance: Callable[[int], object] | None = None,
) -> nn.Module:
    """A guide for these datapoints.

    Args:
        model: p(x, z), trained.
        guide: trained with it.
        data: not dynamic, on the device of the pair.
        settings: of local inference, where it is needed.
        advance: called with the number of datapoints done.

    Returns:
        the guide itself if it takes any x; for a per-datapoint guide one of the same family whose rows are fitted to
        this data from the neutral start, the model frozen.
    """
    if not isinstance(guide, PerDatapoint):
        return guide
    return fit_locally(model, guide, data, settings, advance=advance)


def fit_locally(
    model: nn.Module,
    guide: Guide,
    data: Dataset,
    settings: InferConfig,
    family: Family | None = None,
    init: Callable[..., torch.Tensor] | None = None,
    advance: Callable[[int], object] | None = None,
) -> PerDatapoint:
    """A per-datapoint guide with rows fitted to this data, the model frozen; of the guide's family if None is given."""
    chosen = family or guide.family
    inferred = infer(model, chosen, data, guide.latents, init, settings, advance)
    local = PerDatapoint(guide.latents, chosen, len(data), data.first).to(data.x)
    with torch.no_grad():
        local.table.weight.copy_(inferred.params)
    return local
