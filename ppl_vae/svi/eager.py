"""One step of SVI in plain Pyro: the reference that every faster path must equal."""

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.networks.precision import Precision, computing_in
from ppl_vae.objectives.elbo import Objective
from ppl_vae.programs.pair import modules_behind
from ppl_vae.programs.program import local_params, make_local
from ppl_vae.programs.rows import collect_leaves
from ppl_vae.runtime.processes import Group
from ppl_vae.svi.optimizer import PairOptimizer


class EagerStep:
    """Draw a minibatch, evaluate the objective, differentiate it, move the parameters.

    Args:
        model: p(x, z).
        guide: q(z | x).
        objective: what to maximise.
        optimizer: over the parameters of both.
        data: on the same device as the parameters.
        precision: of the networks.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: Objective,
        optimizer: PairOptimizer,
        data: Dataset,
        precision: Precision = "float32",
    ) -> None:
        self.model, self.guide, self.objective = model, guide, objective
        self.optimizer, self.data, self.precision = optimizer, data, precision
        self.group = Group()  # one process
        make_local(modules_behind((model, guide)))

    def __call__(self, index: Tensor, kl_weight: float = 1.0) -> Tensor:
        """Take one step.

        Args:
            index: rows of the data, ``(batch,)``, each at most once, on the data's device.
            kl_weight: β, the factor of the KL in the loss.

        Returns:
            bound, reconstruction and KL summed over the batch, ``(3,)``, on the device, detached.
        """
        batch = self.data.batch(index)
        self.optimizer.zero_grad()
        with computing_in(self.precision), local_params():
            with collect_leaves(self.optimizer.tables) as leaves:
                terms = self.objective.terms(self.model, self.guide, batch, kl_weight)
            terms.loss.backward()
        self.optimizer.step(leaves)
        return torch.stack([terms.bound.sum(), terms.reconstruction.sum(), terms.kl.sum()])
