"""What Python is given in place of a file: arrays, sparse matrices, cells by genes, data sets of torch and of Hugging
Face.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.arrays import Observations, observed
from ppl_vae.data.files.h5ad import is_cells, read_cells
from ppl_vae.data.files.how import Reading
from ppl_vae.data.files.sparse import read_matrix
from ppl_vae.data.tables.reading import read_frame
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.progress import Bar

_IMAGES = ("Image", "Array2D", "Array3D")  # features of Hugging Face
_OF_HUGGING_FACE = ("state.json", "dataset_dict.json")  # in a folder that save_to_disk wrote


def reader_of(value: object, y: object = None) -> Callable[[Reading], Observations] | None:
    """What reads a value: an array or a tensor of observations, a pair of it and labels, a sparse matrix, an AnnData,
    or a data set with a length whose items are observations, or observations with labels; None of anything else.

    Args:
        value: what was given.
        y: labels beside an array.
    """
    if isinstance(value, tuple | list) and len(value) == 2 and y is None and all(map(_is_array, value)):
        value, y = value  # (x, y)
    if _is_array(value):
        return lambda how: _of_arrays(value, y, how)
    if y is not None:
        return None  # all others have their labels themselves
    if is_cells(value):
        return lambda how: _of_cells(value, how)
    if hasattr(value, "to_pandas") and hasattr(value, "column_names"):
        return lambda how: _of_hugging_face(value, how)
    if hasattr(value, "__getitem__") and hasattr(value, "__len__") and isinstance(value, torch.utils.data.Dataset):
        return lambda how: _of_torch(value, how)
    return None


def is_hugging_face(path: Path) -> bool:
    """Whether a folder is one that ``datasets.Dataset.save_to_disk`` wrote."""
    return path.is_dir() and any((path / name).is_file() for name in _OF_HUGGING_FACE)


def read_hugging_face(path: Path, how: Reading) -> Observations:
    """Read such a folder; of several splits the one called train.

    Raises:
        UserError: the library is not installed, or the folder cannot be read.
    """
    try:
        import datasets
    except ImportError:
        how_to = "pip install 'ppl_vae[hugging-face]'"
        raise UserError(f"{path}: read by datasets, which is not installed; {how_to}.") from None
    try:
        found = datasets.load_from_disk(str(path))
    except Exception as error:  # a damaged folder can raise anything
        raise UserError(f"{path}: cannot be read by datasets ({reason(error)}).") from None
    if isinstance(found, Mapping):
        if "train" not in found:
            raise UserError(
                f"{path}: its splits are {', '.join(found)}, and none is train; save the one that is meant."
            )
        found = found["train"]
    return _of_hugging_face(found, how)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray | Tensor) or (hasattr(value, "toarray") and hasattr(value, "shape"))


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def _of_arrays(x: Any, y: Any, how: Reading) -> Observations:
    how.refuse_unread("arrays", "integer_scale")
    labels = None if y is None else _labels(y)
    if hasattr(x, "toarray"):
        return read_matrix(x, labels, how)
    mask = ~np.ma.getmaskarray(x) if np.ma.is_masked(x) else None  # numpy's own forget it
    return observed("the data", _array(x), labels, mask=mask, scale=how.integer_scale)


def _of_cells(cells: Any, how: Reading) -> Observations:
    how.refuse_unread("the AnnData", "label_column", "layer", "unlabelled_as")
    return read_cells(cells, how)


def _labels(y: Any) -> np.ndarray:
    """Labels; words that numpy has as objects, as text."""
    found = _array(y.to_numpy() if hasattr(y, "to_numpy") else y)
    return found.astype(str) if found.dtype == object and all(isinstance(each, str) for each in found) else found


def _of_torch(data: Any, how: Reading) -> Observations:
    how.refuse_unread(f"the {type(data).__name__}", "integer_scale")
    return _of_items(data, how)


def _of_hugging_face(data: Any, how: Reading) -> Observations:
    """A table, or where it has images, those and the labels beside them."""
    images = [name for name, kind in data.features.items() if type(kind).__name__ in _IMAGES]
    if not images:
        how.refuse_unread("a table of Hugging Face", "columns", "label_column", "condition_columns", "unlabelled_as")
        return read_frame(data.to_pandas(), how)
    how.refuse_unread("images of Hugging Face", "label_column", "integer_scale")
    found = _of_items(data.select_columns([images[0], *_classes(data, how)]), how)
    names = [getattr(data.features[name], "names", None) for name in _classes(data, how)]
    return found._replace(class_names=tuple(names[0])) if names and names[0] else found


def _classes(data: Any, how: Reading) -> list[str]:
    """The column of the labels: the one that is named, or the only one with classes."""
    if how.label_column is not None:
        return [how.label_column]
    found = [name for name, kind in data.features.items() if hasattr(kind, "names")]
    return found if len(found) == 1 else []


def _of_items(data: Any, how: Reading) -> Observations:
    """Items one by one, each an observation, or an observation and its label."""
    where = f"the {type(data).__name__}"
    if not len(data):
        raise UserError(f"{where} has no items; give at least one.")
    first, label = _parts(where, 0, data[0])
    x = np.empty((len(data), *first.shape), first.dtype)
    labels: list[Any] = []
    with Bar(len(data), "item", "reading") as bar:
        for row in range(len(data)):
            found, own = _parts(where, row, data[row])
            if found.shape != first.shape or (own is None) != (label is None):
                shapes = f"item {row} has shape {found.shape}, and item 0 {first.shape}"
                raise UserError(f"{where}: {shapes}; make them alike, all with labels or none.")
            x[row] = found
            labels.append(own)
            bar.update()
    y = None if label is None else _labels(np.array(labels))
    return observed(where, x, y, scale=how.integer_scale)


def _parts(where: str, row: int, item: Any) -> tuple[np.ndarray, Any]:
    """The observation of an item, and its label or None."""
    several = item.values() if isinstance(item, Mapping) else item
    values = list(several) if isinstance(item, Mapping | tuple | list) else [item]
    arrays: list[np.ndarray] = []
    others: list[np.ndarray] = []
    for value in values:
        found = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        (arrays if found.ndim else others).append(found)
    if len(arrays) != 1 or len(others) > 1 or arrays[0].dtype.kind not in "buif":
        raise UserError(
            f"{where}: item {row} has {len(arrays)} arrays and {len(others)} other values; an item is an array of "
            "numbers, or one and its label."
        )
    return arrays[0], others[0].item() if others else None
