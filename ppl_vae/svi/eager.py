"""One step of SVI in plain Pyro: the reference that every faster path must equal."""

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.objectives import Objective


class EagerStep:
    """Draw a minibatch, evaluate the objective, differentiate it, move the parameters.

    Args:
        model: p(x, z).
        guide: q(z | x).
        objective: what to maximise.
        optimizer: over the parameters of both.
        data: on the same device as the parameters.
        clip_norm: largest norm of the gradient, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        data: Dataset,
        clip_norm: float | None = None,
    ) -> None:
        self.model, self.guide, self.objective = model, guide, objective
        self.optimizer, self.data, self.clip_norm = optimizer, data, clip_norm

    def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
        """Take one step.

        Args:
            index: rows of the data, ``(batch,)``, on the data's device.
            kl_weight: β, the factor of the KL in the loss.

        Returns:
            reconstruction and KL summed over the batch, ``(2,)``, on the device, detached.
        """
        batch = self.data.batch(index)
        terms = self.objective.terms(self.model, self.guide, batch, kl_weight)
        self.optimizer.zero_grad()
        terms.loss.backward()
        if self.clip_norm is not None:
            params = [param for group in self.optimizer.param_groups for param in group["params"]]
            nn.utils.clip_grad_norm_(params, self.clip_norm)
        self.optimizer.step()
        return torch.stack([terms.reconstruction.sum(), terms.kl.sum()])
