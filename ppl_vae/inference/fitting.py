"""Local inference: the variational parameters of given datapoints, fitted with the model frozen.

Each datapoint has its own Adam (its own moments and step size) and stops on its own: the ELBO is averaged over windows
of steps; after a window that is no improvement on the best so far its step size is halved, and one more such window
after ``halvings`` of them it stops. (Cremer et al. 2018 stop after ten windows without improvement, at a fixed step
size.)

Stopping is no proof of an optimum: steps too long throw a datapoint about, or are undone, and those too short change
the ELBO by less than its noise. So one that has stopped is looked at again: it has converged if it ends no lower than
it began and longer steps the same way gain nothing, as far as a few draws can tell.

Nor is an optimum the highest there is: of a posterior with two modes a q that covers both, and what lies between, can
be one, nats below a q of one mode. So each datapoint is fitted from several starts (``starts.py``), the best end is
kept, and how far the others end below it is told. Only what a second start has found too counts as converged.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.inference.ends import ENOUGH, LEAST, SIGNIFICANT, judged
from ppl_vae.inference.starts import CANDIDATES, starting_rows
from ppl_vae.inference.steps import AdamState, CompiledSteps, ElboGradient, Steps
from ppl_vae.inference.weights import DRAWS, CompiledWeights, Weights
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import frozen, modules_behind
from ppl_vae.programs.parts import check_family
from ppl_vae.runtime.config import Count, Seed, changed, checked, config
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Row, Shown
from ppl_vae.tracing.capture import Engine, NotTraceableError, refuse_untraced, worth_compiling

# The second look: how often the ELBO is drawn, and how far ahead.
_LOOKS, _AHEAD = 16, (0.05, 0.25, 1.0)


@config
class InferConfig:
    """How to fit the variational parameters of given datapoints."""

    infer_starts: Annotated[int, Field(ge=1, le=CANDIDATES)] = 8
    """Starts of each datapoint's fit, of which the best end is kept: a trained guide's own q where it has one, the
    neutral one, then draws of the prior that the datapoint is likely under. Time and memory grow with their number."""
    infer_rate: Annotated[float, Field(ge=1e-6, le=10)] = 0.05
    """First step size of each datapoint's Adam."""
    infer_window: Count = 40
    """Steps over which the ELBO is averaged before it is judged."""
    infer_halvings: Annotated[int, Field(ge=0, le=60)] = 6
    """How often the step size is halved before a datapoint stops."""
    infer_steps: Count = 2000
    """Steps after which to stop a datapoint that has not stopped by itself."""
    infer_particles: Count = 1
    """Draws of z for each datapoint in a step."""
    infer_chunk: Count = 1024
    """Datapoints fitted at once."""
    infer_engine: Engine = "auto"
    """How the steps are taken: eager, plain Pyro; traced, one compiled; auto, what ends sooner."""
    infer_seed: Seed = 0
    """Seed of the draws."""


@dataclass(frozen=True, eq=False)
class Inferred(Shown):
    """The outcome of local inference.

    Args:
        params: ``(N, num_params)``, in the data's order; of each datapoint the end with the highest ELBO.
        steps: how many steps each datapoint took to it, ``(N,)``.
        converged: whether it stopped by itself, at a finite ELBO, no lower than where it began, and not with more to
            gain further on; and, with several starts, whether a second one ends as high, ``(N,)``.
        spread: by how many nats the lowest end of its starts is below the highest, ``(N,)``; 0 where that is within
            0.1 nats or chance, or there was one start.
        alone: whether it is an optimum that one start alone has found, so that there may be a better one, ``(N,)``.
    """

    params: Tensor
    steps: Tensor
    converged: Tensor
    spread: Tensor
    alone: Tensor

    def rows(self) -> list[Row]:
        """A row for each datapoint; its parameters apart."""
        columns = {name: getattr(self, name).tolist() for name in ("steps", "converged", "spread", "alone")}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def __str__(self) -> str:
        num, converged, apart = len(self.converged), int(self.converged.sum()), int((self.spread > 0).sum())
        alike = "all starts of each end alike" if not apart else f"on {apart} the starts end at different ELBOs"
        return f"{converged} of {num} local fits have converged, after {int(self.steps.max())} steps at most; {alike}"


