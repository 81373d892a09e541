"""What every bound here takes for granted of a program, held against one run of it.

Whatever is evaluated runs programs by :func:`trace_in_plate` or holds its traces by :func:`hold_to_plate`, so that all
functions refuse the same programs in the same words, at no run more than they make anyway. Training steps do not: their
pair was checked before the first one.

What is held is one run on the rows that it was given, which for a check beforehand are the few of a probe: a program
that keeps the contract on those and breaks it on others, by what is in them, is not found out.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pyro.distributions import Unit
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.program import trace_program
from ppl_vae.runtime.errors import UserError


def trace_in_plate(program: nn.Module, batch: Batch, handled: Callable[[Batch], object] | None = None) -> Trace:
    """:func:`ppl_vae.programs.program.trace_program`, held by :func:`hold_to_plate`."""
    trace = trace_program(program, batch, handled)
    hold_to_plate(program, trace, batch)
    return trace


def hold_to_plate(program: nn.Module, trace: Trace, batch: Batch) -> None:
    """See that each site is one of single datapoints, with one value at a time.

    Args:
        program: the model or guide.
        trace: of a run of it.
        batch: what it was run on; nothing waits for the device.

    Raises:
        UserError: a site outside the batch's plate, whose density would count once for each datapoint, or one that is
            to be enumerated; the message names it.
    """
    kind = type(program).__name__
    for name, site in _sites(trace):
        if not any(frame.dim == -1 and frame.size == len(batch.x) for frame in site["cond_indep_stack"]):
            raise UserError(
                f"site '{name}' of {kind} is outside the batch's plate, and densities here are of single datapoints: "
                'sample it inside pyro.plate("data", len(batch.x), dim=-1), or make it a parameter.'
            )
        if site["infer"].get("enumerate"):
            raise UserError(
                f"site '{name}' of {kind} is marked for enumeration, which is not supported: sum it out in a "
                f"density of "
                "your own, or leave `enumerate` out and sample it."
            )


def hold_to_x(trace: Trace, batch: Batch) -> None:
    """See that a model observes x, once and as it is; it waits for the device where that is not plain.

    Args:
        trace: of a run of the model.
        batch: what it was run on.

    Raises:
        UserError: it has no observed site "x", observes there anything but ``batch.x``, or x at another site too.
    """
    site: Any = trace.nodes.get("x")
    if site is None or not site.get("is_observed"):
        raise no_x()
    if not _equal(site["value"], batch.x):
        raise not_x()
    for name, other in _besides_x(trace):
        if isinstance(other["value"], Tensor) and _is_of(other["value"], batch.x):
            raise UserError(
                f"site '{name}': the model observes x there and at site 'x' too, and generates each by itself: observe "
                "it once, at 'x', under one distribution."
            )


def hold_to_x_alone(trace: Trace, batch: Batch) -> None:
    """The same, and that the model observes nothing else: only then is the x that it draws with z one of p(x, z).

    Raises:
        UserError: as :func:`hold_to_x`; or there is another observation, such as a factor.
    """
    hold_to_x(trace, batch)
    for name, other in _besides_x(trace):
        what = "it is a factor of p(x, z)" if isinstance(other["fn"], Unit) else "the model observes it besides x"
        raise UserError(
            f"site '{name}': {what}, so that x drawn from the model is not x given it, and "
            "simulated data would be of another model; estimate on given data (elbo, iwae or ais)."
        )


def no_x() -> UserError:
    """The error for a model without an observation."""
    return UserError("the model observes no site 'x': end it with pyro.sample('x', ..., obs=batch.x).")


def not_x() -> UserError:
    """The error for a model that observes something else."""
    return UserError(
        "site 'x': what the model observes is not batch.x but made of it, so that what it generates would differ from "
        "the data it is given: prepare the data that way, and observe obs=batch.x."
    )


def _sites(trace: Trace) -> Iterator[tuple[str, Any]]:
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site):
            yield name, site


def _besides_x(trace: Trace) -> Iterator[tuple[str, Any]]:
    """What is observed besides x; a value that is only given a name (``pyro.deterministic``) is no observation."""
    for name, site in _sites(trace):
        if site["is_observed"] and name != "x" and not site["infer"].get("_deterministic"):
            yield name, site


def _equal(value: Any, x: Tensor) -> bool:
    if value is x:
        return True
    return isinstance(value, Tensor) and value.shape == x.shape and bool((value == x).all())


def _is_of(value: Tensor, x: Tensor) -> bool:
    """Whether these are numbers of x: a view of it, or a copy."""
    return value.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() or _equal(value, x)
