"""Matrices that are sparse: SciPy's, in memory or as ``.npz`` (``scipy.sparse.save_npz``), and those of cells by genes.

They are counts, bits or reals by their numbers, whole numbers whatever their type. They are held, or laid out, as dense
rows of the smallest type that has the numbers: a step reads all of a row, zeros too.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.arrays import Observations, labelled, short
from ppl_vae.data.classes import names_checked
from ppl_vae.data.files.archive import read_headers
from ppl_vae.data.files.how import Reading
from ppl_vae.data.streaming.laying import laid_out, lay_out, place_of
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.tables.reading import LONGEST_NAME
from ppl_vae.runtime.errors import UserError, reason

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

_AT_ONCE = 2**26  # bytes of dense rows
_OF_SCIPY = ("data", "indices", "indptr", "row", "col", "shape", "format")


class Matrix(NamedTuple):
    """A matrix as it comes.

    Args:
        x: rows of it are taken by slices; sparse or dense.
        columns: what its columns are called, or nothing.
        y: labels, or None.
        class_names: what the labels are called.
    """

    x: Any
    columns: tuple[str, ...] = ()
    y: Tensor | None = None
    class_names: tuple[str, ...] = ()


def is_sparse(path: Path) -> bool:
    """Whether a file is an ``.npz`` of SciPy's."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {"format.npy", "shape.npy", "data.npy"} <= {*archive.namelist()}


def read_sparse(path: Path, how: Reading) -> Observations | Far:
    """Read SciPy's ``.npz``, rows of observations.

    Raises:
        UserError: it is damaged, empty, or holds what no likelihood is of.
    """
    read_headers(path, _OF_SCIPY)  # no file unpacks to more than it says
    return as_data(str(path), Matrix(_scipys(path)), how, "x")


def read_matrix(x: Any, y: np.ndarray | None, how: Reading) -> Observations:
    """Take a sparse matrix that is in memory, as :func:`read_sparse` takes a file of it, and labels beside it.

    Raises:
        UserError: as there; or there are not as many labels as rows.
    """
    from scipy import sparse  # type: ignore[import-untyped]

    rows = sparse.csr_array(x)  # of which slices can be taken
    labels, names = (None, ()) if y is None else labelled("the data", y)
    if labels is not None and len(labels) != rows.shape[0]:
        raise UserError(f"the data: y has shape {tuple(labels.shape)} where x has {rows.shape[0]} rows.")
    found = as_data("the data", Matrix(rows, (), labels, names), how._replace(memory=2**62), "x")
    assert isinstance(found, Observations)  # so much memory holds it
    return found


def looks_counted(x: Any) -> bool:
    """Whether a matrix begins with rows of whole numbers from 0 up, some above 1."""
    _, block = next(_blocks(x))
    numbers = block.data if hasattr(block, "toarray") else np.asarray(block)
    return bool(numbers.size and numbers.min() >= 0 and numbers.max() > 1 and (numbers == np.rint(numbers)).all())


def _scipys(path: Path) -> "csr_array":
    from scipy import sparse

    try:
        return sparse.csr_array(sparse.load_npz(path))
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable sparse .npz ({reason(error)}); write it by save_npz.") from None


def as_data(where: str, matrix: Matrix, how: Reading, name: str) -> Observations | Far:
    """Take a matrix for what its numbers are.

    Args:
        where: it comes from, a path where it may be larger than memory.
        matrix: it and what its rows and columns are called.
        how: ``integer_scale`` makes levels of its counts; of more than ``memory`` the rows are laid out in a file.
        name: of the matrix, for notes and messages.

    Raises:
        UserError: it is empty, or holds what no likelihood is of.
    """
    shape = tuple(map(int, matrix.x.shape))
    if 0 in shape or len(shape) != 2:
        raise UserError(f"{where}: {name} has shape {shape}; it needs a row for each observation.")
    columns = names_checked(where, "the list of its columns", matrix.columns, LONGEST_NAME)
    kind, dtype = _told(where, matrix.x, name)
    scale, taken = 0 if kind == "counts" else 1, kind
    kinds: tuple[str, ...] = (kind,)
    if kind == "counts" and how.integer_scale:
        scale, kinds, taken = how.integer_scale, (), f"levels, divided by {how.integer_scale}"
    said = f"{short(where)}: {name}, {shape[0]:,} × {shape[1]:,}, taken as {taken}"
    if shape[0] * shape[1] * dtype.itemsize <= how.memory:
        x = np.empty(shape, dtype)
        start = 0
        for block in _dense(matrix.x):
            x[start : start + len(block)] = block
            start += len(block)
        held = torch.from_numpy(x)
        return Observations(held, matrix.y, scale, (f"{said}.",), matrix.class_names, columns, kinds=kinds)
    place = place_of(Path(where), (how.layer, columns, dtype))
    lay_out(place, short(where), shape, dtype, _dense(matrix.x))
    notes = (f"{said}, laid out once in {place}, which may be deleted.",)
    stand_ins = np.zeros(shape[1], dtype)
    stored = laid_out(place)
    return Far(stored, matrix.y, matrix.class_names, columns, kinds, stand_ins, scale, where, notes)


def _told(where: str, x: Any, name: str) -> tuple[str, np.dtype]:
    """What the numbers are, and the smallest type that has them."""
    low, high, whole = 0.0, 0.0, True
    for start, block in _blocks(x):
        numbers = block.data if hasattr(block, "toarray") else np.asarray(block).ravel()
        if numbers.dtype.kind not in "buif":
            raise UserError(f"{where}: {name} is {numbers.dtype}; it must hold numbers.")
        if not len(numbers):
            continue
        if numbers.dtype.kind == "f":
            if not np.isfinite(numbers).all():
                raise UserError(f"{where}: {name} holds NaN or infinity in rows from {start + 1} on; mend them.")
            whole = whole and bool((numbers == np.rint(numbers)).all())
        low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
    if low < 0 or not whole:
        return "reals", np.dtype(np.float32)
    if high <= 1:
        return "bits", np.dtype(bool)
    if high >= 2**24:
        raise UserError(f"{where}: {name} has counts up to {high:,.0f}, and float32 counts to {2**24 - 1:,}; scale it.")
    return "counts", np.dtype(np.uint8 if high < 2**8 else np.int16 if high < 2**15 else np.int32)


def _blocks(x: Any) -> Iterator[tuple[int, Any]]:
    """Rows, some at a time, and the number of the first."""
    size = max(1, _AT_ONCE // (8 * x.shape[1]))
    for start in range(0, x.shape[0], size):
        yield start, x[start : start + size]


def _dense(x: Any) -> Iterator[np.ndarray]:
    for _, block in _blocks(x):
        yield block.toarray() if hasattr(block, "toarray") else np.asarray(block)
