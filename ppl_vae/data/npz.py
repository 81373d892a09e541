"""A user's own data: an ``.npz`` with ``x`` and, if there are labels, ``y``. Nothing in it is ever unpickled."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ppl_vae.errors import UserError, reason

# Labels become one-hot vectors; a larger one is an identifier, not a class.
_MOST_CLASSES = 10_000


def read_npz(path: Path) -> tuple[Tensor, Tensor | None]:
    """Read and check a file.

    Args:
        path: holds ``x``, ``(N, D)``, ``(N, H, W)`` or with more event dimensions, uint8 (0 to 255), bool, or float in
            [0, 1]; and optionally ``y``, ``(N,)``, integers from 0.

    Returns:
        x, ``(N, *event)``, float32 in [0, 1], and y, ``(N,)``, int64, or None.

    Raises:
        UserError: what is wrong with the file, and what it should hold.
    """
    arrays = _read(path)
    if "x" not in arrays:
        found = ", ".join(arrays) or "nothing"
        raise UserError(f"{path}: no array 'x' (found: {found}); save it with numpy.savez(path, x=images, y=labels).")
    x = _observations(path, arrays["x"])
    return x, _labels(path, arrays["y"], len(x)) if "y" in arrays else None


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of an .npz, or the name of a data set.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a readable .npz; write it with numpy.savez(path, x=images, y=labels).")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] if name in ("x", "y") else np.empty(0) for name in archive.files}
    except Exception as error:  # a damaged file can raise anything
        if "allow_pickle" in str(error):
            raise UserError(f"{path}: holds pickled objects, which are never loaded; save number arrays.") from None
        raise UserError(f"{path}: not a readable .npz ({reason(error)}); write it with numpy.savez.") from None


def _observations(path: Path, x: np.ndarray) -> Tensor:
    if x.ndim < 2:
        raise UserError(f"{path}: x has shape {x.shape}; it must be (N, D) or (N, H, W), a row for each observation.")
    if 0 in x.shape:
        raise UserError(f"{path}: x is empty, shape {x.shape}; it needs at least one observation.")
    if x.dtype == np.uint8:
        return torch.from_numpy(x.astype(np.float32) / 255)
    if x.dtype != np.bool_ and not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"{path}: x is {x.dtype}; store uint8 (0 to 255), bool, or float in [0, 1].")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).reshape(len(x), -1).any(1).argmax())
        raise UserError(f"{path}: x holds NaN or infinity, first in row {bad}; remove or fill those values.")
    if x.min() < 0 or x.max() > 1:
        raise UserError(f"{path}: x runs from {x.min():g} to {x.max():g}; scale it into [0, 1], or store uint8.")
    return torch.from_numpy(x.astype(np.float32))


def _labels(path: Path, y: np.ndarray, rows: int) -> Tensor:
    if y.shape != (rows,):
        raise UserError(f"{path}: y has shape {y.shape} where x has {rows} rows; it must be ({rows},).")
    if not np.issubdtype(y.dtype, np.integer):
        raise UserError(f"{path}: y is {y.dtype}; it must hold integer classes 0, 1, 2, ...")
    if y.min() < 0 or y.max() >= _MOST_CLASSES:
        raise UserError(f"{path}: y runs from {y.min()} to {y.max()}; it must hold classes 0 to {_MOST_CLASSES - 1}.")
    return torch.from_numpy(y.astype(np.int64))
