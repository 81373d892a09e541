"""Local inference: the variational parameters of given datapoints, fitted with the model frozen.

Each datapoint has its own Adam (its own moments and step size) and stops on its own: the ELBO is averaged over windows
of steps; after a window that is no improvement on the best so far its step size is halved, and one more such window
after ``halvings`` of them it stops. (Cremer et al. 2018 stop after ten windows without improvement, at a fixed step
size.)

Stopping is no proof of an optimum: steps too long throw a datapoint about, or are undone, and those too short change
the ELBO by less than its noise. So one that has stopped is looked at again: it has converged if it ends no lower than
it began and longer steps the same way gain nothing, as far as a few draws can tell.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.check import check_runs
from ppl_vae.config import Count, Seed, checked, config
from ppl_vae.data.dataset import Dataset
from ppl_vae.latents import FamilyProgram, Latents
from ppl_vae.objectives import TraceELBO
from ppl_vae.pair import frozen, modules_behind
from ppl_vae.seeding import seeded, stream

# Adam's usual β₂ = 0.999 remembers a thousand steps, longer than most climbs: one huge early gradient, as constrained
# latents give them, then shortens every step to the end, and the datapoint "converges" nats below its optimum.
_BETA1, _BETA2 = 0.9, 0.95
# The second look: how often the ELBO is drawn, how far ahead, what gain there, in nats, is worth the name, and how many
# standard errors make a difference (3: of a thousand good fits, hardly one is to be doubted).
_LOOKS, _AHEAD, _GAIN, _SIGNIFICANT = 16, (0.05, 0.25, 1.0), 0.1, 3.0


@config
class InferConfig:
    """How to fit the variational parameters of given datapoints."""

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
    infer_seed: Seed = 0
    """Seed of the draws."""


class Inferred(NamedTuple):
    """The outcome of local inference.

    Args:
        params: ``(N, num_params)``, in the data's order.
        steps: how many steps each datapoint took, ``(N,)``.
        converged: whether it stopped by itself, at a finite ELBO, no lower than where it began, and not with more to
            gain further on, ``(N,)``.
    """

    params: Tensor
    steps: Tensor
    converged: Tensor


def infer(
    model: nn.Module,
    family: nn.Module,
    data: Dataset,
    latents: Latents | None = None,
    init: Tensor | Callable[[Batch], Tensor] | None = None,
    settings: InferConfig | None = None,
    advance: Callable[[int], object] | None = None,
) -> Inferred:
    """Maximise the ELBO of each datapoint over its own variational parameters, the model and the family frozen.

    Args:
        model: p(x, z), trained.
        family: what q is, ``params -> distribution``; what it shares between datapoints stays as it is.
        data: the datapoints, on the device of the model; not dynamic, since a local q is of one x and no other.
        latents: of the model; read from it if None.
        init: where to start: None for the neutral value 0, rows ``(N, num_params)``, or a function of a batch, for
            instance a trained guide's ``params``.
        settings: how; the defaults of :class:`InferConfig` if None.
        advance: called with the number of datapoints done, for a progress bar.

    Returns:
        parameters, steps and convergence of each datapoint.

    Raises:
        ValueError: the data is dynamic, or the rows are of another shape.
    """
    settings = checked(settings or InferConfig())
    if data.dynamic:
        raise ValueError("local inference needs data that stays the same: take data.fixed(seed) first")
    latents = latents or Latents.of(model, data.probe())
    parts: list[Inferred] = []
    with frozen(model, family, *modules_behind([init])), seeded(settings.infer_seed, data.x.device):
        check_runs(data, model)
        for batch in data.batches(settings.infer_chunk):
            start = _start(family, batch, data, init)
            parts.append(_Climb(model, family, latents, batch, start, settings).run())
            if advance:
                advance(len(batch.x))
    return Inferred(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _start(family: nn.Module, batch: Batch, data: Dataset, init: Tensor | Callable[[Batch], Tensor] | None) -> Tensor:
    shape = (len(batch.x), int(family.num_params))  # type: ignore[arg-type]  # a family states its size
    if init is None:
        return torch.zeros(shape, dtype=batch.x.dtype, device=batch.x.device)
    rows = init(batch) if callable(init) else init[batch.index - data.first]
    if tuple(rows.shape) != shape:
        raise ValueError(f"initial rows of shape {tuple(rows.shape)} where the family needs {shape}")
    return rows.detach().clone()


class _Climb:
    """Adam on all datapoints of a chunk at once; those that have converged drop out of the computation."""

    def __init__(
        self, model: nn.Module, family: nn.Module, latents: Latents, batch: Batch, start: Tensor, settings: InferConfig
    ) -> None:
        self.model, self.family, self.latents, self.batch, self.settings = model, family, latents, batch, settings
        self.start, self.params = start, start.clone()
        self.moments = torch.zeros(2, *start.shape, dtype=start.dtype, device=start.device)
        count = len(start)
        self.rate = torch.full((count, 1), settings.infer_rate, dtype=start.dtype, device=start.device)
        self.count = torch.zeros((count, 1), dtype=start.dtype, device=start.device)  # steps behind the moments
        self.best = torch.full((count,), -torch.inf, dtype=start.dtype, device=start.device)
        self.steps = torch.zeros(count, dtype=torch.long, device=start.device)

    def run(self) -> Inferred:
        settings = self.settings
        smallest = settings.infer_rate * 0.5**settings.infer_halvings
        active = torch.arange(len(self.params), device=self.params.device)
        done = 0
        while done < settings.infer_steps:
            length = min(settings.infer_window, settings.infer_steps - done)
            self.window(active, length)
            done += length
            active = active[self.rate[active].squeeze(1) >= smallest]
            if len(active) == 0:  # one wait for the device a window, so that the converged ones cost nothing more
                break
        stopped = (self.rate.squeeze(1) < smallest) & self.best.isfinite()
        return Inferred(self.params, self.steps, self.converged(stopped))

    def window(self, active: Tensor, length: int) -> None:
        """Take a window of steps with these rows; where it is no improvement, halve their step size."""
        batch = self.rows(active)
        params, rate, count = self.params[active], self.rate[active], self.count[active]
        moment1, moment2 = self.moments[:, active]
        elbos = []
        for _ in range(length):
            gradient, elbo = self.gradient(params, batch)
            elbos.append(elbo)
            moment1 = moment1.lerp(gradient, 1 - _BETA1)
            moment2 = moment2.lerp(gradient**2, 1 - _BETA2)
            count = count + 1
            params = params + rate * (moment1 / (1 - _BETA1**count)) / ((moment2 / (1 - _BETA2**count)).sqrt() + 1e-8)
        mean = torch.stack(elbos).mean(0)
        finite = mean.isfinite() & params.isfinite().all(1)
        better = (mean > self.best[active]) & finite
        self.best[active] = torch.where(better, mean, self.best[active])
        self.rate[active] *= torch.where(better, 1.0, 0.5).unsqueeze(1).to(rate)
        stays = active[finite]  # a window that left the numbers is undone
        self.params[stays], self.count[stays] = params[finite], count[finite]
        self.moments[:, stays] = torch.stack([moment1, moment2])[:, finite]
        self.steps[active] += length

    def converged(self, stopped: Tensor) -> Tensor:
        """Which of those that have stopped are at an optimum, ``(batch,)``."""
        rows = stopped.nonzero().squeeze(1)
        if len(rows) == 0:
            return stopped
        batch, params, start = self.rows(rows), self.params[rows], self.start[rows]
        way = params - start
        onwards = way / way.abs().amax(1, keepdim=True).clamp(min=torch.finfo(way.dtype).tiny)
        # A number that has not moved may have been held by its own size, which a tiny step does not change.
        onwards = torch.where(way == 0, self.moments[0, rows].sign(), onwards)
        here = self.drawn(params, batch)
        lower = _more(self.drawn(start, batch) - here)
        gains = torch.zeros_like(lower)
        for length in _AHEAD:
            gains |= _more(self.drawn(params + length * onwards, batch) - here, _GAIN)
        optimal = torch.zeros_like(stopped)
        optimal[rows] = here.isfinite().all(0) & ~lower & ~gains
        return optimal

    def drawn(self, params: Tensor, batch: Batch) -> Tensor:
        """Draws of the ELBO, ``(looks, rows)``, with the same noise at every call."""
        objective = TraceELBO(self.settings.infer_particles, analytic_kl=True)
        program = FamilyProgram(self.latents, self.family, params)
        with torch.no_grad(), seeded(stream(self.settings.infer_seed, "second look"), params.device):
            return torch.stack([objective.terms(self.model, program, batch).elbo for _ in range(_LOOKS)])

    def rows(self, places: Tensor) -> Batch:
        """This part of the batch."""
        return Batch(*(None if part is None else part[places] for part in self.batch))  # type: ignore[arg-type]

    def gradient(self, params: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """∂ELBO/∂params, ``(active, num_params)``, and the ELBO, ``(active,)``."""
        with torch.enable_grad():
            leaf = params.detach().requires_grad_()
            objective = TraceELBO(self.settings.infer_particles, analytic_kl=True)
            terms = objective.terms(self.model, FamilyProgram(self.latents, self.family, leaf, sticking=True), batch)
            (gradient,) = torch.autograd.grad(-terms.loss * len(batch.x), leaf)
        return gradient, terms.elbo


def _more(differences: Tensor, least: float = 0.0) -> Tensor:
    """Whether their mean, over the first dimension, is above ``least`` and beyond chance; what is no number is not."""
    mean, stderr = differences.mean(0), differences.std(0) / len(differences) ** 0.5
    return torch.logical_and(mean > least, mean > _SIGNIFICANT * stderr)
