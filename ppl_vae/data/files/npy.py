"""One array in a ``.npy``: observations without labels, taken for what :mod:`ppl_vae.data.arrays` says."""

from pathlib import Path

import numpy as np

from ppl_vae.data.arrays import Observations, check_form, observed
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.streaming.stored import stored_in_npy
from ppl_vae.runtime.errors import UserError, reason


def read_npy(path: Path, scale: int | None = None, event_shape: tuple[int, ...] | None = None) -> Observations:
    """Read and check a file.

    Args:
        path: holds x, ``(N, D)``, ``(N, H, W)`` or with more event dimensions, bool, integers from 0, or float.
        scale: what integers stand for 1 by, if that has been decided.
        event_shape: of an observation, if that has been decided.

    Raises:
        UserError: what is wrong with the file, and what it should hold.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a .npy, or the name of a data set.")
    stored_in_npy(path)  # refuses what it is not
    try:
        x: np.ndarray = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable .npy ({reason(error)}); write it with numpy.save(path, x).") from None
    check_form(str(path), x.shape, x.dtype)
    return observed(str(path), x, scale=scale, event_shape=event_shape)


def far_npy(path: Path, memory: int) -> Far | None:
    """A file whose rows are to stay there, since they take more than so many bytes; None for any other."""
    if not path.is_file() or path.stat().st_size <= memory:
        return None
    stored = stored_in_npy(path)
    if stored is None:
        return None
    check_form(str(path), stored.shape, stored.dtype)
    return Far(stored)
