"""Which way to take the steps of a job: eagerly, or traced, which has to be compiled first."""

from math import prod
from typing import Literal, NamedTuple

from torch import nn

from ppl_vae.capture import NotTraceableError
from ppl_vae.data.dataset import Dataset
from ppl_vae.objectives import Objective
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.optimizer import PairOptimizer
from ppl_vae.svi.traced import TracedStep

Engine = Literal["auto", "eager", "traced"]

# What compiling costs and what a compiled step saves, rounded from benchmarks/RESULTS.md (2-core CPU): Pyro's Python, a
# flat part of every step, and passes over the observations that inductor fuses. Constants rather than a clock, so that
# the same job always runs on the same engine: the two draw their noise differently.
_COMPILE_SECONDS = 15.0
_SAVED_SECONDS = 1.5e-3
_SAVED_SECONDS_PER_ELEMENT = 15e-9


class Chosen(NamedTuple):
    """How to take steps, and why so in words."""

    step: EagerStep | TracedStep
    why: str


def choose_step(
    engine: Engine,
    model: nn.Module,
    guide: nn.Module,
    objective: Objective,
    optimizer: PairOptimizer,
    data: Dataset,
    batch_size: int,
    num_steps: int,
) -> Chosen:
    """Make what takes the steps.

    Args:
        engine: ``eager``, ``traced``, or ``auto`` for whichever ends the whole job sooner, compiling included.
        model: p(x, z).
        guide: q(z | x).
        objective: what to maximise.
        optimizer: over the parameters of both.
        data: on the device.
        batch_size: of a full batch.
        num_steps: of the whole job, from its beginning.

    Returns:
        the step; where the pair cannot be traced it is eager, and ``why`` names the reason.
    """
    batch_size = min(batch_size, len(data))
    eager = EagerStep(model, guide, objective, optimizer, data)
    if engine == "eager":
        return Chosen(eager, "eager")
    elements = batch_size * objective.num_particles * prod(data.event_shape)
    saved = num_steps * (_SAVED_SECONDS + _SAVED_SECONDS_PER_ELEMENT * elements)
    if engine == "auto" and data.x.device.type == "cpu" and saved < _COMPILE_SECONDS:
        return Chosen(eager, f"eager: {num_steps:,} steps are too few to be worth compiling one")
    try:
        step = TracedStep(model, guide, objective, optimizer, data, batch_size)
    except NotTraceableError as error:
        return Chosen(eager, f"eager: the step cannot be traced ({error})")
    return Chosen(step, f"traced: one step compiled, {num_steps:,} to take")
