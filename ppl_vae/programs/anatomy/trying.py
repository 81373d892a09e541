"""What a program's variables depend on, found by trying: something is changed, all else is as it was, and the densities
that are no longer the same depend on it."""

from typing import Any, NamedTuple, cast

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.func import functional_call

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.program import trace_program
from ppl_vae.runtime.seeding import preserved

Sites = dict[str, Any]
Parents = dict[str, set[str]]

_STEP = 0.1  # of a parameter that is moved, in standard deviations of N(0, 1)


class Learned(NamedTuple):
    """The variables whose distributions depend on learned parameters.

    Args:
        shared: on parameters that all datapoints share.
        own: on parameters that each datapoint has of its own.
    """

    shared: frozenset[str]
    own: frozenset[str]


def sites_of(trace: Any) -> Sites:
    """What a program samples or observes, by name; a plate's choice of rows is none."""
    return {n: site for n, site in trace.nodes.items() if site["type"] == "sample" and not site_is_subsample(site)}


def log_prob_of(site: Any, value: Tensor) -> Tensor:
    """A site's log-density at a value."""
    log_prob: Tensor = site["fn"].log_prob(value)
    return log_prob


def tried(program: nn.Module, batch: Batch) -> tuple[Sites, Parents]:
    """The sites, and for each what of x, y, c and the draws changes its density when it is given another value.

    Args:
        program: a model or guide, frozen.
        batch: a few datapoints that it accepts; torch's generators are left as they were.

    Raises:
        UserError: the program does not run on the batch.
    """
    with preserved(batch.x.device):
        first = trace_program(program, batch)
        others = sites_of(trace_program(program, batch))
    sites = sites_of(first)

    def affected(changed: Batch, trace: Any) -> set[str]:
        return _differing(sites, _Scored(program)(changed, trace, sites), _at(sites, sites))

    children = {"x": affected(batch._replace(x=1 - batch.x), first)}
    if batch.y is not None:
        children["y"] = affected(batch._replace(y=(batch.y == 0).to(batch.y.dtype)), first)
    if batch.c is not None:
        children["c"] = affected(batch._replace(c=1 - batch.c), first)
    for name, site in sites.items():
        if not site["is_observed"]:
            edited = first.copy()
            cast(Any, edited.nodes)[name] = {**site, "value": others[name]["value"]}
            children[name] = affected(batch, edited)
    return sites, {name: {each for each, found in children.items() if name in found} - {name} for name in sites}


def learned(program: nn.Module, batch: Batch) -> Learned:
    """Which variables' distributions depend on the program's learned parameters, those before them held fixed.

    All parameters that require a gradient are moved at once, and the densities at the same values looked at again. A
    parameter is a datapoint's own if with another row number, ``batch.index``, something else is read from it.

    Args:
        program: a model or guide, frozen; its parameters are left as they are.
        batch: a few datapoints that it accepts; torch's generators are left as they were.

    Raises:
        UserError: the program does not run on the batch.
    """
    free = {name: value.detach() for name, value in program.named_parameters() if value.requires_grad}
    if not free:
        return Learned(frozenset(), frozenset())
    with preserved(batch.x.device):
        first = trace_program(program, batch)
        sites = sites_of(first)
        moved = {name: value + _STEP * torch.randn_like(value) for name, value in free.items()}
    turned = batch._replace(index=batch.index.roll(1))

    def with_these(values: dict[str, Tensor], given: Batch) -> dict[str, Tensor]:
        inside = {f"program.{name}": value for name, value in values.items()}
        densities: dict[str, Tensor] = functional_call(_Scored(program), inside, (given, first, sites))
        return densities

    def reading_own(values: dict[str, Tensor]) -> set[str]:
        return _differing(sites, with_these(values, batch), with_these(values, turned))

    before = _at(sites, sites)
    own = reading_own(moved)
    if not own:
        return Learned(frozenset(_differing(sites, with_these(moved, batch), before)), frozenset())
    # With all rows of all parameters alike it does not matter which are read, but for those of the one that is moved.
    alike = {name: value[:1].expand_as(value) if value.dim() else value for name, value in free.items()}
    shared = {name: moved[name] for name in free if not reading_own({**alike, name: moved[name]})}
    return Learned(
        frozenset(_differing(sites, with_these(shared, batch), before)) if shared else frozenset(), frozenset(own)
    )


class _Scored(nn.Module):
    """A program and its densities as one module: a distribution may hold a network that runs in its density only."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, batch: Batch, trace: Any, sites: Sites) -> dict[str, Tensor]:
        """Of each site at its first value, the latents of the run being those of the trace."""
        with preserved(batch.x.device):
            again = trace_program(self.program, batch, poutine.replay(self.program, trace=trace))
            return _at(sites_of(again), sites)


def _at(densities: Sites, values: Sites) -> dict[str, Tensor]:
    return {name: log_prob_of(densities[name], site["value"]) for name, site in values.items()}


def _differing(sites: Sites, some: dict[str, Tensor], others: dict[str, Tensor]) -> set[str]:
    return {name for name in sites if not torch.equal(some[name].nan_to_num(), others[name].nan_to_num())}
