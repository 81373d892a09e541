"""Bounds on log p(x) from draws of the guide: the ELBO and the K-sample importance bound."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate, rows_of, table_of
from ppl_vae.estimates.streams import log_mean_over_draws, mean_over_draws
from ppl_vae.evaluation.over_draws import Advance, sums_over_draws
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.log_weights import log_weights, weighted_draws
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.shown import Row, Shown
from ppl_vae.tracing.capture import Engine


@dataclass(frozen=True, eq=False)
class ElboParts(Shown):
    """elbo = reconstruction − kl, each over the same draws."""

    elbo: Estimate
    reconstruction: Estimate
    kl: Estimate

    def by_name(self) -> dict[str, Estimate]:
        """The three by name, the ELBO first."""
        return {"elbo": self.elbo, "reconstruction": self.reconstruction, "kl": self.kl}

    def __sub__(self, other: "ElboParts") -> "ElboParts":
        """The difference of each part, at each datapoint; see :meth:`ppl_vae.estimates.estimate.Estimate.__sub__`."""
        if not isinstance(other, ElboParts):
            return NotImplemented
        return ElboParts(
            *(mine - theirs for mine, theirs in zip(self.by_name().values(), other.by_name().values(), strict=True))
        )

    def __str__(self) -> str:
        return table_of(self.by_name())

    def rows(self) -> list[Row]:
        """A row for each part."""
        return rows_of(self.by_name())


@in_range
def elbo(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count = 1,
    seed: Seed = 0,
    advance: Advance | None = None,
) -> ElboParts:
    """The ELBO, E_q[log p(x, z) − log q(z | x)] ≤ log p(x), and its two parts.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, on the device of the pair.
        num_samples: draws of z for each datapoint, at least 1.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
            The same seed means the same bits whatever the estimator.
        advance: called with the number of datapoints done, for a progress bar.

    Returns:
        estimates in nats per datapoint; bigger is better. Of a guide that is a point the ELBO bounds nothing.

    Raises:
        UserError: the pair cannot run on this data, or the guide has rows for others.
    """

    def values(batch: Batch, count: int, runs: int) -> Tensor:
        weighted = weighted_draws(model, guide, batch, count, runs)
        return torch.stack([weighted.reconstruction, weighted.kl], dim=1)

    sums = sums_over_draws(model, guide, data, values, num_samples, seed, log=False, advance=advance)
    reconstruction, kl = sums.unbind(1)
    return ElboParts(*(mean_over_draws(part, num_samples) for part in (reconstruction - kl, reconstruction, kl)))


@in_range
def importance_bound(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count,
    seed: Seed = 0,
    advance: Advance | None = None,
    engine: Engine = "auto",
) -> Estimate:
    """The K-sample importance bound, E[log 1/K Σₖ wₖ] ≤ log p(x): rises with K, K = 1 is the ELBO (Burda et al. 2016).

    Streamed over the samples, so that memory does not grow with K.

    Args:
        model: p(x, z).
        guide: q(z | x), the proposal. The bound is only as tight as the proposal is good.
        data: the datapoints, on the device of the pair.
        num_samples: K, draws of z for each datapoint, at least 1.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
            The same seed means the same bits whatever the estimator.
        advance: called with the number of datapoints done, for a progress bar.
        engine: how weights are worked out: eager, plain Pyro; traced, compiled once; auto, what ends sooner.

    Returns:
        the estimate in nats per datapoint; bigger is better. Its ``rise`` is what going from K/2 draws to K added.

    Raises:
        UserError: the pair cannot run on this data, or the guide has rows for others, or is a point, which has no
            weights.
    """

    def values(batch: Batch, count: int, runs: int) -> Tensor:
        return log_weights(model, guide, batch, count, runs)

    sums = sums_over_draws(model, guide, data, values, num_samples, seed, log=True, engine=engine, advance=advance)
    return log_mean_over_draws(sums, num_samples)