def infer(
    model: nn.Module,
    family: nn.Module,
    data: Dataset,
    latents: Latents | None = None,
    init: Tensor | Callable[[Batch], Tensor] | None = None,
    settings: InferConfig | None = None,
    advance: Callable[[int], object] | None = None,
    guide: nn.Module | None = None,
    **named: object,
) -> Inferred:
    """Maximise the ELBO of each datapoint over its own variational parameters, the model and the family frozen.

    Args:
        model: p(x, z), trained.
        family: what q is, ``params -> distribution``; what it shares between datapoints stays as it is.
        data: the datapoints, on the device of the model; not dynamic, since a local q is of one x and no other.
        latents: of the model; read from it if None.
        init: the first start: rows ``(N, num_params)``, or a function of a batch, for instance a trained guide's
            ``params``.
        settings: how; the defaults of :class:`InferConfig` if None. Of its starts, those that ``init`` or ``guide``
            gives come first, then the neutral value 0, then draws of the prior.
        advance: called with the number of datapoints done, for a progress bar; with 0 in between.
        guide: any q(z | x) with an answer to this data, of another family; without ``init``, the first start is at its
            mean.
        named: fields of :class:`InferConfig` by name, in place of the settings': ``infer_steps=500``.

    Returns:
        parameters, steps and convergence of each datapoint, and how far its starts agree.

    Raises:
        UserError: no setting has that name, or the family is not one over the model's latents.
        ValueError: the data is dynamic, or the rows are of another shape.
    """
    settings = checked(changed(settings or InferConfig(), named))
    check_rows_are_there(data)
    if data.dynamic:
        raise ValueError("local inference needs data that stays the same: take data.fixed(seed) first")
    latents = latents or Latents.of(model, data.probe())
    check_family(family, latents)
    known = [program for program in (model, family, guide) if program is not None]
    elbo_gradient = ElboGradient(model, family, latents, settings.infer_particles)
    parts: list[Inferred] = []
    with frozen(*known, *modules_behind([init])), seeded(settings.infer_seed, data.device):
        check_runs(data, model)
        take_steps, weights = _steps(elbo_gradient, data, settings), _weights(elbo_gradient, data, settings)
        for batch in data.batches(settings.infer_chunk):
            first = init(batch) if callable(init) else None if init is None else init[batch.index - data.first]
            starts = starting_rows(model, family, latents, batch, settings.infer_starts, first, guide)
            parts.append(_best_of(elbo_gradient, take_steps, weights, batch, starts, settings, advance))
            if advance:
                advance(len(batch.x))
    return Inferred(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Inferred)))


