"""Sparse matrices: SciPy's ``.npz`` (``scipy.sparse.save_npz``), and AnnData's ``.h5ad`` of cells by genes.

They are counts, bits or reals by their numbers, whole numbers whatever their type. They are held, or laid out, as dense
rows of the smallest type that has the numbers: a step reads all of a row, zeros too.
"""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
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
from ppl_vae.data.tables.settling import column_called
from ppl_vae.runtime.errors import UserError, nearest, reason

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

_AT_ONCE = 2**26  # bytes of dense rows
_OF_SCIPY = ("data", "indices", "indptr", "row", "col", "shape", "format")


class _Matrix(NamedTuple):
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
    return _as_data(path, _Matrix(_scipys(path)), how, "x")


def read_h5ad(path: Path, how: Reading, wanted: Sequence[str] = ()) -> Observations | Far:
    """Read AnnData's ``.h5ad``: cells are rows, genes are columns.

    Args:
        path: of the file.
        how: ``layer`` names the layer that is read in place of X, ``label_column`` a column of ``obs``.
        wanted: genes, in the order of the columns that are wanted, of cells whose labels need not be there; by default
            all, as they stand.

    Raises:
        UserError: anndata is not installed, the file cannot be read, or a layer, a column or a gene is not there.
    """
    try:
        import anndata
    except ImportError:
        raise UserError(f"{path}: read by anndata, which is not installed; pip install 'ppl_vae[cells]'.") from None
    try:
        cells = anndata.read_h5ad(path, backed="r")
        genes = tuple(map(str, cells.var_names))
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable .h5ad ({reason(error)}).") from None
    with closing(cells.file):
        return _of_cells(path, cells, genes, how, wanted)


def _of_cells(
    path: Path, cells: Any, genes: tuple[str, ...], how: Reading, wanted: Sequence[str]
) -> Observations | Far:
    if how.layer is not None and how.layer not in cells.layers:
        near = nearest(how.layer, cells.layers)
        found = f"did you mean '{near}'?" if near else f"its layers are {', '.join(cells.layers) or 'none'}."
        raise UserError(f"{path}: `layer` names '{how.layer}', and there is no such layer; {found}")
    x = cells.X if how.layer is None else cells.layers[how.layer]
    if x is None:
        raise UserError(f"{path}: there is no X; name a layer by `layer` ({', '.join(cells.layers) or 'it has none'}).")
    places = {name: place for place, name in enumerate(genes)}
    if missing := [name for name in wanted if name not in places]:
        raise UserError(f"{path}: there is no gene '{missing[0]}', which the run learned from.")
    y: Tensor | None = None
    class_names: tuple[str, ...] = ()
    of_cells = list(map(str, cells.obs.columns))
    if how.label_column is not None and not (wanted and how.label_column not in of_cells):
        column_called(str(path), how.label_column, of_cells, "label_column")
        y, class_names = _labels(str(path), cells.obs[how.label_column], how.label_column)
    if wanted and tuple(wanted) != genes:
        x = x[:][:, [places[name] for name in wanted]]
    return _as_data(path, _Matrix(x, tuple(wanted) or genes, y, class_names), how, how.layer or "X")


def _scipys(path: Path) -> "csr_array":
    from scipy import sparse  # type: ignore[import-untyped]

    try:
        return sparse.csr_array(sparse.load_npz(path))
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable sparse .npz ({reason(error)}); write it by save_npz.") from None


def _labels(path: str, column: Any, name: str) -> tuple[Tensor | None, tuple[str, ...]]:
    if (gone := column.isna().to_numpy()).any():
        row = int(gone.argmax()) + 1
        raise UserError(f"{path}: label column '{name}' is empty in row {row}; leave such cells out, or name a class.")
    values = column.to_numpy()
    return labelled(path, values if values.dtype.kind in "buif" else np.array([str(value) for value in values]))


def _as_data(path: Path, matrix: _Matrix, how: Reading, name: str) -> Observations | Far:
    where, shape = str(path), tuple(map(int, matrix.x.shape))
    if 0 in shape or len(shape) != 2:
        raise UserError(f"{where}: {name} has shape {shape}; it needs a row for each observation.")
    columns = names_checked(where, "the list of its columns", matrix.columns, LONGEST_NAME)
    kind, dtype = _told(where, matrix.x, name)
    scale = 0 if kind == "counts" else 1
    said = f"{short(where)}: {name}, {shape[0]:,} × {shape[1]:,}, taken as {kind}"
    if kind == "reals":
        said += "; were counts transformed? Their own likelihoods are of the counts themselves (`layer` names another)"
    if shape[0] * shape[1] * dtype.itemsize <= how.memory:
        x = np.empty(shape, dtype)
        start = 0
        for block in _dense(matrix.x):
            x[start : start + len(block)] = block
            start += len(block)
        held = torch.from_numpy(x)
        return Observations(held, matrix.y, scale, (f"{said}.",), matrix.class_names, columns, kinds=(kind,))
    place = place_of(path, (how.layer, columns, dtype))
    lay_out(place, path.name, shape, dtype, _dense(matrix.x))
    notes = (f"{said}, laid out once in {place}, which may be deleted.",)
    stand_ins = np.zeros(shape[1], dtype)
    stored = laid_out(place)
    return Far(stored, matrix.y, matrix.class_names, columns, (kind,), stand_ins, scale, where, notes)


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
