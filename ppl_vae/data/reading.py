"""Data read for a command: what takes long is announced, and what was decided about it is said."""

import sys
from pathlib import Path

from ppl_vae.data import DataConfig, Splits, load
from ppl_vae.runtime.processes import current

# Bytes of a file that is read in a second or so.
_LARGE = 2**22


def read_data(settings: DataConfig) -> Splits:
    """The data, with a line on stderr before a large file is read.

    Raises:
        UserError: see :func:`ppl_vae.data.load`.
    """
    path = Path(settings.data)
    if current().is_first and path.is_file() and (size := path.stat().st_size) > _LARGE:
        print(f"data     reading {path}, {size / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    return load(settings)


def say_what_was_read(splits: Splits) -> None:
    """Say what was decided in reading the data, and warn where nothing can come of it."""
    for note in splits.notes:
        print(f"data     {note}")
    for warning in splits.warnings:
        print(f"warning: {warning}", file=sys.stderr)
