"""A model/guide pair, run once: the guide sampled, the model replayed on its draws, many draws in one call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from pyro.infer.enum import get_importance_trace
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ppl_vae.batch import Batch


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


def in_particles(program: Callable[[Batch], object], num_particles: int) -> Callable[[Batch], object]:
    """The program under an outer plate. One particle needs none, and its sites then keep the shape ``(batch,)``."""
    if num_particles == 1:
        return program
    wrapped: Callable[[Batch], object] = pyro.plate("num_particles", num_particles, dim=-2)(program)
    return wrapped


def per_datapoint(log_prob: Tensor, batch: Batch, num_particles: int) -> Tensor:
    """A site's log-density as ``(num_particles, batch)``, whether or not it depends on the particle."""
    return log_prob.expand(num_particles, len(batch.x))


def latent_sites(trace: Trace) -> dict[str, Any]:
    """The sites that a program sampled, by name; a plate's choice of rows is none."""
    return {name: site for name, site in trace.iter_stochastic_nodes() if not site_is_subsample(site)}


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
