"""Data read for a run: what takes long is announced."""

import logging
from pathlib import Path

from ppl_vae.data import DataConfig, Splits, load
from ppl_vae.runtime.processes import current

# Bytes of a file that is read in a second or so.
_LARGE = 2**22

_log = logging.getLogger(__name__)


def read_data(settings: DataConfig) -> Splits:
    """The data; before a large file is read, a line of the log says so, at level INFO.

    Raises:
        UserError: see :func:`ppl_vae.data.load`.
    """
    path = Path(settings.data)
    if current().is_first and path.is_file() and (size := path.stat().st_size) > _LARGE:
        _log.info("data     reading %s, %.0f MiB", path, size / 2**20)
    return load(settings)
