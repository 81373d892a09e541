"""One step of SVI by several processes: data parallelism.

Each process computes its part of the minibatch; the gradients are summed in one flat all-reduce, weighted so that the
sum is the gradient of the whole minibatch's mean; then each takes the same step. A row of a per-datapoint table is
moved by the process that had its datapoint, and sent to the others when an epoch ends or a checkpoint is written. (No
``DistributedDataParallel``: it wraps one module with one ``forward``, and a pair is two that are run by Pyro's
handlers.)
"""

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ppl_vae.runtime.processes import Group, contact
from ppl_vae.svi.eager import EagerStep
from ppl_vae.svi.shared_sum import SharedSum


class DistributedStep:
    """An eager step, taken by several processes together.

    Args:
        eager: the step; its pair is the same in all processes, and its data is all of it.
        group: the processes.
    """

    def __init__(self, eager: EagerStep, group: Group) -> None:
        self.eager = eager
        self.model, self.guide, self.objective = eager.model, eager.guide, eager.objective
        self.optimizer, self.data, self.precision = eager.optimizer, eager.data, eager.precision
        self.at_once = eager.at_once
        self.group = group
        # Which rows of each table this process has moved since the tables were whole, (N, 1).
        self.moved = [torch.zeros_like(table.weight[:, :1]) for table in eager.optimizer.tables]
        self.whole = True
        self.sums: dict[tuple[torch.dtype, int], SharedSum] = {}

    def __call__(self, index: Tensor, kl_weight: float = 1.0) -> Tensor:
        """Take one step.

        Args:
            index: rows of the data, ``(batch,)``, of the whole minibatch, the same in all processes.
            kl_weight: β, the factor of the KL in the loss.

        Returns:
            bound, reconstruction and KL summed over this process's part of the batch, ``(3,)``.
        """
        self.optimizer.zero_grad()
        sums, leaves = self.eager.add_gradients(self.parts_of(index), len(index), kl_weight)
        self._sum_gradients()
        self.optimizer.step(leaves)
        for moved, read in zip(self.moved, leaves, strict=True):
            for leaf in read:
                moved[leaf.rows] = 1.0
        self.whole = False
        return sums

    def parts_of(self, index: Tensor) -> Sequence[Tensor]:
        """What this process differentiates of a minibatch, ``(part,)`` each; of as many rows for every minibatch of a
        size. The last of an epoch's minibatches may have fewer rows than there are processes, and none for this one."""
        own = index.tensor_split(self.group.size)[self.group.rank]
        if not len(own):
            return []
        parts: Sequence[Tensor] = own.split(math.ceil(self.at_once / self.group.size) if self.at_once else len(own))
        return parts

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over the processes in place of each tensor; a message for each."""
        for tensor in tensors:
            if tensor.device.type != "cpu" or not 1 < self.group.size == self.group.local_size:
                with contact():
                    dist.all_reduce(tensor)
                continue
            kind = (tensor.dtype, tensor.numel())
            if kind not in self.sums:
                self.sums[kind] = SharedSum(self.group, tensor)
            self.sums[kind].sum(tensor)

    def _sum_gradients(self) -> None:
        """What has no gradient here may have one elsewhere. It counts as 0, and all processes have the same in the
        end; what is frozen has none anywhere."""
        params = [param for param in self.optimizer.shared if param.requires_grad]
        sums = flat([torch.zeros_like(param) if param.grad is None else param.grad for param in params])
        self.sum(sums)
        for param, gradient in zip(params, apart(sums, params), strict=True):
            param.grad = gradient

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


def flat(gradients: Sequence[Tensor]) -> list[Tensor]:
    """All in one tensor for each type of number: as many messages."""
    return [torch.cat([gradients[place].flatten() for place in places]) for places in _by_type(gradients)]


def apart(flats: Sequence[Tensor], params: Sequence[Tensor]) -> list[Tensor]:
    """What :func:`flat` has put together, in the shapes of these parameters, in their order."""
    found: dict[int, Tensor] = {}
    for whole, places in zip(flats, _by_type(params), strict=True):
        parts = whole.split([params[place].numel() for place in places])
        found |= {place: part.view_as(params[place]) for place, part in zip(places, parts, strict=True)}
    return [found[place] for place in range(len(params))]


def _by_type(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Which have the same type of number, by their places."""
    kinds = [tensor.dtype for tensor in tensors]
    return [[place for place, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)]
