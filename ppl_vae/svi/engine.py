"""Which way to take the steps of a job: eagerly, or traced, which has to be compiled first."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.traced import TracedStep
from ppl_vae.tracing.capture import Engine, NotTraceableError, calls_that_pay, worth_compiling

Step = EagerStep | TracedStep | DistributedStep
"""What takes steps."""


class Chosen(NamedTuple):
    """How to take steps, and why so in words."""

    step: EagerStep | TracedStep
    why: str


def choose_step(engine: Engine, eager: EagerStep, batch_size: int, num_steps: int) -> Chosen:
    """Make what takes the steps.

    Args:
        engine: ``eager``, ``traced``, or ``auto`` for whichever ends the whole job sooner, compiling included.
        eager: the step.
        batch_size: of a full batch.
        num_steps: of the whole job, from its beginning.

    Returns:
        the step; where the pair cannot be traced it is eager, and ``why`` names the reason.
    """
    batch_size = min(batch_size, len(eager.data))
    if engine == "eager":
        return Chosen(eager, "eager")
    if not worth_compiling(engine, num_steps, _elements(eager, batch_size), eager.data.x.device):
        return Chosen(eager, f"eager: {num_steps:,} steps are too few to be worth compiling one")
    try:
        step = TracedStep(eager, batch_size)
    except NotTraceableError as error:
        return Chosen(eager, f"eager: the step cannot be traced ({error})")
    return Chosen(step, f"traced: one step compiled, {num_steps:,} to take")


def begins_eagerly(engine: Engine, eager: EagerStep, batch_size: int, steps_per_epoch: int, epochs: int) -> bool:
    """Whether the first epoch is to be eager, whatever comes then.

    ``auto`` does so where an epoch is over before compiling would have paid: its numbers are there as soon as those of
    an eager run, and a mistake is seen before anything is compiled. It depends on the job alone, so that the same job
    takes the same steps.
    """
    paid = calls_that_pay(_elements(eager, min(batch_size, len(eager.data))), eager.data.x.device)
    return engine == "auto" and steps_per_epoch <= paid < steps_per_epoch * epochs


def _elements(eager: EagerStep, batch_size: int) -> int:
    return int(batch_size * eager.objective.num_particles * prod(eager.data.event_shape))


def after_callback(step: Step, say: Callable[[str], object] | None) -> Step:
    """The step that is to be taken after a callback, which may have changed the pair.

    Args:
        step: what was taken before.
        say: called with the reason, in words, where the pair can be traced no longer and steps are eager from here on.
    """
    if isinstance(step, EagerStep | DistributedStep):
        return step
    try:
        step.refresh()
    except NotTraceableError as error:
        if say:
            say(f"eager from here on: after a callback the step cannot be traced ({error})")
        return step.eager
    return step
