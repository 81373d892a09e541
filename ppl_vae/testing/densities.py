"""A pair's densities at given draws, by Pyro's own handlers: written apart from what it is to check."""

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.testing.case import Pair


def trace_of(program: nn.Module, batch: Batch) -> Trace:
    """One run of a program."""
    trace: Trace = poutine.trace(program).get_trace(batch)
    return trace


def draws_of(trace: Trace) -> dict[str, Tensor]:
    """What was drawn; sites that follow from other sites are none."""
    nodes: Any = trace.iter_stochastic_nodes()
    return {name: site["value"] for name, site in nodes if not site_is_subsample(site) and not _follows(site["fn"])}


def densities_at(
    pair: Pair, batch: Batch, draws: dict[str, Tensor], num_samples: int | None = None
) -> tuple[Tensor, Tensor]:
    """log p(x, z) and log q(z | x) where the guide draws these values, ``(batch,)`` or ``(num_samples, batch)``."""
    fixed = Trace()
    for name, value in draws.items():
        fixed.add_node(name, name=name, type="sample", value=value, is_observed=False, infer={})

    def run(program: nn.Module, given: Trace) -> Trace:
        handled: Any = poutine.replay(program, trace=given)
        if num_samples is not None:
            handled = pyro.plate("samples", num_samples, dim=-2)(handled)
        return trace_of(handled, batch)

    model, guide = pair
    with torch.no_grad():
        guide_trace = run(guide, fixed)
        return _total(run(model, guide_trace)), _total(guide_trace)


def _total(trace: Trace) -> Tensor:
    trace.compute_log_prob()
    sites: Any = [site for site in trace.nodes.values() if site["type"] == "sample"]
    return torch.stack(torch.broadcast_tensors(*(site["unscaled_log_prob"] for site in sites))).sum(0)


def _follows(fn: Any) -> bool:
    """Whether it is a point, as the sites are that Pyro makes of a reparameterised or transformed one."""
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)
