"""Log weights of draws of q, at given parameters of a family: what ends are judged by. In plain Pyro, or compiled."""

import torch
from torch import Tensor, nn

from ppl_vae.inference.blocks import block_size, blocks, example, fills
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.given import FamilyProgram
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import chunks, log_weights
from ppl_vae.tracing.capture import Function, compiled, trace

# Draws for each row in a compiled call.
DRAWS = 4


class Weights:
    """log p(x, z) − log q(z) with z ~ q.

    Args:
        model: p(x, z), frozen.
        family: what q is, ``params -> distribution``, frozen.
        latents: of the model.
    """

    def __init__(self, model: nn.Module, family: nn.Module, latents: Latents) -> None:
        self.model, self.family, self.latents = model, family, latents

    def drawn(self, params: Tensor, batch: Batch, num_draws: int) -> Tensor:
        """By one call of the pair."""
        return log_weights(self.model, FamilyProgram(self.latents, self.family, params), batch, num_draws)

    def __call__(self, params: Tensor, batch: Batch, num_draws: int) -> Tensor:
        """Log weights ``(num_draws, rows)``, in nats.

        Args:
            params: ``(rows, num_params)``.
            batch: the rows' datapoints.
            num_draws: of z for each.
        """
        return torch.cat([self.drawn(params, batch, draws) for draws in chunks(num_draws, batch)])


class CompiledWeights(Weights):
    """The same, compiled for rows of one number.

    Args:
        weights: what to compile.
        batch: datapoints.
        num_rows: how many rows there will be.

    Raises:
        NotTraceableError: it cannot be traced; the message says why.
    """

    def __init__(self, weights: Weights, batch: Batch, num_rows: int) -> None:
        super().__init__(weights.model, weights.family, weights.latents)

        def function(params: Tensor, *tensors: Tensor) -> tuple[Tensor]:
            return (self.drawn(params, batch.of(tensors), DRAWS),)

        self.size = block_size(batch, num_rows, 1)
        examples = [batch.x.new_zeros(self.size, int(self.family.num_params)), *example(batch, self.size)]  # type: ignore[arg-type]
        self.function: Function = compiled(trace(function, examples), examples)

    def __call__(self, params: Tensor, batch: Batch, num_draws: int) -> Tensor:
        """See :class:`Weights`."""
        if not fills(len(params), self.size):
            return super().__call__(params, batch, num_draws)
        found = []
        for places, left in blocks(len(params), self.size, params.device):
            given = [each[places] for each in (params, *batch.tensors)]
            calls = [self.function(*given)[0][:, :left] for _ in range(-(-num_draws // DRAWS))]
            found.append(torch.cat(calls)[:num_draws])
        return torch.cat(found, dim=1)
