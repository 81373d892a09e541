"""When a fit writes its checkpoint: often enough that little is ever lost, and never over something better."""

import math
import time
from pathlib import Path

import torch
from torch import Tensor

from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.processes import Group
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.training.state import TrainingState

# A checkpoint is written after the first step that ends this long after the last one, and before a validation in which
# it would grow older: kill -9 loses no more training.
CHECKPOINT_SECONDS = 10.0


class Saver:
    """Writes and reads the checkpoint of a fit; all processes call it together.

    Args:
        state: of the fit.
        path: where, or None for nowhere.
        weights_path: where its weights are, if not in it.
        group: the processes; the first one writes.
        distributed: the step that they share, if there are several.
    """

    def __init__(
        self,
        state: TrainingState,
        path: Path | None,
        weights_path: Path | None,
        group: Group,
        distributed: DistributedStep | None,
    ) -> None:
        self.state, self.path, self.group, self.distributed = state, path, group, distributed
        self.weights_path = weights_path
        self.saved_at = -math.inf

    def is_due(self, pause: float = 0.0) -> bool:
        """Whether the checkpoint is old, or would be after a pause of so many seconds; in this process's eyes."""
        return time.monotonic() + pause - self.saved_at > CHECKPOINT_SECONDS

    def save(self) -> None:
        """Write it.

        Raises:
            UserError: training has diverged; the checkpoint is as it was.
        """
        if self.path is None:
            return
        if self.distributed:
            self.distributed.make_whole()
        sums = self.group.total(self.state.sums)
        self.refuse_divergence(sums)
        if self.group.is_first:
            checkpoint.save(self.path, self.state.to_checkpoint(sums), self._apart())
        self.group.wait()  # torchrun ends all processes as soon as one has gone
        self.saved_at = time.monotonic()

    def _apart(self) -> checkpoint.Apart | None:
        """The weights that a fit which ends now ends with."""
        if self.weights_path is None:
            return None
        if self.state.best:
            at: tuple[str, ...] = ("best",)
        else:
            at = ("average",) if self.state.average.decay else ()
        return checkpoint.Apart(self.weights_path, at, ("model", "guide"))

    def refuse_divergence(self, sums: Tensor) -> None:
        """See that nothing has become infinite or NaN. Waits for the device.

        Args:
            sums: what the epoch's steps have returned, summed over the processes.
        """
        wrong = self.state.not_finite(sums)
        if any(self.group.any(wrong is not None)):
            raise self.state.diverged(f"{wrong or 'a number'} is not finite")

    def load(self) -> None:
        """Go on from it."""
        if self.path is None:
            raise UserError("resuming needs the path of a checkpoint.")
        self.state.load(self.path)
        if not self.group.is_first:  # the first one has those of all
            self.state.sums = torch.zeros_like(self.state.sums)
