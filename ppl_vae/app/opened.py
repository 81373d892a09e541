"""A run opened for use: its pair on a device, and the data it was trained on."""

from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.app.pair import Pair
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
            UserError: the data is gone, or the split is empty.
        """
        return load(self.run.record.config.data).get(name).head(limit).to(self.device)


def open_run(path: Path, device: str) -> OpenedRun:
    """Open a run directory.

    Raises:
        UserError: it is no run, it is damaged, or the device is not there.
    """
    chosen = choose_device(device)
    run = Run.open(path)
    return OpenedRun(run, run.load_pair(chosen), chosen)


def refuse_existing_file(path: Path) -> None:
    """Raise a UserError if a file cannot be made at that path."""
    if path.exists():
        raise UserError(f"{path} exists; choose another --out.")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder; make it, or choose another --out.")
