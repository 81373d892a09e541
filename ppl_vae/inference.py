"""Local inference: the variational parameters of given datapoints, fitted with the model frozen.

Each datapoint has its own Adam (its own moments and step size) and stops on its own: the ELBO is averaged over windows
of steps; after a window that is no improvement on the best so far its step size is halved, and one more such window
after ``halvings`` of them the datapoint has converged. (Cremer et al. 2018 stop after ten windows without improvement,
at a fixed step size.)
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.config import Seed, checked, config
from ppl_vae.data.dataset import Dataset
from ppl_vae.latents import FamilyProgram, Latents
from ppl_vae.objectives import TraceELBO
from ppl_vae.pair import frozen
from ppl_vae.seeding import seeded

# Adam's usual β₂ = 0.999 remembers a thousand steps, longer than most climbs: one huge early gradient, as constrained
# latents give them, then shortens every step to the end, and the datapoint "converges" nats below its optimum.
_BETA1, _BETA2 = 0.9, 0.95


@config
class InferConfig:
    """How to fit the variational parameters of given datapoints."""

    infer_rate: PositiveFloat = 0.05
    """First step size of each datapoint's Adam."""
    infer_window: PositiveInt = 40
    """Steps over which the ELBO is averaged before it is judged."""
    infer_halvings: Annotated[int, Field(ge=0)] = 6
    """How often the step size is halved before a datapoint has converged."""
    infer_steps: PositiveInt = 2000
    """Steps after which to stop a datapoint that has not."""
    infer_particles: PositiveInt = 1
    """Draws of z for each datapoint in a step."""
    infer_chunk: PositiveInt = 1024
    """Datapoints fitted at once."""
    infer_seed: Seed = 0
    """Seed of the draws."""


class Inferred(NamedTuple):
    """The outcome of local inference.

    Args:
        params: ``(N, num_params)``, in the data's order.
        steps: how many steps each datapoint took, ``(N,)``.
        converged: whether it stopped by itself, ``(N,)``.
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
    with frozen(model, family), seeded(settings.infer_seed, data.x.device):
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
        self.params = start
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
        return Inferred(self.params, self.steps, self.rate.squeeze(1) < smallest)

    def window(self, active: Tensor, length: int) -> None:
        """Take a window of steps with these rows; where it is no improvement, halve their step size."""
        batch = Batch(*(None if part is None else part[active] for part in self.batch))  # type: ignore[arg-type]
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

    def gradient(self, params: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """∂ELBO/∂params, ``(active, num_params)``, and the ELBO, ``(active,)``."""
        with torch.enable_grad():
            leaf = params.detach().requires_grad_()
            objective = TraceELBO(self.settings.infer_particles, analytic_kl=True)
            terms = objective.terms(self.model, FamilyProgram(self.latents, self.family, leaf, sticking=True), batch)
            (gradient,) = torch.autograd.grad(-terms.loss * len(batch.x), leaf)
        return gradient, terms.elbo
