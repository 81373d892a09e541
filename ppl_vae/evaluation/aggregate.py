"""The aggregate posterior q(z) = 1/N Σₙ q(z | xₙ): what z tells of x, and how far the codes are from the prior.

    1/N Σₙ KL(q(z | xₙ) ‖ p(z)) = I_q(x; z) + KL(q(z) ‖ p(z))                      (Hoffman and Johnson 2016)

Both terms on the right are estimated with draws z from each q(z | xₙ) and with the mixture over the same N datapoints,
log q(z) ≈ logsumexpₙ log q(z | xₙ) − log N. A mixture of N can tell no more than log N apart: where the information is
near that, its estimate is too low, and the divergence from the prior too high, by as much.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pyro import poutine
from pyro.distributions import TransformedDistribution
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.data.dataset import Dataset
from ppl_vae.evaluation.estimate import Estimate
from ppl_vae.evaluation.log_joint import draw, log_guide, log_prior_and_likelihood
from ppl_vae.latents import Latents
from ppl_vae.pair import latent_sites

# Pairs of a draw and a datapoint cost N² × draws densities; of a flow, that many inversions.
_DATAPOINTS, _FLOW_DATAPOINTS = 500, 200
_DRAWS = 16  # at most, of each datapoint
_PAIR_ELEMENTS = 2**26  # numbers of z in all pairs; more draws than fit are not taken
_CALL_ELEMENTS = 2**21  # numbers of z in the pairs of one call
_NEAR_CAP = 0.1  # of log N

Scorer = Callable[[Tensor], Tensor]


class Aggregate(NamedTuple):
    """Mutual information of x and z under q, and the aggregate posterior's divergence from the prior.

    Args:
        mutual_information: I_q(x; z) in nats, one term for each datapoint, at most log N.
        kl_to_prior: KL(q(z) ‖ p(z)) in nats, the same; None where p(z) is another for each datapoint.
        num_draws: of z from each q(z | xₙ).
    """

    mutual_information: Estimate
    kl_to_prior: Estimate | None
    num_draws: int

    @property
    def num_datapoints(self) -> int:
        """N, the datapoints in the mixture."""
        return len(self.mutual_information.values)

    @property
    def log_num(self) -> float:
        """log N in nats, the most that the estimate of the information can be."""
        return math.log(self.num_datapoints)

    @property
    def capped(self) -> bool:
        """Whether the estimate is within 10 % of log N: it is then a lower bound, and the divergence an upper one."""
        return self.mutual_information.mean > (1 - _NEAR_CAP) * self.log_num


def aggregate(model: nn.Module, guide: nn.Module, data: Dataset) -> Aggregate:
    """Mutual information and divergence from the prior, from torch's own generator.

    Their standard errors are over datapoints; that the mixture is of a sample too does not add to them in the first
    order, since E_q(z)[q(z | xₙ) / q(z)] = 1 whatever xₙ.

    Args:
        model: p(x, z).
        guide: q(z | x), with a density.
        data: the datapoints, not dynamic, at least 2. Of more than 500 (of 200 for a flow, which must be inverted for
            every pair) as many are taken, evenly spaced.

    Raises:
        UserError: the guide draws more than the latents, so that it has no density of them alone.
    """
    latents = Latents.of(model, data.probe())
    batch, scores, vectors = _guide(guide, latents, data)  # (draws, N, D)
    num = len(batch.x)
    flat = vectors.flatten(0, 1)
    own, mixture = [], []
    columns = torch.arange(num, device=flat.device).repeat(len(vectors))
    per_call = max(1, _CALL_ELEMENTS // (num * latents.size))
    for chunk, column in zip(flat.split(per_call), columns.split(per_call), strict=True):
        log_q = scores(chunk.unsqueeze(1).expand(-1, num, -1).contiguous())  # (chunk, N)
        # A flow can fail to find its way back to a draw that is far outside its own: its density there is nil.
        log_q = log_q.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        own.append(log_q.gather(1, column.unsqueeze(1)).squeeze(1))
        mixture.append(log_q.logsumexp(1) - math.log(num))
    log_q = torch.cat(own).view(-1, num)  # (draws, N)
    log_mixture = torch.cat(mixture).view(-1, num)
    prior, elsewhere = (log_prior_and_likelihood(model, latents, each, vectors)[0] for each in (batch, _rolled(batch)))
    kl = None
    if torch.allclose(prior, elsewhere, rtol=1e-4, atol=1e-4):  # the same z under another datapoint's prior
        kl = Estimate((log_mixture - prior).mean(0).cpu())
    return Aggregate(Estimate((log_q - log_mixture).mean(0).cpu()), kl, len(vectors))


def has_density(guide: nn.Module, batch: Batch) -> bool:
    """Whether q(z | x) has a density: not where it draws nothing, so that a latent is a point (``guides.Point``)."""
    sites = latent_sites(poutine.trace(guide).get_trace(batch)).values()
    auxiliary = [site for site in sites if site["infer"].get("is_auxiliary")]
    return not any(_is_point(site["fn"]) for site in auxiliary or sites)


def _is_point(fn: Any) -> bool:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return type(fn).__name__ == "Delta"


def _guide(guide: nn.Module, latents: Latents, data: Dataset) -> tuple[Batch, Scorer, Tensor]:
    """The datapoints, log q(v | xₙ) as a function of v ``(draws, N, D)``, and draws of v."""
    batch = _spaced(data, _DATAPOINTS)
    if not isinstance(getattr(guide, "latents", None), Latents) or not callable(
        getattr(guide, "q", None)
    ):  # anybody's program
        vectors = draw(guide, latents, batch, _num_draws(batch, latents))
        return batch, lambda vector: log_guide(guide, latents, batch, vector), vectors
    make: Callable[[Batch], Any] = guide.q  # type: ignore[assignment]  # torch takes every attribute for a tensor
    q = make(batch)  # once: a guide that refines its parameters refines them to others at every call
    if isinstance(q, TransformedDistribution) and len(data) > _FLOW_DATAPOINTS:
        batch = _spaced(data, _FLOW_DATAPOINTS)
        q = make(batch)
    num_draws = 1 if isinstance(q, TransformedDistribution) else _num_draws(batch, latents)
    return batch, q.log_prob, q.sample((num_draws,))


def _num_draws(batch: Batch, latents: Latents) -> int:
    return max(1, min(_DRAWS, _PAIR_ELEMENTS // (len(batch.x) ** 2 * latents.size)))


def _spaced(data: Dataset, most: int) -> Batch:
    """At most so many rows, evenly spaced: the first ones may be all of one class."""
    num = min(most, len(data))
    return data.batch(torch.arange(num, device=data.x.device) * len(data) // num)


def _rolled(batch: Batch) -> Batch:
    return Batch(*(None if part is None else part.roll(1, 0) for part in batch))  # type: ignore[arg-type]
