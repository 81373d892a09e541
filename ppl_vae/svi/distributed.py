"""One step of SVI by several processes: data parallelism.

Each process computes its part of the minibatch; the gradients are summed in one flat all-reduce, weighted so that the
sum is the gradient of the whole minibatch's mean; then each takes the same step. A row of a per-datapoint table is
moved by the process that had its datapoint, and sent to the others when an epoch ends or a checkpoint is written. (No
``DistributedDataParallel``: it wraps one module with one ``forward``, and a pair is two that are run by Pyro's
handlers.)
"""

import torch
import torch.distributed as dist
from torch import Tensor

from ppl_vae.networks.precision import computing_in
from ppl_vae.programs.program import local_params
from ppl_vae.programs.rows import Leaf, collect_leaves
from ppl_vae.runtime.processes import Group, contact
from ppl_vae.svi.eager import EagerStep


class DistributedStep:
    """An eager step, taken by several processes together.

    Args:
        eager: the step; its pair is the same in all processes, and its data is all of it.
        group: the processes.
    """

    def __init__(self, eager: EagerStep, group: Group) -> None:
        self.model, self.guide, self.objective = eager.model, eager.guide, eager.objective
        self.optimizer, self.data, self.precision = eager.optimizer, eager.data, eager.precision
        self.group = group
        # Which rows of each table this process has moved since the tables were whole, (N, 1).
        self.moved = [torch.zeros_like(table.weight[:, :1]) for table in eager.optimizer.tables]
        self.whole = True

    def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
        """Take one step.

        Args:
            index: rows of the data, ``(batch,)``, of the whole minibatch, the same in all processes.
            kl_weight: β, the factor of the KL in the loss.

        Returns:
            bound, reconstruction and KL summed over this process's part of the batch, ``(3,)``.
        """
        part = index.tensor_split(self.group.size)[self.group.rank]
        sums = torch.zeros(3, dtype=self.data.x.dtype, device=self.data.x.device)
        leaves: list[list[Leaf]] = [[] for _ in self.optimizer.tables]
        self.optimizer.zero_grad()
        if len(part):  # the last of an epoch's minibatches may have fewer rows than there are processes
            batch = self.data.batch(part)
            with computing_in(self.precision), local_params():
                with collect_leaves(self.optimizer.tables) as leaves:
                    terms = self.objective.terms(self.model, self.guide, batch, kl_weight)
                (terms.loss * (len(part) / len(index))).backward()
            sums = torch.stack([terms.bound.sum(), terms.reconstruction.sum(), terms.kl.sum()])
        self.sum_gradients()
        self.optimizer.step(leaves)
        for moved, read in zip(self.moved, leaves, strict=True):
            for leaf in read:
                moved[leaf.rows] = 1.0
        self.whole = False
        return sums

    def sum_gradients(self) -> None:
        """Put the sum over the processes in place of each gradient: one message for each type of number.

        What has no gradient here may have one elsewhere. It counts as 0, and all processes have the same in the end.
        """
        params = self.optimizer.shared
        for dtype in dict.fromkeys(param.dtype for param in params):
            alike = [param for param in params if param.dtype == dtype]
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in alike])
            with contact():
                dist.all_reduce(flat)
            for param, gradient in zip(alike, flat.split([p.numel() for p in alike]), strict=True):
                param.grad = gradient.view_as(param)

    @torch.no_grad()
    def make_whole(self) -> None:
        """Give every process the rows, with their moments, that others have moved. All have to call it."""
        if self.whole:
            return
        self.whole = True
        tables = zip(self.optimizer.tables, self.optimizer.row_adam.moments, self.moved, strict=True)
        for table, moments, moved in tables:
            movers = self.group.total(moved)
            for part in (table.weight, *moments):
                # A guide of somebody else's may read one row for several datapoints: then it is their mean.
                given = self.group.total(part * moved) / movers.clamp(min=1)
                part.copy_(torch.where(movers > 0, given, part))
            moved.zero_()
