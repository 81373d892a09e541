"""Which way to take the steps of a job: eagerly, or traced, which has to be compiled first."""

import math
from collections.abc import Callable
from typing import NamedTuple

from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.traced import TracedStep
from ppl_vae.tracing.capture import Engine, NotTraceableError, calls_that_pay, worth_compiling

Step = EagerStep | TracedStep | DistributedStep
"""What takes steps."""


class Chosen(NamedTuple):
    """How to take steps, and why so in words."""

    step: Step
    why: str


def choose_step(engine: Engine, eager: EagerStep | DistributedStep, batch_size: int, num_steps: int) -> Chosen:
    """Make what takes the steps; of several processes all have to call it, and all choose alike.

    Args:
        engine: ``eager``, ``traced``, or ``auto`` for whichever ends the whole job sooner, compiling included.
        eager: the step.
        batch_size: datapoints in a full step, of all processes together.
        num_steps: of the whole job, from its beginning.

    Returns:
        the step; where the pair cannot be traced it is eager, and ``why`` names the reason.
    """
    batch_size, group = min(batch_size, len(eager.data)), eager.group
    shared = f", each shared by {group.size} processes" if group.size > 1 else ""
    if engine == "eager":
        return Chosen(eager, f"eager{shared and ': steps'}{shared}")
    if batch_size < group.size:
        return Chosen(eager, f"eager: of {batch_size} rows in a batch, not each of {group.size} processes has one")
    calls, elements = _calls(eager, batch_size), _elements(eager, batch_size)
    if not worth_compiling(engine, num_steps * calls, elements, eager.data.device):
        return Chosen(eager, f"eager: too few steps to be worth compiling one, {num_steps:,}{shared}")
    # One after the other on a machine: what the first has measured and compiled, the others find.
    made = group.one_before_all(lambda: _traced(eager, batch_size))
    if why := group.first_of(made if isinstance(made, str) else None):
        return Chosen(eager, f"eager: the step cannot be traced ({why})")
    assert not isinstance(made, str)
    return Chosen(made, f"traced: one step compiled, {num_steps:,} to take{shared}")


def _traced(eager: EagerStep | DistributedStep, batch_size: int) -> TracedStep | str:
    """The step, traced, or why it cannot be."""
    try:
        return TracedStep(eager, batch_size)
    except NotTraceableError as error:
        return str(error)


def begins_eagerly(
    engine: Engine, eager: EagerStep | DistributedStep, batch_size: int, steps_per_epoch: int, epochs: int
) -> bool:
    """Whether the first epoch is to be eager, whatever comes then.

    ``auto`` does so where an epoch is over before compiling would have paid: its numbers are there as soon as those of
    an eager run, and a mistake is seen before anything is compiled. It depends on the job alone, so that the same job
    takes the same steps.
    """
    batch_size = min(batch_size, len(eager.data))
    paid = calls_that_pay(_elements(eager, batch_size), eager.data.device)
    calls = steps_per_epoch * _calls(eager, batch_size)
    return engine == "auto" and calls <= paid < calls * epochs


def _calls(eager: EagerStep | DistributedStep, batch_size: int) -> int:
    """How many parts of a step are differentiated one after the other; the same in all processes."""
    return math.ceil(batch_size / (eager.at_once or batch_size))


def _elements(eager: EagerStep | DistributedStep, batch_size: int) -> int:
    """Numbers of the observations in what a process differentiates at once, times the draws for each."""
    part = math.ceil(min(eager.at_once or batch_size, batch_size) / eager.group.size)
    return int(part * eager.objective.num_particles * eager.data.event_size)


def after_callback(step: Step, say: Callable[[str], object] | None) -> Step:
    """The step that is to be taken after a callback, which may have changed the pair; of several processes all call it.

    Args:
        step: what was taken before.
        say: called with the reason, in words, where the pair can be traced no longer and steps are eager from here on.
    """
    if isinstance(step, EagerStep | DistributedStep):
        return step
    why = None
    try:
        step.refresh()
    except NotTraceableError as error:
        why = str(error)
    if why := step.eager.group.first_of(why):
        if say:
            say(f"eager from here on: after a callback the step cannot be traced ({why})")
        return step.eager
    return step
