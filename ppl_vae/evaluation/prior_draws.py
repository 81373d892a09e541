"""Whether q leaves part of the posterior out: a second opinion by draws from the prior, which do not share its modes.

    1/K Σₖ p(x, zₖ) / q(zₖ | x),  zₖ ~ q(z | x)      and      1/K Σₖ p(x | zₖ),  zₖ ~ p(z)

Both have the expectation p(x). Where the second finds more, beyond chance, q has left out a region that holds the rest,
such as a mode, and the first one's logarithm is too low by as much at least. The effective sample size and k̂ of q's own
draws cannot show that: none of them has been there. Where the second finds less it says nothing, as in many dimensions,
where draws from the prior hardly meet the posterior; annealing from the prior then sees more, for more work.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.estimates.significance import each_beyond_chance, freedom_of_draws, more_than_chance
from ppl_vae.estimates.streams import dealt, log_mean_over_draws
from ppl_vae.evaluation.weight_tails import WeightTails, effective_sample_size
from ppl_vae.programs.log_joint import likelihood_of_draws
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks
from ppl_vae.programs.pair import frozen

# Our own: a prior whose few good draws say little makes no more than this share of the datapoints.
_FEW = 0.05
# The level of each datapoint: 5 standard errors of 16 streams.
_EACH = 1e-4


class LeftOut(NamedTuple):
    """Where an estimate from the prior finds more of log p(x) than one from q.

    Args:
        log_px: the bound from the prior.
        more: what it has more than the one from q, in nats; below 0 where it says nothing.
        where: the datapoints on which that is beyond chance, ``(N,)``, bool.
        each: how often chance alone puts a datapoint among them.
    """

    log_px: Estimate
    more: Estimate
    where: Tensor
    each: float

    @property
    def telling(self) -> bool:
        """Whether these are more datapoints than chance makes, and a share of them worth a warning."""
        count, num = int(self.where.sum()), len(self.where)
        return count > max(1.0, _FEW * num) and more_than_chance(count, num, self.each)

    @property
    def share(self) -> float:
        """Of the datapoints on which q leaves something out."""
        return float(self.where.double().mean())

    @property
    def nats(self) -> float:
        """How much more there is there, on average, in nats; 0 where there is none."""
        return float(self.more.values[self.where].mean()) if self.where.any() else 0.0


def left_out(model: nn.Module, data: Dataset, guided: WeightTails, num_samples: int) -> LeftOut:
    """Compare the guide's draws with as many from the prior, from torch's own generator.

    Args:
        model: p(x, z).
        data: the datapoints, not dynamic.
        guided: what the guide's draws came to on them.
        num_samples: K, as many as the guide's.
    """
    log_sums, ess = [], []
    for batch in data.batches(BATCH_SIZE):
        with frozen(model):
            drawn = [likelihood_of_draws(model, batch, count) for count in chunks(num_samples, batch)]
        weights = torch.cat(drawn).cpu().double()
        log_sums.append(dealt(weights, log=True))
        ess.append(effective_sample_size(weights))
    log_px = log_mean_over_draws(torch.cat(log_sums, dim=-1), num_samples)
    more = log_px - guided.log_px
    variance = _variance(log_px, torch.cat(ess), num_samples) + _variance(guided.log_px, guided.ess.values, num_samples)
    freedom = min(freedom_of_draws(log_px), freedom_of_draws(guided.log_px))
    return LeftOut(log_px, more, each_beyond_chance(more.values, variance, freedom, _EACH), _EACH)


def _variance(log_px: Estimate, ess: Tensor, num_samples: int) -> Tensor:
    """Of the logarithm at each datapoint, ``(N,)``, the larger of two estimates.

    The jackknife's is small by luck where the two streams that hold nearly all the weight hold the same; the delta
    method's, 1 / ESS − 1 / K, is not.
    """
    assert log_px.noise is not None
    return log_px.noise.double().square().sum(0).maximum(1 / ess - 1 / num_samples)
