"""A model/guide pair, run once: the guide sampled, the model replayed on its draws; and the check that they match."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.infer.enum import get_importance_trace
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.errors import UserError
from ppl_vae.program import trace_program


class Traces(NamedTuple):
    """The traces of one run, log-densities computed at every site, each ``(batch,)`` or ``(num_particles, batch)``."""

    model: Trace
    guide: Trace

    def latents(self) -> list[str]:
        """Names of the model's latent sites."""
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


def check_pair(model: nn.Module, guide: nn.Module, batch: Batch) -> None:
    """Run the pair on a batch and hold it against the contracts of ``models/base.py`` and ``guides/base.py``.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: a few datapoints; random generators and parameters are left as they were.

    Raises:
        UserError: what does not match, with the site's name.
    """
    known_params = set(pyro.get_param_store().keys())
    with torch.random.fork_rng(), torch.no_grad(), pyro.validation_enabled():
        for num_particles in (1, 2):
            _check_once(model, guide, batch, num_particles)
    stray = set(pyro.get_param_store().keys()) - known_params
    if stray:
        for name in stray:
            pyro.get_param_store().__delitem__(name)
        raise UserError(
            f"parameter '{min(stray)}' went to Pyro's global store; make it an nn.Parameter or PyroParam of the module."
        )


def _check_once(model: nn.Module, guide: nn.Module, batch: Batch, num_particles: int) -> None:
    guide_trace = _run(guide, in_particles(guide, num_particles), batch, num_particles)
    sampled = latent_sites(guide_trace)
    # The prior alone first: replaying the wrong shape would fail inside the model, where the message names no site.
    particles = in_particles(model, num_particles)
    prior_trace = _run(model, particles, batch, num_particles)
    latents = latent_sites(prior_trace)
    _check_names(latents, sampled, prior_trace)
    for name, site in latents.items():
        ours, theirs = tuple(site["fn"].event_shape), tuple(sampled[name]["fn"].event_shape)
        if ours != theirs:
            raise UserError(f"site '{name}': event shape {ours} in the model, {theirs} in the guide.")
    replayed = poutine.replay(particles, trace=guide_trace)
    model_trace = _run(model, replayed, batch, num_particles)
    for trace, program in ((guide_trace, "guide"), (model_trace, "model")):
        for name, site in trace.nodes.items():
            if site["type"] == "sample" and not site_is_subsample(site):
                _check_site(name, site, program, batch, num_particles)


def _run(program: nn.Module, handled: Callable[[Batch], object], batch: Batch, num_particles: int) -> Trace:
    try:
        return trace_program(program, batch, handled)
    except UserError as error:
        if num_particles == 1:
            raise
        raise UserError(f"{error} (with leading dimensions, (samples, batch, event), which it must accept)") from error


def _check_names(latents: dict[str, Any], sampled: dict[str, Any], model_trace: Trace) -> None:
    if "x" not in model_trace.nodes or not model_trace.nodes["x"].get("is_observed"):
        raise UserError("the model observes no site 'x': end it with pyro.sample('x', ..., obs=batch.x).")
    missing = set(latents) - set(sampled)
    if missing:
        raise UserError(f"site '{min(missing)}' is sampled by the model but not by the guide.")
    extra = {name for name, site in sampled.items() if not site["infer"].get("is_auxiliary")} - set(latents)
    if extra:
        raise UserError(f"site '{min(extra)}' is sampled by the guide but not by the model.")


def _check_site(name: str, site: Any, program: str, batch: Batch, num_particles: int) -> None:
    fn, value = site["fn"], site["value"]
    inside = fn.support.check(value)
    if not bool(inside.all()):
        advice = "; binarize the data (--binarization dynamic, static or threshold)" if name == "x" else ""
        raise UserError(f"site '{name}': values outside the support of the {program}'s {_name(fn)}{advice}.")
    if not any(frame.dim == -1 for frame in site["cond_indep_stack"]):
        raise UserError(
            f"site '{name}' of the {program} is outside the batch's plate; sample it inside "
            'pyro.plate("data", len(batch.x), dim=-1).'
        )
    shape = tuple(fn.log_prob(value).shape)
    expected = (len(batch.x),) if num_particles == 1 else (num_particles, len(batch.x))
    if shape != expected:
        raise UserError(
            f"site '{name}' of the {program}: log-density of shape {shape} where the batch is {expected}; "
            'sample it inside pyro.plate("data", len(batch.x), dim=-1) and declare its event dims with .to_event().'
        )


def _name(fn: object) -> str:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return type(fn).__name__


def per_datapoint(log_prob: Tensor, batch: Batch, num_particles: int) -> Tensor:
    """A site's log-density as ``(num_particles, batch)``, whether or not it depends on the particle."""
    return log_prob.expand(num_particles, len(batch.x))
