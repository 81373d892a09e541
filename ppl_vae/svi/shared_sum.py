"""Sums over the processes of one machine, in memory that they share: their sockets take several times as long."""

import math
import os
from pathlib import Path
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor

from ppl_vae.runtime.processes import Group, contact

_MEMORY = Path("/dev/shm")
"""A folder of Linux whose files are in memory; without it the processes take their sockets."""


class SharedSum:
    """A place for each process to write its tensor to, twice, so that none is overwritten while others read it.

    All processes make it together.

    Args:
        group: the processes, all on this machine.
        like: tensors on a processor will have as many numbers as this one, of its type.
    """

    def __init__(self, group: Group, like: Tensor) -> None:
        self.group, self.turn = group, 0
        path = _MEMORY / str(group.from_first(f"ppl_vae-{uuid4().hex}"))
        try:
            self.places = self._shared(path, like)
        finally:  # a process may be lost meanwhile
            path.unlink(missing_ok=True)  # what is mapped stays

    def _shared(self, path: Path, like: Tensor) -> Tensor | None:
        """The places ``(2, processes, numbers)``, the same memory in all processes; None where it cannot be had."""
        group, shape = self.group, (2, self.group.size, like.numel())
        if any(group.any(group.is_first and not _reserved(path, math.prod(shape) * like.element_size()))):
            return None
        places = _mapped(path, shape, like.dtype)
        if any(group.any(places is None)) or places is None:
            return None
        places[:, group.rank, 0] = group.rank + 1
        group.wait()
        marks = torch.arange(1, group.size + 1, dtype=like.dtype)
        # Processes that are on other machines, whatever they were told, have each its own file of that name.
        return None if any(group.any(not torch.equal(places[0, :, 0], marks))) else places

    def sum(self, tensor: Tensor) -> None:
        """Put the sum over the processes in its place; the same bits in all of them."""
        with contact():
            if self.places is None:
                dist.all_reduce(tensor)
                return
            self.turn = 1 - self.turn
            places = self.places[self.turn]
            places[self.group.rank].copy_(tensor)
            dist.all_reduce(torch.zeros(1))  # all have written; a lost one is an error
            torch.sum(places, 0, out=tensor)


def _reserved(path: Path, size: int) -> bool:
    """Make a file of that size, for this user alone; False where there is no room.

    What is not reserved must not be written: where the memory of the folder is full, the write kills the process.
    """
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
        finally:
            os.close(file)
    except (OSError, AttributeError):
        return False
    return True


def _mapped(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
    """The file as a tensor; None where it is not to be seen from here."""
    if not path.exists():
        return None
    try:
        return torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=dtype).view(shape)
    except RuntimeError:
        return None
