"""How good a proposal the guide is: the effective sample size of its importance weights, and the weight of their tail.

    ESS = (Σₖ wₖ)² / Σₖ wₖ²,   wₖ = p(x, zₖ) / q(zₖ | x),   zₖ ~ q(z | x)                         (Kish 1965)

ESS is K where q is the posterior and 1 where a single draw has all the weight. It is an estimate from the same draws,
and the worse the proposal, the more it flatters it: a region that q misses shows in no weight. k̂, the shape of a
generalised Pareto distribution fitted to the largest weights, looks at the tail itself: moments of w above 1/k̂ do not
exist, and above 0.7 Vehtari et al. (2024) do not rely on the estimate. As a check of variational inference it is Yao
et al.'s (2018). Here it is told and no verdict: bounds with many k̂ above 0.7 have been right to a hundredth of a nat.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.estimates.streams import dealt, log_mean_over_draws, mean_over_draws
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.evaluation.over_draws import runs_for
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks, weighted_draws
from ppl_vae.programs.pair import frozen

KHAT_RELIABLE = 0.7
"""The k̂ up to which importance sampling is commonly relied on (Yao et al. 2018; Vehtari et al. 2024)."""

# Largest less smallest log-weight, in nats, below which the weights count as equal: their tail is then rounding, and no
# tail of theirs could matter.
_EQUAL = 1e-3
_UNDERFLOW = 700.0  # exp(−700) is near the smallest number of float64


class WeightTails(NamedTuple):
    """What the draws of each datapoint and their importance weights are like.

    Args:
        parts: the ELBO, reconstruction and KL of these draws.
        log_px: their importance bound on log p(x).
        ess: effective sample size, in draws, from 1 to the number of draws; 0 where no draw has any weight.
        khat: k̂, ``(N,)`` in float64; −∞ where all weights are equal (q is the posterior), ∞ where the few draws with
            any weight do not even make a tail.
    """

    parts: ElboParts
    log_px: Estimate
    ess: Estimate
    khat: Tensor

    @property
    def unreliable(self) -> float:
        """Share of datapoints with k̂ above 0.7."""
        return float((self.khat > KHAT_RELIABLE).double().mean())

    def khat_quantile(self, share: float) -> float:
        """The least k̂ that this share of the datapoints does not exceed; no interpolation, since k̂ may be infinite."""
        return float(np.quantile(self.khat.numpy(), share, method="inverted_cdf"))


def weight_tails(
    model: nn.Module, guide: nn.Module, data: Dataset, num_samples: int, advance: Callable[[int], object] | None = None
) -> WeightTails:
    """ESS and k̂ of each datapoint, from torch's own generator; a batch's weights are held at a time.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, not dynamic.
        num_samples: K, enough for a tail: 100 or more.
        advance: called with the number of datapoints done.
    """
    parts, log_sums, ess, khat, runs = [], [], [], [], runs_for(guide, data)
    for batch in data.batches(BATCH_SIZE):
        with frozen(model, guide):
            drawn = [weighted_draws(model, guide, batch, count, runs) for count in chunks(num_samples, batch)]
        reconstruction, kl = (torch.cat(part).cpu().double() for part in zip(*drawn, strict=True))  # (K, batch)
        weights = reconstruction - kl
        parts.append(dealt(torch.stack([weights, reconstruction, kl], dim=1), log=False))
        log_sums.append(dealt(weights, log=True))
        ess.append(effective_sample_size(weights))
        khat.append(torch.from_numpy(pareto_khat(weights.mT.contiguous().numpy())))
        if advance:
            advance(len(batch.x))
    of_draws = (mean_over_draws(part, num_samples) for part in torch.cat(parts, dim=-1).unbind(1))
    log_px = log_mean_over_draws(torch.cat(log_sums, dim=-1), num_samples)
    return WeightTails(ElboParts(*of_draws), log_px, Estimate(torch.cat(ess)), torch.cat(khat))


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """Of each column of log-weights ``(K, batch)``, in draws: ``(batch,)``; 0 where there is no weight at all."""
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp().nan_to_num(nan=0.0)


def pareto_khat(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """k̂ of each row of log-weights ``(N, K)``, K ≥ 25; see :class:`WeightTails` for the infinite ones.

    Pareto-smoothed importance sampling's fit, from ArviZ (Vehtari et al. 2024).
    """
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]  # here: it takes a second

    ordered = np.sort(log_weights, axis=1)
    low, high = ordered[:, 0], ordered[:, -1]
    equal = np.isfinite(low) & (high - np.where(np.isfinite(low), low, 0.0) < _EQUAL)
    # The fit takes its scale from the tail's lower quartile. Where that underflows beside the largest weight there is
    # no tail worth the name, and the library may call it a light one.
    tail = math.ceil(min(log_weights.shape[1] / 5, 3 * log_weights.shape[1] ** 0.5))
    quartile = ordered[:, -tail + tail // 4]
    fitted = np.isfinite(high) & (quartile > high - _UNDERFLOW)
    khat = np.where(equal, -np.inf, np.inf)
    for row in np.flatnonzero(fitted & ~equal):
        # It raises where the tail's values are all the same: then too there is none.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                # Minus: it takes log-likelihoods, whose inverses are the weights of leave-one-out cross-validation.
                found = float(array_stats.psislw(-log_weights[row])[1])  # type: ignore[no-untyped-call]
            except ValueError:
                continue
        khat[row] = found if np.isfinite(found) else np.inf
    return khat
