"""Data that is in memory, written to a file: runs read their data again, in processes of their own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data import DataConfig, Dataset, Splits, load
from ppl_vae.data.binarization import suiting
from ppl_vae.data.splits import splits_of
from ppl_vae.runtime.config import field_names
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_arrays, write_bytes

FILE = "data.npz"
"""What it is called in the folder of what was made with it."""


def is_in_memory(data: object) -> bool:
    """Whether this is data, rather than its name, a path or settings of it."""
    return data is not None and not isinstance(data, DataConfig | Path | str)


def written(data: Any, path: Path, settings: Mapping[str, Any]) -> DataConfig:
    """Write data to a file, and say how to read it, so that the same comes of it, split alike.

    Args:
        data: what :func:`ppl_vae.load` returned, a data set, or anything that it takes: an array, a frame, ….
        path: the file, an ``.npz``; nothing is written of data that has a name or is in a file already.
        settings: fields of :class:`ppl_vae.data.DataConfig`, of what has not been loaded yet.

    Raises:
        UserError: it is no data, or it is loaded and there are settings.
    """
    if isinstance(data, Splits | Dataset):
        if settings:
            raise UserError(f"`{next(iter(settings))}`: this data is loaded already; say it to ppl_vae.load.")
    else:
        data = load(data, **settings)
    if isinstance(data, Splits) and data.settings is not None:
        return data.settings
    splits = splits_of(data)
    usual = DataConfig(binarization=settings.get("binarization", _binarization(splits.train)))
    parts = [part for part in (splits.test, splits.validation, splits.train) if part is not None]
    num = sum(map(len, parts))
    order = torch.arange(num)
    if isinstance(data, Splits):
        held_out = [0 if part is None else len(part) for part in (splits.test, splits.validation)]
        test, validation = held_out[0] / num, held_out[1] / (num - held_out[0])
        usual = replace(usual, test_fraction=test, validation_fraction=validation)
        # Where reading it shuffles each row to its part.
        order = torch.randperm(num, generator=torch.Generator().manual_seed(usual.data_seed)).argsort()
    arrays = _arrays(splits, parts, order)
    write_arrays(path, arrays)
    integers = arrays["x"].dtype.kind in "ui"
    scale = (splits.scale if isinstance(data, Splits) else splits.train.scale) if integers else None
    memory = max(usual.data_memory, path.stat().st_size // 2**20 + 1)
    return replace(usual, data=str(path), integer_scale=scale, data_memory=memory)


def keep(path: Path, folder: Path) -> Path:
    """Copy a file of :func:`written` into a folder that is there, and say where it is now.

    Raises:
        UserError: the folder has another one.
    """
    place, found = folder / FILE, path.read_bytes()
    if not place.exists():
        write_bytes(place, found)
    elif place.read_bytes() != found:
        raise UserError(f"{folder} holds a comparison on other data; choose another `out`.")
    return place.absolute()


def of_data(named: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that are of the data."""
    return {name: value for name, value in named.items() if name in field_names(DataConfig)}


def _binarization(train: Dataset) -> Any:
    """How the rows are read: as they are, or drawn as bits, which may be said anew where that is what suits them."""
    if not train.dynamic:
        return "none"
    return "auto" if suiting(train.values()) == "dynamic" else "dynamic"


def _arrays(splits: Splits, parts: list[Dataset], order: Tensor) -> dict[str, np.ndarray]:
    """What an ``.npz`` holds of it, see :func:`ppl_vae.data.files.npz.read_npz`, the rows in this order."""

    def all_of(name: str) -> Tensor:
        held = [part.tensors.get(name, torch.ones_like(part.kept, dtype=torch.bool)) for part in parts]
        return torch.cat([each.cpu() for each in held])[order]

    arrays = {name: all_of(name).numpy() for name in ("x", "y", "mask", "c") if any(name in p.tensors for p in parts)}
    if "y" in arrays and not splits.class_names:
        arrays["y"] = np.array(splits.classes)[arrays["y"]]
    words = {name: getattr(splits, name) for name in ("class_names", "columns", "kinds", "condition_names")}
    return arrays | {name: np.array(found) for name, found in words.items() if found}
