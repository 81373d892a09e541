"""Which way to take the steps of a job: eagerly, or traced, which has to be compiled first."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.traced import TracedStep
from ppl_vae.tracing.capture import Engine, NotTraceableError, worth_compiling

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
    elements = batch_size * eager.objective.num_particles * prod(eager.data.event_shape)
    if not worth_compiling(engine, num_steps, elements, eager.data.x.device):
        return Chosen(eager, f"eager: {num_steps:,} steps are too few to be worth compiling one")
    try:
        step = TracedStep(eager, batch_size)
    except NotTraceableError as error:
        return Chosen(eager, f"eager: the step cannot be traced ({error})")
    return Chosen(step, f"traced: one step compiled, {num_steps:,} to take")


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
