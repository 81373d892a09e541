"""The steps of local inference: Adam on the ELBO of each of some rows, eagerly, or traced once and compiled."""

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from ppl_vae.inference.blocks import block_size, blocks, example, fills
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.given import FamilyProgram
from ppl_vae.programs.latents import Latents
from ppl_vae.tracing.capture import Function, compiled, trace

# Adam's usual β₂ = 0.999 remembers a thousand steps, longer than most climbs: one huge early gradient, as constrained
# latents give them, then shortens every step to the end, and the datapoint "converges" nats below its optimum.
_BETA1, _BETA2 = 0.9, 0.95


class ElboGradient:
    """The ELBO of each row and its gradient.

    Args:
        model: p(x, z), frozen.
        family: what q is, ``params -> distribution``, frozen.
        latents: of the model.
        num_particles: draws of z for each row.
    """

    def __init__(self, model: nn.Module, family: nn.Module, latents: Latents, num_particles: int) -> None:
        self.model, self.family, self.latents = model, family, latents
        self.objective = TraceELBO(num_particles, analytic_kl=True)

    def elbo(self, params: Tensor, batch: Batch) -> Tensor:
        """The ELBO alone, ``(rows,)``."""
        return self.objective.terms(self.model, FamilyProgram(self.latents, self.family, params), batch).elbo

    def __call__(self, params: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """∂ELBO/∂params, ``(rows, num_params)``, and the ELBO, ``(rows,)``.

        Args:
            params: ``(rows, num_params)``.
            batch: the rows' datapoints.
        """
        with torch.enable_grad():
            leaf = params.detach().requires_grad_()
            program = FamilyProgram(self.latents, self.family, leaf, sticking=True)
            terms = self.objective.terms(self.model, program, batch)
            (gradient,) = torch.autograd.grad(-terms.loss * len(batch.x), leaf)
        return gradient, terms.elbo


class AdamState(NamedTuple):
    """Rows on their way.

    Args:
        params: ``(rows, num_params)``.
        moment1: Adam's first moment of the gradient, likewise.
        moment2: Adam's second.
        left: β₁ᵗ and β₂ᵗ after t steps, what their start at 0 still weighs in the moments, ``(rows, 2)``.
    """

    params: Tensor
    moment1: Tensor
    moment2: Tensor
    left: Tensor

    @classmethod
    def at(cls, params: Tensor) -> Self:
        """Before the first step."""
        zeros = torch.zeros_like(params)
        return cls(params.clone(), zeros, zeros.clone(), params.new_ones(len(params), 2))


def one_step(elbo_gradient: ElboGradient, rows: AdamState, rate: Tensor, batch: Batch) -> tuple[AdamState, Tensor]:
    """A step of Adam (Kingma and Ba 2015) on each row, upwards, and the ELBO before it, ``(rows,)``.

    Args:
        elbo_gradient: of the ELBO.
        rows: where they are.
        rate: step size of each, ``(rows, 1)``.
        batch: their datapoints.
    """
    gradient, elbo = elbo_gradient(rows.params, batch)
    moment1 = rows.moment1.lerp(gradient, 1 - _BETA1)
    moment2 = torch.addcmul(rows.moment2 * _BETA2, gradient, gradient, value=1 - _BETA2)
    # Multiplied from step to step: compiled, a power would be worked out for each of the parameters.
    left1, left2 = rows.left[:, :1] * _BETA1, rows.left[:, 1:] * _BETA2
    # What is the same for all parameters of a row is multiplied before it meets them: fewer passes over them.
    root = (1 - left2).sqrt()
    length, least = rate * root / (1 - left1), 1e-8 * root
    params = torch.addcdiv(rows.params, moment1 * length, moment2.sqrt() + least)
    return AdamState(params, moment1, moment2, torch.cat([left1, left2], dim=1)), elbo


def several_steps(
    elbo_gradient: ElboGradient, rows: AdamState, rate: Tensor, batch: Batch, num: int
) -> tuple[AdamState, Tensor]:
    """So many steps, in plain Pyro, and the mean of the ELBOs on the way, ``(rows,)``."""
    elbos = []
    for _ in range(num):
        rows, elbo = one_step(elbo_gradient, rows, rate, batch)
        elbos.append(elbo)
    return rows, torch.stack(elbos).mean(0)


class CompiledSteps:
    """The same, compiled for rows of one number.

    Args:
        elbo_gradient: of the ELBO.
        batch: datapoints.
        num_rows: how many rows there will be.

    Raises:
        NotTraceableError: a step cannot be traced; the message says why.
    """

    def __init__(self, elbo_gradient: ElboGradient, batch: Batch, num_rows: int) -> None:
        def step(*tensors: Tensor) -> tuple[Tensor, ...]:
            rate, total, *data = tensors[4:]
            rows, elbo = one_step(elbo_gradient, AdamState(*tensors[:4]), rate, batch.of(data))
            return (*rows, total + elbo)

        self.size = block_size(batch, num_rows, elbo_gradient.objective.num_particles)
        rows = AdamState.at(batch.x.new_zeros(self.size, int(elbo_gradient.family.num_params)))  # type: ignore[arg-type]
        examples = [*rows, torch.ones_like(rows.left[:, :1]), torch.zeros_like(rows.left[:, 0])]
        examples += example(batch, self.size)
        self.step: Function = compiled(trace(step, examples), examples)

    def __call__(self, rows: AdamState, rate: Tensor, batch: Batch, num: int) -> tuple[AdamState, Tensor]:
        """See :func:`several_steps`."""
        done = []
        for places, left in blocks(len(batch.x), self.size, batch.x.device):
            part = [each[places] for each in rows]
            total = torch.zeros_like(part[0][:, 0])
            given = [rate[places], *(each[places] for each in batch.tensors)]
            for _ in range(num):
                *part, total = self.step(*part, given[0], total, *given[1:])
            done.append([each[:left] for each in (*part, total / num)])
        *after, mean = (torch.cat(column) for column in zip(*done, strict=True))
        return AdamState(*after), mean


class Steps:
    """Takes steps with whatever number of rows, compiled where that ends sooner and can be done.

    Args:
        elbo_gradient: of the ELBO.
        compiled_steps: if there are any.
    """

    def __init__(self, elbo_gradient: ElboGradient, compiled_steps: CompiledSteps | None = None) -> None:
        self.elbo_gradient, self.compiled_steps = elbo_gradient, compiled_steps

    def __call__(self, rows: AdamState, rate: Tensor, batch: Batch, num: int) -> tuple[AdamState, Tensor]:
        """See :func:`several_steps`."""
        steps = self.compiled_steps
        if steps and fills(len(batch.x), steps.size):
            return steps(rows, rate, batch, num)
        return several_steps(self.elbo_gradient, rows, rate, batch, num)