def _steps(elbo_gradient: ElboGradient, data: Dataset, settings: InferConfig) -> Steps:
    """How steps are taken, for all chunks of the data."""
    batch = next(data.batches(settings.infer_chunk))
    rows = settings.infer_starts * len(batch.x)
    # A climb that takes a window or two at each step size; most do.
    steps = min(settings.infer_steps, 2 * (settings.infer_halvings + 1) * settings.infer_window)
    calls = steps * -(-len(data) // len(batch.x))
    elements = rows * settings.infer_particles * batch.x[0].numel()
    if not worth_compiling(settings.infer_engine, calls, elements, data.device):
        return Steps(elbo_gradient)
    try:
        return Steps(elbo_gradient, CompiledSteps(elbo_gradient, batch, rows))
    except NotTraceableError as error:
        refuse_untraced(settings.infer_engine, error)
        return Steps(elbo_gradient)


def _weights(elbo_gradient: ElboGradient, data: Dataset, settings: InferConfig) -> Weights:
    """By what the ends of all chunks are judged."""
    weights, batch = (
        Weights(elbo_gradient.model, elbo_gradient.family, elbo_gradient.latents),
        next(data.batches(settings.infer_chunk)),
    )
    calls = settings.infer_starts * -(-ENOUGH // DRAWS) * -(-len(data) // len(batch.x))
    elements = DRAWS * batch.x.numel()
    if settings.infer_starts == 1 or not worth_compiling(settings.infer_engine, calls, elements, data.device):
        return weights
    try:
        return CompiledWeights(weights, batch, len(batch.x))
    except NotTraceableError as error:
        refuse_untraced(settings.infer_engine, error)
        return weights


def _best_of(
    elbo_gradient: ElboGradient,
    take_steps: Steps,
    weights: Weights,
    batch: Batch,
    starts: Tensor,
    settings: InferConfig,
    advance: Callable[[int], object] | None = None,
) -> Inferred:
    """Climb from all starts ``(starts, batch, num_params)`` at once and keep the best end of each datapoint."""
    num, count = starts.shape[:2]
    tiled = batch.of(torch.cat([tensor] * num) for tensor in batch.tensors)
    climb = _Climb(elbo_gradient, take_steps, tiled, starts.flatten(0, 1), settings)
    stopped = climb.run(advance)
    if num == 1:
        alone = torch.zeros_like(stopped)
        return Inferred(
            climb.at.params, climb.steps, climb.converged(stopped), torch.zeros_like(starts[0, :, 0]), alone
        )
    params = climb.at.params.unflatten(0, (num, count))
    best, behind, lower = judged(weights, batch, params, settings.infer_seed)
    kept = best * count + torch.arange(count, device=best.device)
    # Only those that are kept are looked at again.
    looked_at = torch.zeros_like(stopped).index_fill(0, kept, True)
    optimal = climb.converged(stopped & looked_at)[kept]
    alone = optimal & (lower.sum(0) == num - 1)
    spread = torch.where(lower & behind.isfinite(), behind, 0.0).amax(0)
    return Inferred(climb.at.params[kept], climb.steps[kept], optimal & ~alone, spread, alone)


class _Climb:
    """Adam on all datapoints of a chunk at once; those that have converged drop out of the computation."""

    def __init__(
        self, elbo_gradient: ElboGradient, take_steps: Steps, batch: Batch, start: Tensor, settings: InferConfig
    ) -> None:
        self.elbo_gradient, self.take_steps, self.batch, self.settings = elbo_gradient, take_steps, batch, settings
        self.start = start
        count = len(start)
        self.rate = torch.full((count, 1), settings.infer_rate, dtype=start.dtype, device=start.device)
        self.at = AdamState.at(start)
        self.best = torch.full((count,), -torch.inf, dtype=start.dtype, device=start.device)
        self.steps = torch.zeros(count, dtype=torch.long, device=start.device)

    def run(self, advance: Callable[[int], object] | None = None) -> Tensor:
        """Climb until all have stopped, or have no steps left; which have stopped by themselves, at a number."""
        settings = self.settings
        smallest = settings.infer_rate * 0.5**settings.infer_halvings
        active = torch.arange(len(self.start), device=self.start.device)
        done = 0
        while done < settings.infer_steps:
            length = min(settings.infer_window, settings.infer_steps - done)
            self.window(active, length)
            done += length
            if advance:
                advance(0)  # a sign of life
            active = active[self.rate[active].squeeze(1) >= smallest]
            if len(active) == 0:  # one wait for the device a window, so that the converged ones cost nothing more
                break
        return (self.rate.squeeze(1) < smallest) & self.best.isfinite()

    def window(self, active: Tensor, length: int) -> None:
        """Take a window of steps with these rows; where it is no improvement, halve their step size."""
        before = AdamState(*(each[active] for each in self.at))
        after, mean = self.take_steps(before, self.rate[active], self.rows(active), length)
        finite = mean.isfinite() & after.params.isfinite().all(1)
        better = (mean > self.best[active]) & finite
        self.best[active] = torch.where(better, mean, self.best[active])
        self.rate[active] *= torch.where(better, 1.0, 0.5).unsqueeze(1).to(self.rate)
        stays = active[finite]  # a window that left the numbers is undone
        for each, new in zip(self.at, after, strict=True):
            each[stays] = new[finite]
        self.steps[active] += length

    def converged(self, stopped: Tensor) -> Tensor:
        """Which of those that have stopped are at an optimum, ``(batch,)``."""
        rows = stopped.nonzero().squeeze(1)
        if len(rows) == 0:
            return stopped
        batch, params, start = self.rows(rows), self.at.params[rows], self.start[rows]
        way = params - start
        onwards = way / way.abs().amax(1, keepdim=True).clamp(min=torch.finfo(way.dtype).tiny)
        # A number that has not moved may have been held by its own size, which a tiny step does not change.
        onwards = torch.where(way == 0, self.at.moment1[rows].sign(), onwards)
        here = self.drawn(params, batch)
        lower = _more(self.drawn(start, batch) - here)
        gains = torch.zeros_like(lower)
        for length in _AHEAD:
            gains |= _more(self.drawn(params + length * onwards, batch) - here, LEAST)
        optimal = torch.zeros_like(stopped)
        optimal[rows] = here.isfinite().all(0) & ~lower & ~gains
        return optimal

    def drawn(self, params: Tensor, batch: Batch) -> Tensor:
        """Draws of the ELBO, ``(looks, rows)``, with the same noise at every call."""
        with torch.no_grad(), seeded(stream(self.settings.infer_seed, "second look"), params.device):
            return torch.stack([self.elbo_gradient.elbo(params, batch) for _ in range(_LOOKS)])

    def rows(self, places: Tensor) -> Batch:
        """This part of the batch."""
        return self.batch.rows(places)


def _more(differences: Tensor, least: float = 0.0) -> Tensor:
    """Whether their mean, over the first dimension, is above ``least`` and beyond chance; what is no number is not."""
    mean, stderr = differences.mean(0), differences.std(0) / len(differences) ** 0.5
    return torch.logical_and(mean > least, mean > SIGNIFICANT * stderr)
