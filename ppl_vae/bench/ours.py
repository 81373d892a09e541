"""Our own steps, eager and traced, on the same sizes."""

import pyro
import torch
from torch import nn

from ppl_vae.bench.minibatches import Minibatches
from ppl_vae.bench.sizes import Size
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, PerDatapoint
from ppl_vae.models import VAE
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.networks.precision import Precision
from ppl_vae.objectives.elbo import Objective, TraceELBO
from ppl_vae.objectives.importance_weighted import ImportanceWeighted
from ppl_vae.programs.latents import Latents
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep


def build_pair(size: Size, *, per_datapoint: bool = False) -> tuple[VAE, nn.Module]:
    """A model and a guide of that size; the guide is amortized, or has a row for each datapoint."""
    model = VAE(Decoder(size.latent_dim, (size.pixels,), size.hidden[::-1], size.activation), size.latent_dim)
    latents = Latents.of(model, Dataset(torch.zeros(2, size.pixels)).probe())
    family = Diagonal(size.latent_dim)
    if per_datapoint:
        return model, PerDatapoint(latents, family, size.num_rows)
    encoder = Encoder((size.pixels,), family.num_params, size.hidden, size.activation)
    return model, Amortized(latents, family, encoder)


class OurSteps:
    """Steps of this package on a pair; see :class:`ppl_vae.bench.contenders.Contender`.

    Args:
        model: on the device.
        guide: likewise.
        batches: of the data.
        traced: compiled once, or plain Pyro.
        dynamic: whether the data is grey levels, to be binarized.
        objective: the ELBO if None.
        precision: of the networks.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        batches: Minibatches,
        *,
        traced: bool,
        dynamic: bool = True,
        objective: Objective | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.batches = batches
        optimizer = PairOptimizer(model, guide, OptimizerConfig())
        data = Dataset(batches.x, dynamic=dynamic)
        eager = EagerStep(model, guide, objective or TraceELBO(), optimizer, data, precision)
        self.step: EagerStep | TracedStep = TracedStep(eager, batches.batch_size) if traced else eager

    def run(self, steps: int) -> float:
        """Take steps; the mean loss of them in nats per datapoint."""
        total = torch.zeros(3, device=self.batches.x.device)
        with pyro.validation_enabled(False):  # as fit() does from its second step on
            for index in self.batches.indices(steps):
                total += self.step(index)
        return -float(total[0]) / steps / self.batches.batch_size


class Ours(OurSteps):
    """Steps of this package at a size.

    Args:
        size: of everything.
        device: where.
        traced: compiled once, or plain Pyro.
        per_datapoint: a row for each datapoint in place of the encoder.
        precision: of the networks.
    """

    def __init__(
        self,
        size: Size,
        device: str,
        *,
        traced: bool,
        per_datapoint: bool = False,
        precision: Precision = "float32",
    ) -> None:
        torch.manual_seed(0)
        batches = Minibatches.of(size, device)
        model, guide = (program.to(device) for program in build_pair(size, per_datapoint=per_datapoint))
        objective = None if size.num_particles == 1 else ImportanceWeighted(size.num_particles)
        super().__init__(model, guide, batches, traced=traced, objective=objective, precision=precision)
