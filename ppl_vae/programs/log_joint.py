"""A pair's densities as functions of one flat vector of real numbers: what Hamiltonian transitions move in.

log p(x, v) = log p(x, z(v)) + log |dz/dv|,   v ∈ R^D the latents' unconstrained vector
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import hold_to_plate, trace_in_plate
from ppl_vae.programs.latents import VECTOR, Latents
from ppl_vae.programs.pair import evaluating, in_particles, latent_sites, per_datapoint
from ppl_vae.runtime.errors import UserError


def log_prior_and_likelihood(model: nn.Module, latents: Latents, batch: Batch, vector: Tensor) -> tuple[Tensor, Tensor]:
    """log p(v) and log p(x | v), unscaled by any plate.

    Args:
        model: p(x, z).
        latents: of the model.
        batch: the datapoints.
        vector: v, ``(num_samples, batch, D)``.

    Returns:
        two tensors ``(num_samples, batch)``, in nats.
    """
    values, log_det = latents.mapped(vector)
    trace = _conditioned(model, batch, values, len(vector))
    likelihood = _sum(trace, [name for name in _scored(trace) if name not in values], batch, len(vector))
    return _sum(trace, list(values), batch, len(vector)) + log_det, likelihood


def log_likelihood(model: nn.Module, batch: Batch, values: Mapping[str, Tensor]) -> Tensor:
    """log p(x | z) at latents of whatever origin, masks honoured, unscaled by any plate.

    Args:
        model: p(x, z).
        batch: the datapoints.
        values: of the latents by site, ``(num_samples, batch, *latent_event)``.

    Returns:
        ``(num_samples, batch)``, in nats.
    """
    num_samples = len(next(iter(values.values())))
    trace = _conditioned(model, batch, values, num_samples)
    return _sum(trace, [name for name in trace.observation_nodes if name not in values], batch, num_samples)


def log_guide(guide: nn.Module, latents: Latents, batch: Batch, vector: Tensor) -> Tensor:
    """log q(v | x), unscaled by any plate: ``(num_samples, batch)``, in nats.

    Args:
        guide: q(z | x).
        latents: of the model.
        batch: the datapoints.
        vector: v, ``(num_samples, batch, D)``.

    Raises:
        UserError: the guide draws more than the latents, so that its density of them is an integral.
    """
    values, log_det = latents.mapped(vector)
    trace = _conditioned(guide, batch, {**values, VECTOR: vector}, len(vector))
    free = [name for name in trace.stochastic_nodes if not site_is_subsample(trace.nodes[name])]
    if free:
        raise UserError(
            f"site '{free[0]}': {type(guide).__name__} draws it besides the latents, so its density is not known; "
            "start from the prior."
        )
    return _sum(trace, _scored(trace), batch, len(vector)) + log_det


def draw(program: nn.Module, latents: Latents, batch: Batch, num_samples: int) -> Tensor:
    """Draws of a model's prior or of a guide as flat vectors, ``(num_samples, batch, D)``, without gradients."""
    with evaluating(program):
        trace = trace_in_plate(program, batch, in_particles(program, num_samples))
    return _vectors(trace, latents, batch, num_samples)


def draw_with_likelihood(model: nn.Module, latents: Latents, batch: Batch, num_samples: int) -> tuple[Tensor, Tensor]:
    """v ~ p(v), as :func:`draw` gives it, with log p(x | v), ``(num_samples, batch)``, in nats; of one run."""
    trace, likelihood = _drawn(model, batch, num_samples)
    return _vectors(trace, latents, batch, num_samples), likelihood


def likelihood_of_draws(model: nn.Module, batch: Batch, num_samples: int) -> Tensor:
    """log p(x | z), z ~ p(z), ``(num_samples, batch)``, in nats, whatever kind of latents they are."""
    return _drawn(model, batch, num_samples)[1]


def _drawn(model: nn.Module, batch: Batch, num_samples: int) -> tuple[Trace, Tensor]:
    with evaluating(model):
        trace = trace_in_plate(model, batch, in_particles(model, num_samples))
        trace.compute_log_prob()
    drawn = latent_sites(trace)
    return trace, _sum(trace, [name for name in _scored(trace) if name not in drawn], batch, num_samples)


def _vectors(trace: Trace, latents: Latents, batch: Batch, num_samples: int) -> Tensor:
    values = {site.name: cast(Tensor, trace.nodes[site.name]["value"]) for site in latents.sites}
    vector = latents.flattened(values)
    return vector.expand(num_samples, len(batch.x), latents.size).detach()


def _conditioned(program: nn.Module, batch: Batch, values: Mapping[str, Tensor], num_samples: int) -> Trace:
    data: dict[str, Any] = {name: value if num_samples > 1 else value.squeeze(0) for name, value in values.items()}
    handled: Callable[[Batch], object] = poutine.condition(in_particles(program, num_samples), data=data)
    with evaluating(program):
        trace: Trace = poutine.trace(handled).get_trace(batch)
        hold_to_plate(program, trace, batch)
        trace.compute_log_prob()
    return trace


def _scored(trace: Trace) -> list[str]:
    return [name for name, site in trace.nodes.items() if site["type"] == "sample" and not site_is_subsample(site)]


def _sum(trace: Trace, names: list[str], batch: Batch, num_samples: int) -> Tensor:
    total = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device).expand(num_samples, len(batch.x))
    for name in names:
        site: Any = trace.nodes[name]
        log_prob = scale_and_mask(site["unscaled_log_prob"], mask=site["mask"])
        total = total + per_datapoint(log_prob, batch, num_samples)
    return total
