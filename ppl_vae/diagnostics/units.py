"""What each unit of the latents is used for: its KL, and whether it is active.

A unit u is one number of the latents' flat, unconstrained vector v; for a real latent that is the latent itself.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from ppl_vae.data.dataset import Dataset
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents, LatentSite
from ppl_vae.programs.pair import frozen, in_particles, run_pair
from ppl_vae.runtime.shown import unit_names

ACTIVE_VARIANCE = 0.01
"""Variance over the data of a unit's posterior mean above which the unit is active (Burda et al. 2016)."""

DRAWS = 256
"""Of each datapoint. Moment-matched KLs are too large by about 1 / draws for each of q's and p's moments."""
_CALL_ELEMENTS = 2**23  # elements of x (draws × datapoints × event) and of v, in one call

KLMethod = Literal["closed form", "marginal", "moment-matched", "none"]


class Units(NamedTuple):
    """The units, in the order in which the model samples its sites.

    Args:
        names: "z1", "z2", …, ``D`` of them.
        kl: mean over the data of each unit's KL, ``(D,)``, in nats; NaN where there is none.
        kl_stderr: its standard error over the data, ``(D,)``.
        methods: how each site's KL was found, by site:

            * ``closed form``: q and p are independent Gaussians, KL(q(vᵤ | x) ‖ p(vᵤ)). Where a site depends on earlier
              ones it is the mean of KL(q(vᵤ | earlier, x) ‖ p(vᵤ | earlier)) over q, so the units add up to the KL;
            * ``marginal``: q has a covariance; the same of q's marginals. The units add up to less than the KL, by q's
              own total correlation;
            * ``moment-matched``: any other family or prior; KL between the Gaussians with the units' means and
              variances under q(z | x) and p(z), from draws where they have no closed form. It sees only those;
            * ``none``: q is a point.
        variance_of_means: Var_x(E_q[vᵤ | x]), ``(D,)``, less the part that is noise of the draws.
        num_data: how many datapoints it is the mean over.
    """

    names: tuple[str, ...]
    kl: Tensor
    kl_stderr: Tensor
    methods: dict[str, KLMethod]
    variance_of_means: Tensor
    num_data: int

    @property
    def active(self) -> Tensor:
        """Burda et al.'s rule, Var_x(E_q[vᵤ | x]) > 0.01: ``(D,)``, bool."""
        return self.variance_of_means > ACTIVE_VARIANCE

    @property
    def num_active(self) -> int:
        """How many are."""
        return int(self.active.sum())


class _Moments(NamedTuple):
    """Of a site's units under q(z | x) or p(z), each ``(batch, size)``; noise: the mean's own variance."""

    mean: Tensor
    variance: Tensor
    noise: Tensor


def units(model: nn.Module, guide: nn.Module, data: Dataset, num_draws: int = DRAWS) -> Units:
    """KL and activity of each unit, from torch's own generator.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, not dynamic, at least 2.
        num_draws: of each, for what has no closed form; at least 2.
    """
    latents = Latents.of(model, data.probe())
    # Even a single datapoint may take too much; then it takes it.
    largest = num_draws * max(data.event_size, latents.size)
    parts = []
    methods: dict[str, KLMethod] = {}
    for batch in data.batches(max(1, _CALL_ELEMENTS // largest)):
        with frozen(model, guide):
            sites = list(_sites(model, guide, latents, batch, num_draws))
        methods = {site.name: method for site, (_, _, method) in zip(latents.sites, sites, strict=True)}
        kl = torch.cat([kl for kl, _, _ in sites], dim=-1)
        mean = torch.cat([moments.mean for _, moments, _ in sites], dim=-1)
        noise = torch.cat([moments.noise for _, moments, _ in sites], dim=-1)
        parts.append(torch.stack([kl, mean, noise]).cpu().double())
    kl, mean, noise = torch.cat(parts, dim=1)  # (N, D) each
    return Units(
        names=tuple(name for site in latents.sites for name in unit_names(site.name, site.unconstrained_shape)),
        kl=kl.mean(0),
        kl_stderr=kl.std(0) / len(kl) ** 0.5,
        methods=methods,
        variance_of_means=(mean.var(0) - noise.mean(0)).clamp(min=0.0),
        num_data=len(data),
    )


def _sites(
    model: nn.Module, guide: nn.Module, latents: Latents, batch: Batch, num_draws: int
) -> Iterator[tuple[Tensor, _Moments, KLMethod]]:
    """For each site its units' KL ``(batch, size)``, q's moments, and the method."""
    traces = run_pair(model, guide, batch, num_draws)
    prior: Trace | None = None
    for site in latents.sites:
        q, p = _fn(traces.guide, site.name), _fn(traces.model, site.name)
        found = _moments(traces.guide, site)
        q_gaussian, p_gaussian = _gaussian(q), _gaussian(p)
        if q_gaussian and p_gaussian and not isinstance(p, MultivariateNormal | LowRankMultivariateNormal):
            kl = _gaussian_kl(*q_gaussian, *p_gaussian).mean(0)
            diagonal = not isinstance(q, MultivariateNormal | LowRankMultivariateNormal)
            yield kl.reshape(len(kl), -1), found, "closed form" if diagonal else "marginal"
        elif (found.variance == 0).all():
            yield torch.full_like(found.mean, torch.nan), found, "none"
        else:
            prior = prior or poutine.trace(in_particles(model, num_draws)).get_trace(batch)
            other = _moments(prior, site)
            yield _gaussian_kl(*found[:2], *other[:2]), found, "moment-matched"


def _gaussian_kl(mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) ‖ N(other_mean, other_variance)), element by element."""
    ratio = variance / other_variance
    return 0.5 * (ratio + (mean - other_mean) ** 2 / other_variance - 1 - ratio.log())


def _moments(trace: Trace, site: LatentSite) -> _Moments:
    """From the distributions at the site where they are Gaussians, so that only earlier sites' draws add noise."""
    gaussian = _gaussian(_fn(trace, site.name))
    if gaussian:
        means, variances = (value.reshape(*value.shape[:2], -1) for value in gaussian)  # (draws, batch, size)
    else:
        value: Any = trace.nodes[site.name]["value"]
        means = Latents((site,)).flattened({site.name: value})
        variances = torch.zeros_like(means)
    between = means.var(0)
    return _Moments(means.mean(0), variances.mean(0) + between, between / len(means))


def _fn(trace: Trace, name: str) -> Any:
    """The distribution at a site, without the wrapper that declares event dimensions."""
    fn: Any = trace.nodes[name]["fn"]
    while isinstance(fn, Independent):
        fn = fn.base_dist
    return fn


def _gaussian(fn: Any) -> tuple[Tensor, Tensor] | None:
    """Mean and variance, ``(draws, batch, *event)``, of what is a Gaussian, else None."""
    if isinstance(fn, Normal | MultivariateNormal | LowRankMultivariateNormal):
        return fn.mean, fn.variance
    return None
