"""The aggregate posterior q(z) = E_x[q(z | x)]: what z tells of x, and how far the codes are from the prior.

    E_x KL(q(z | x) ‖ p(z)) = I_q(x; z) + KL(q(z) ‖ p(z))                          (Hoffman and Johnson 2016)

The x are those that the N datapoints are a sample of, and log q(z) at a draw z ~ q(z | xₙ) has to be estimated from the
sample. That is done twice, and the two bracket the truth in expectation, by Jensen's inequality:

    log 1/N Σₘ q(z | xₘ),   xₙ itself among them, is too high: I is too low, at most log N, and KL too high
                                                                                          (van den Oord et al. 2018)
    log 1/(N−1) Σ_{m≠n} q(z | xₘ),   xₙ left out, is too low: I is too high, and KL too low     (Poole et al. 2019)

Both biases fall as 1/N, but slowly where the codes hardly overlap: to tell I takes more than e^I datapoints, so they
are as many as the cost allows, while draws are taken of some of them. The second one's bias has no limit; KL ≥ 0 then
is the better bound, and with it I ≤ E_x KL(q(z | x) ‖ p(z)). Standard errors know nothing of either bias.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from pyro.distributions import TransformedDistribution
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_joint import draw, log_guide, log_prior_and_likelihood
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.parts import factored
from ppl_vae.runtime.shown import with_error

MOST_DRAWN, MOST_DRAWS = 500, 16
"""Draws are taken of so many datapoints at most, of each at most so many."""
# Pairs of a draw and a datapoint of the mixture cost a density each; of a flow, an inversion; of a program that is not
# ours, a run of it with all the mixture for some of the draws.
_PAIR_ELEMENTS = 2**26  # numbers of z in all pairs
_FLOW_PAIRS = 200**2
_MIXED = 2**22  # numbers of x in the mixture, which is encoded at once
_CALL_ELEMENTS = 2**21  # numbers of z in the pairs of one call
# An interval is wide if it exceeds so many standard errors and, in nats, what two decimals show.
_WIDE, _NOTHING = 2.0, 0.01
# It is vague, no use to anybody, if it exceeds this share of its upper end and, in nats, this.
_VAGUE, _SMALL = 0.1, 0.1

Scorer = Callable[[Tensor], Tensor]


class Aggregate(NamedTuple):
    """Mutual information of x and z under q, and the aggregate posterior's divergence from the prior, in nats.

    Of each there are two estimates, one term for each datapoint: their expectations are on either side of the truth.

    Args:
        mutual_information: I_q(x; z), the lower end, at most log N.
        mutual_information_upper: the upper end.
        kl_to_prior: KL(q(z) ‖ p(z)), the upper end; None where p(z) is another for each datapoint.
        kl_to_prior_lower: the lower end; 0, without error, where the estimate is below that. None likewise.
        num_draws: of z from each q(z | xₙ) that there are draws of.
        num_datapoints: N, the datapoints in the mixture; the estimates have a value for each that there are draws of.
    """

    mutual_information: Estimate
    mutual_information_upper: Estimate
    kl_to_prior: Estimate | None
    kl_to_prior_lower: Estimate | None
    num_draws: int
    num_datapoints: int

    @property
    def log_num(self) -> float:
        """log N in nats, the most that the lower end of the information can be."""
        return math.log(self.num_datapoints)

    @property
    def width(self) -> float:
        """From the lower end to the upper, in nats, the same for both quantities; below 0 by chance only."""
        return self.mutual_information_upper.mean - self.mutual_information.mean

    @property
    def wide(self) -> bool:
        """Whether the ends are further apart than 2 standard errors of either quantity, which then hide the bias."""
        errors = [each.stderr for each in (self.mutual_information, self.kl_to_prior) if each]
        return not self.width <= max(_WIDE * min(errors), _NOTHING)  # infinite and undefined ones too

    @property
    def vague(self) -> bool:
        """Whether the ends are so far apart that they tell nothing: by a tenth of the information, and of a nat."""
        return self.wide and not self.width <= max(_VAGUE * self.mutual_information_upper.mean, _SMALL)

    def in_words(self) -> list[str]:
        """The information, and the divergence where there is one, in a line each."""
        name = "mutual information I(x; z)"
        low, high = self.mutual_information, self.mutual_information_upper
        if self.vague:
            most = f", which may be up to {high.mean:.1f} nats" if math.isfinite(high.mean) else ""
            return [f"{name}{most}: not known, {self.num_datapoints} datapoints are too few to estimate it"]
        lines = [f"{name} {self._between(low, high)}"]
        if self.kl_to_prior and self.kl_to_prior_lower:
            lines.append(f"KL(q(z) ‖ p(z)) {self._between(self.kl_to_prior_lower, self.kl_to_prior)}")
        return lines

    def _between(self, low: Estimate, high: Estimate) -> str:
        """One number where its two ends say the same, else both: a single one would claim to know."""
        if not self.wide:
            return f"{with_error(low.mean, low.stderr)} nats"
        return f"between {low.mean:.2f} and {high.mean:.2f} nats"


def aggregate(model: nn.Module, guide: nn.Module, data: Dataset) -> Aggregate:
    """Mutual information and divergence from the prior, from torch's own generator.

    Their standard errors are over datapoints; that the mixture is of a sample too does not add to them in the first
    order, since E_q(z)[q(z | xₙ) / q(z)] = 1 whatever xₙ. It does add a bias, which the two ends show.

    Args:
        model: p(x, z).
        guide: q(z | x), with a density.
        data: the datapoints, not dynamic, at least 2; of more than the cost allows some are taken, evenly spaced, of
            fewer still draws.

    Raises:
        UserError: the guide draws more than the latents, so that it has no density of them alone.
    """
    with frozen(model, guide):
        return _aggregate(model, guide, data)


def _aggregate(model: nn.Module, guide: nn.Module, data: Dataset) -> Aggregate:
    latents = Latents.of(model, data.probe())
    batch, scores, vectors, drawn = _guide(guide, latents, data)
    num = len(batch.x)
    flat = vectors.flatten(0, 1)
    own, mixture, others = [], [], []
    columns = drawn.repeat(len(vectors))
    per_call = max(1, _CALL_ELEMENTS // (num * latents.size))
    for chunk, column in zip(flat.split(per_call), columns.split(per_call), strict=True):
        log_q = scores(chunk.unsqueeze(1).expand(-1, num, -1).contiguous())  # (chunk, N)
        # A flow can fail to find its way back to a draw that is far outside its own: its density there is nil.
        log_q = log_q.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        column = column.unsqueeze(1)
        own.append(log_q.gather(1, column).squeeze(1))
        mixture.append(log_q.logsumexp(1) - math.log(num))
        others.append(log_q.scatter(1, column, -math.inf).logsumexp(1) - math.log(num - 1))
    log_q, log_mixture, log_others = (torch.cat(parts).view(-1, len(drawn)) for parts in (own, mixture, others))
    batch = batch.rows(drawn)
    prior = log_prior_and_likelihood(model, latents, batch, vectors)[0]
    elsewhere = log_prior_and_likelihood(model, latents, _rolled(batch), vectors[:1])[0]
    information, upper = _over_draws(log_q - log_mixture), _over_draws(log_q - log_others)
    if not torch.allclose(prior[:1], elsewhere, rtol=1e-4, atol=1e-4):  # the same z under another datapoint's prior
        return Aggregate(information, upper, None, None, len(vectors), num)
    kl, lower = _over_draws(log_mixture - prior), _over_draws(log_others - prior)
    if not lower.mean >= 0:  # −∞ too, where a draw is out of reach of all other datapoints
        upper, lower = _over_draws(log_q - prior), Estimate(torch.zeros_like(kl.values))
    return Aggregate(information, upper, kl, lower, len(vectors), num)


def _over_draws(values: Tensor) -> Estimate:
    """From ``(draws, N)``."""
    return Estimate(values.mean(0).cpu())


def _guide(guide: nn.Module, latents: Latents, data: Dataset) -> tuple[Batch, Scorer, Tensor, Tensor]:
    """The datapoints of the mixture, log q(v | xₙ) as a function of v ``(draws, N, D)``, draws of v from some of them
    ``(draws, R, D)``, and which they are, ``(R,)``.
    """
    num_drawn = min(MOST_DRAWN, len(data))
    parts = factored(guide)
    if parts is None:  # anybody's program
        batch = _spaced(data, MOST_DRAWN)
        vectors = draw(guide, latents, batch, _num_draws(num_drawn, batch, latents))
        return (
            batch,
            lambda vector: log_guide(guide, latents, batch, vector),
            vectors,
            _places(num_drawn, len(batch.x), batch.x.device),
        )
    most = min(_PAIR_ELEMENTS // (num_drawn * latents.size), _MIXED // data.event_size)
    batch = _spaced(data, max(most, num_drawn))
    q = parts.q(batch)  # once: a guide that refines its parameters refines them to others at every call
    if isinstance(q, TransformedDistribution):
        if num_drawn * len(batch.x) > _FLOW_PAIRS:
            num_drawn = min(num_drawn, int(_FLOW_PAIRS**0.5) // 2)
            batch = _spaced(data, _FLOW_PAIRS // num_drawn)
            q = parts.q(batch)
        num_draws = 1
    else:
        num_draws = _num_draws(num_drawn, batch, latents)
    drawn = _places(num_drawn, len(batch.x), batch.x.device)
    return batch, q.log_prob, q.sample((num_draws,))[:, drawn], drawn


def _num_draws(num_drawn: int, batch: Batch, latents: Latents) -> int:
    return max(1, min(MOST_DRAWS, _PAIR_ELEMENTS // (num_drawn * len(batch.x) * latents.size)))


def _spaced(data: Dataset, most: int) -> Batch:
    """At most so many rows, evenly spaced: the first ones may be all of one class."""
    return data.batch(_places(min(most, len(data)), len(data), data.device))


def _places(num: int, size: int, device: torch.device) -> Tensor:
    """So many rows of all, evenly spaced."""
    return torch.arange(num, device=device) * size // num


def _rolled(batch: Batch) -> Batch:
    return batch.of(tensor.roll(1, 0) for tensor in batch.tensors)
