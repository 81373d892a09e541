"""Log importance weights, the raw material of every bound on log p(x)."""

from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.pair import Weighted, run_pair, weigh


def weighted_draws(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int) -> Weighted:
    """Draw from the guide and weigh the draws under both programs.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_samples: draws of z for each of them, in one call.
    """
    return weigh(run_pair(model, guide, batch, num_samples), batch, num_samples)


def log_weights(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int) -> Tensor:
    """log w = log p(x, z) − log q(z | x) with z ~ q(z | x), so that E[w] = p(x); see :func:`weighted_draws`.

    Returns:
        ``(num_samples, batch)``, in nats.
    """
    weighted = weighted_draws(model, guide, batch, num_samples)
    return weighted.reconstruction - weighted.kl
