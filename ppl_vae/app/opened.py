"""A run opened for use: its pair on a device, and the data it was trained on."""

from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.app.build import Pair
from ppl_vae.app.run import Run
from ppl_vae.data import Dataset, load
from ppl_vae.device import choose_device
from ppl_vae.errors import UserError


class OpenedRun(NamedTuple):
    """A trained pair and where it came from."""

    run: Run
    pair: Pair
    device: torch.device

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return self.run.record.info.event_shape

    def split(self, name: str, limit: int | None = None) -> Dataset:
        """The first rows of a split of the run's own data, on the run's device.

        Raises:
            UserError: the data is gone or has changed, or the split is empty.
        """
        splits = load(self.run.record.config.data)
        if splits.fingerprint() != self.run.record.info.fingerprint:
            data = self.run.record.config.data.data
            raise UserError(
                f"the data '{data}' is not what {self.run.path} was trained on; restore it, or train again."
            )
        return splits.get(name).head(limit).to(self.device)


def open_run(path: Path, device: str) -> OpenedRun:
    """Open a run directory.

    Raises:
        UserError: it is no run, it is damaged, or the device is not there.
    """
    chosen = choose_device(device)
    run = Run.open(path)
    return OpenedRun(run, run.load_pair(chosen), chosen)
