"""Log importance weights, the raw material of every bound on log p(x)."""

from typing import NamedTuple

import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.pair import per_datapoint, run_pair


class Weighted(NamedTuple):
    """The two parts of log w = reconstruction − kl at draws z ~ q(z | x), each ``(num_samples, batch)``, in nats.

    Args:
        reconstruction: log p(x | z).
        kl: log q(z | x) − log p(z), whose mean over draws is the KL.
    """

    reconstruction: Tensor
    kl: Tensor


def weighted_draws(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int) -> Weighted:
    """Draw from the guide and weigh the draws under both programs.

    Masks are honoured, scales are not: a logsumexp of weights that a subsampled plate has multiplied by N / B is no
    bound on anything, and a mean of them is not per datapoint.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_samples: draws of z for each of them, in one call.
    """
    traces = run_pair(model, guide, batch, num_samples)
    zero = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device).expand(num_samples, len(batch.x))
    reconstruction, kl = zero, zero
    for site in traces.model.nodes.values():
        if site["type"] == "sample":
            log_prob = per_datapoint(scale_and_mask(site["unscaled_log_prob"], mask=site["mask"]), batch, num_samples)
            if site["is_observed"]:
                reconstruction = reconstruction + log_prob
            else:
                kl = kl - log_prob
    for name in traces.sampled():
        site = traces.guide.nodes[name]
        log_prob = scale_and_mask(site["unscaled_log_prob"], mask=site["mask"])
        kl = kl + per_datapoint(log_prob, batch, num_samples)
    return Weighted(reconstruction, kl)


def log_weights(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int) -> Tensor:
    """log w = log p(x, z) − log q(z | x) with z ~ q(z | x), so that E[w] = p(x); see :func:`weighted_draws`.

    Returns:
        ``(num_samples, batch)``, in nats.
    """
    weighted = weighted_draws(model, guide, batch, num_samples)
    return weighted.reconstruction - weighted.kl
