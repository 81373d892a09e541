"""Log importance weights, the raw material of every bound on log p(x)."""

import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.pair import per_datapoint, run_pair


def log_weights(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int) -> Tensor:
    """log w = log p(x, z) − log q(z | x) with z ~ q(z | x), so that E[w] = p(x).

    Masks are honoured, scales are not: a logsumexp of weights that a subsampled plate has multiplied by N / B is no
    bound on anything.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_samples: draws of z for each of them, in one call.

    Returns:
        ``(num_samples, batch)``, in nats.
    """
    traces = run_pair(model, guide, batch, num_samples)
    total = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device).expand(num_samples, len(batch.x))
    for trace, sign in ((traces.model, 1), (traces.guide, -1)):
        for site in trace.nodes.values():
            if site["type"] == "sample":
                log_prob = scale_and_mask(site["unscaled_log_prob"], mask=site["mask"])
                total = total + sign * per_datapoint(log_prob, batch, num_samples)
    return total
