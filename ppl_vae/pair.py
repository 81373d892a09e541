"""A model/guide pair, run once: the guide sampled, the model replayed on its draws, many draws in one call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.enum import get_importance_trace
from pyro.poutine import Trace
from pyro.poutine.util import prune_subsample_sites, site_is_subsample
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.variational import Recall, Remember, is_side_loss


class Traces(NamedTuple):
    """The traces of one run, log-densities computed at every site, each ``(batch,)`` or ``(num_particles, batch)``."""

    model: Trace
    guide: Trace

    def latents(self) -> list[str]:
        """Names of the model's latent sites, in its order."""
        return [name for name in self.model.stochastic_nodes if name in self.guide.nodes]

    def observed(self) -> list[str]:
        """Names of the model's observed sites."""
        return list(self.model.observation_nodes)

    def sampled(self) -> list[str]:
        """Names of all the guide's sites: auxiliary ones too, and factors, which are terms of log q."""
        return [name for name, site in self.guide.nodes.items() if site["type"] == "sample"]


def run_pair(model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int = 1) -> Traces:
    """Sample the guide and replay the model on its draws.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_particles: draws of z for each datapoint, all in one call under an outer plate.
    """
    programs = in_particles(model, num_particles), in_particles(guide, num_particles)
    return Traces(*get_importance_trace("flat", 1 + (num_particles > 1), *programs, (batch,), {}))


def run_pair_along_draws(
    model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int, pass_on: Callable[[Tensor], Tensor]
) -> Traces:
    """The same with densities whose gradients reach the guide's parameters through the draws alone.

    The guide is run twice: to draw z, and again on ``pass_on(z)``, its parameters held constant, for log q. The model
    is run on ``pass_on(z)`` too. In a hierarchical guide a later site's draw depends on an earlier site's z, not on
    ``pass_on(z)``, so that every path from a density to a parameter of the guide crosses ``pass_on`` exactly once.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_particles: draws of z for each of them.
        pass_on: an identity, which may change the gradient; given a site's values, ``(batch, *event)`` or
            ``(num_particles, batch, *event)``.
    """
    with Remember() as memory:
        drawn = poutine.trace(in_particles(guide, num_particles)).get_trace(batch)
    given = drawn.copy()
    for name, site in latent_sites(drawn).items():
        given.nodes[name] = cast(Any, {**site, "value": pass_on(site["value"])})
    replayed = poutine.replay(in_particles(model, num_particles), trace=given)
    scored = prune_subsample_sites(poutine.trace(replayed).get_trace(batch))
    scored.compute_log_prob()
    # Densities are worked out inside the block as well: a distribution may hold a parameter itself, or a network.
    # The model is held constant too, for a guide that reads its parameters.
    with constant(model, guide), Recall(memory.calls):
        replayed = poutine.replay(in_particles(guide, num_particles), trace=given)
        again = prune_subsample_sites(poutine.trace(replayed).get_trace(batch))
        again.nodes.update({name: site for name, site in drawn.nodes.items() if is_side_loss(site)})
        again.compute_log_prob()
    return Traces(scored, again)


def in_particles(program: Callable[[Batch], object], num_particles: int) -> Callable[[Batch], object]:
    """The program under an outer plate. One particle needs none, and its sites then keep the shape ``(batch,)``."""
    if num_particles == 1:
        return program
    wrapped: Callable[[Batch], object] = pyro.plate("num_particles", num_particles, dim=-2)(program)
    return wrapped


def per_datapoint(log_prob: Tensor, batch: Batch, num_particles: int) -> Tensor:
    """A site's log-density as ``(num_particles, batch)``, whether or not it depends on the particle."""
    return log_prob.expand(num_particles, len(batch.x))


class Weighted(NamedTuple):
    """The two parts of log w = reconstruction − kl at draws z ~ q(z | x), each ``(num_particles, batch)``, in nats.

    Args:
        reconstruction: log p(x | z).
        kl: log q(z | x) − log p(z), whose mean over draws is the KL.
    """

    reconstruction: Tensor
    kl: Tensor


def weigh(traces: Traces, batch: Batch, num_particles: int) -> Weighted:
    """The importance weights of a run's draws.

    Masks are honoured, scales are not: a logsumexp of weights that a subsampled plate has multiplied by N / B is no
    bound on anything, and a mean of them is not per datapoint.
    """
    zero = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device).expand(num_particles, len(batch.x))
    reconstruction, kl = zero, zero

    def log_density(site: Any) -> Tensor:
        return per_datapoint(scale_and_mask(site["unscaled_log_prob"], mask=site["mask"]), batch, num_particles)

    for site in traces.model.nodes.values():
        if site["type"] == "sample":
            if site["is_observed"]:
                reconstruction = reconstruction + log_density(site)
            else:
                kl = kl - log_density(site)
    for name in traces.sampled():
        kl = kl + log_density(traces.guide.nodes[name])
    return Weighted(reconstruction, kl)


def latent_sites(trace: Trace) -> dict[str, Any]:
    """The sites that a program sampled, by name; a plate's choice of rows is none."""
    return {name: site for name, site in trace.iter_stochastic_nodes() if not site_is_subsample(site)}


def unwrapped(fn: Any) -> Any:
    """The distribution inside its wrappers: declared event dims, expansions, masks, transforms."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn


@contextmanager
def frozen(*programs: nn.Module) -> Iterator[None]:
    """The programs as fixed densities: evaluation mode, no gradients, no validation; put back afterwards."""
    modes = [(module, module.training) for program in programs for module in program.modules()]
    for program in programs:
        program.eval()
    try:
        with torch.no_grad(), pyro.validation_enabled(False):
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def constant(*programs: nn.Module) -> Iterator[None]:
    """Inside the block these programs' parameters are constants, so that no gradient is worked out for them."""
    params = [param for program in programs for param in program.parameters() if param.requires_grad]
    for param in params:
        param.requires_grad_(False)
    try:
        yield
    finally:
        for param in params:
            param.requires_grad_(True)
