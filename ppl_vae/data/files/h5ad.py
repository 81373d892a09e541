"""Cells by genes: AnnData's ``.h5ad``, and what anndata has read of one."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ppl_vae.data.arrays import Observations, labelled, short
from ppl_vae.data.files.how import Reading
from ppl_vae.data.files.sparse import Matrix, as_data, looks_counted
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.tables.schema import NO_CLASS
from ppl_vae.data.tables.settling import column_called
from ppl_vae.runtime.errors import UserError, nearest, reason

_RAW = "raw"  # what a layer is called that stands outside the layers, as in scverse's tools


def is_cells(value: object) -> bool:
    """Whether a value is an AnnData: cells by genes, with what is known of each cell."""
    return all(hasattr(type(value), name) for name in ("layers", "obs", "var_names"))


def read_cells(cells: Any, how: Reading) -> Observations:
    """Take an AnnData, as :func:`read_h5ad` takes its file; it is in memory, and so is what is made of it.

    Raises:
        UserError: as there.
    """
    found = _of_cells("the AnnData", cells, how._replace(memory=2**62))
    assert isinstance(found, Observations)  # so much memory holds it
    return found


def read_h5ad(
    path: Path, how: Reading, wanted: Sequence[str] = (), known: Mapping[str, int] | None = None
) -> Observations | Far:
    """Read AnnData's ``.h5ad``: cells are rows, genes are columns.

    Args:
        path: of the file.
        how: ``layer`` names the layer that is read in place of X, raw that of ``.raw`` where no layer is called so;
            ``label_column`` a column of ``obs``.
        wanted: genes, in the order of the columns that are wanted, of cells whose labels need not be there; by default
            all, as they stand.
        known: labels by their names, if those have been decided.

    Raises:
        UserError: anndata is not installed, the file cannot be read, or a layer, a column or a gene is not there.
    """
    try:
        import anndata
    except ImportError:
        raise UserError(f"{path}: read by anndata, which is not installed; pip install 'ppl_vae[cells]'.") from None
    try:
        cells = anndata.read_h5ad(path, backed="r")
        list(map(str, cells.var_names))
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable .h5ad ({reason(error)}).") from None
    with closing(cells.file):
        return _of_cells(str(path), cells, how, wanted, known)


def _of_cells(
    where: str, cells: Any, how: Reading, wanted: Sequence[str] = (), known: Mapping[str, int] | None = None
) -> Observations | Far:
    layers = [*cells.layers, *([_RAW] if cells.raw is not None and _RAW not in cells.layers else [])]
    if how.layer is not None and how.layer not in layers:
        near = nearest(how.layer, layers)
        there = f"did you mean '{near}'?" if near else f"its layers are {', '.join(layers) or 'none'}."
        asked = f"the run learned from the layer '{how.layer}'" if wanted else f"`layer` names '{how.layer}'"
        raise UserError(f"{where}: {asked}, and there is no such layer; {there}")
    x, genes = _layer(cells, how.layer)
    if x is None:
        raise UserError(f"{where}: there is no X; name a layer by `layer` ({', '.join(layers) or 'it has none'}).")
    if wanted and (missing := [name for name in wanted if name not in genes]):
        raise UserError(f"{where}: there is no gene '{missing[0]}', which the run learned from.")
    y: Tensor | None = None
    class_names: tuple[str, ...] = ()
    of_cells = list(map(str, cells.obs.columns))
    if how.label_column is not None and not (wanted and how.label_column not in of_cells):
        column_called(where, how.label_column, of_cells, "label_column")
        y, class_names = _labels(where, cells.obs[how.label_column], how, known)
    if wanted and tuple(wanted) != genes:
        x = x[:][:, [genes.index(name) for name in wanted]]
    found = as_data(where, Matrix(x, tuple(wanted) or genes, y, class_names), how, how.layer or "X")
    if found.kinds == ("reals",):
        found = found._replace(notes=(*found.notes, _of_counts(where, cells, how.layer, layers)))
    return found


def _of_counts(where: str, cells: Any, layer: str | None, layers: Sequence[str]) -> str:
    """Where counts are, of which what was read may be made."""
    counted = [name for name in layers if name != layer and looks_counted(_layer(cells, name)[0])]
    advice = (
        f"counts stand in its layer '{counted[0]}', which `layer` {counted[0]} reads"
        if counted
        else "if it was made from counts, likelihoods of counts need these themselves, in X or in a layer"
    )
    return f"{short(where)}: {layer or 'X'} holds no counts; {advice}."


def _layer(cells: Any, layer: str | None) -> tuple[Any, tuple[str, ...]]:
    """A matrix of cells by genes and its genes: X, a layer, or that of ``.raw``, which may have more genes."""
    if layer == _RAW and layer not in cells.layers:
        return cells.raw.X, tuple(map(str, cells.raw.var_names))
    return cells.X if layer is None else cells.layers[layer], tuple(map(str, cells.var_names))


def _labels(
    where: str, column: Any, how: Reading, known: Mapping[str, int] | None
) -> tuple[Tensor | None, tuple[str, ...]]:
    gone, values = column.isna().to_numpy(), column.to_numpy()
    if gone.any() and how.unlabelled_as is None:
        raise UserError(
            f"{where}: label column '{how.label_column}' is empty in row {int(gone.argmax()) + 1}; {NO_CLASS}"
        )
    named = gone.any() or (how.unlabelled_as is not None and known)  # numbers beside such a class are names too
    if named or values.dtype.kind not in "buif":
        written = [f"{value:.15g}" if isinstance(value, np.floating | float) else str(value) for value in values]
        words = np.array([how.unlabelled_as if no else word for word, no in zip(written, gone, strict=True)])
    else:
        words = values
    return labelled(where, words, known=known)
