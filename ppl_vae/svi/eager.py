"""One step of SVI in plain Pyro: the reference that every faster path must equal."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.networks.precision import Precision, computing_in
from ppl_vae.objectives.elbo import Objective
from ppl_vae.programs.pair import modules_behind
from ppl_vae.programs.program import local_params, make_local
from ppl_vae.programs.rows import Leaf, collect_leaves
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
        at_once: how many datapoints are differentiated at once, of all processes together; the gradients of a longer
            minibatch are added up, part by part. None: all of it.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        objective: Objective,
        optimizer: PairOptimizer,
        data: Dataset,
        precision: Precision = "float32",
        at_once: int | None = None,
    ) -> None:
        self.model, self.guide, self.objective = model, guide, objective
        self.optimizer, self.data, self.precision = optimizer, data, precision
        self.at_once = at_once
        self.group = Group()  # one process
        self.moved: list[Tensor] = []  # nobody else moves rows of its tables
        self.whole = True
        make_local(modules_behind((model, guide)))

    def __call__(self, index: Tensor, kl_weight: float = 1.0) -> Tensor:
        """Take one step.

        Args:
            index: rows of the data, ``(batch,)``, each at most once, on the data's device.
            kl_weight: β, the factor of the KL in the loss.

        Returns:
            bound, reconstruction and KL summed over the batch, ``(3,)``, on the device, detached.
        """
        self.optimizer.zero_grad()
        sums, leaves = self.add_gradients(self.parts_of(index), len(index), kl_weight)
        self.optimizer.step(leaves)
        return sums

    def parts_of(self, index: Tensor) -> Sequence[Tensor]:
        """The rows of a minibatch that are differentiated one after the other, ``(part,)`` each."""
        parts: Sequence[Tensor] = index.split(self.at_once or len(index))
        return parts

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over the processes in place of each tensor; of one process that is there already."""

    def add_gradients(
        self, parts: Iterable[Tensor], num_rows: int, kl_weight: float
    ) -> tuple[Tensor, list[list[Leaf]]]:
        """Add the gradient of the mean over a minibatch to what the parameters hold, part by part.

        Each part's mean counts by its share of the datapoints, so that a short last one weighs no more than it should.

        Args:
            parts: rows of the data, ``(part,)`` each, none of them empty.
            num_rows: of the whole minibatch; other processes may have the rest.
            kl_weight: β, the factor of the KL in the loss.

        Returns:
            bound, reconstruction and KL summed over the parts, ``(3,)``, detached; what each table has handed out.
        """
        tables = self.optimizer.tables
        sums: list[Tensor] = []
        leaves: list[list[Leaf]] = [[] for _ in tables]
        for part in parts:
            batch = self.data.batch(part)
            with computing_in(self.precision), local_params():
                with collect_leaves(tables) as read:
                    terms = self.objective.terms(self.model, self.guide, batch, kl_weight)
                (terms.loss if len(part) == num_rows else terms.loss * (len(part) / num_rows)).backward()
            sums.append(torch.stack([terms.bound.sum(), terms.reconstruction.sum(), terms.kl.sum()]))
            for all_, of_part in zip(leaves, read, strict=True):
                all_ += of_part
        nothing = torch.zeros(3, dtype=self.data.dtype, device=self.data.device)
        return (torch.stack(sums).sum(0) if len(sums) > 1 else sums[0] if sums else nothing), leaves
