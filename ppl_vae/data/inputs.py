"""New observations for a pair that has been trained, read as its own data was."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ppl_vae.data.arrays import Observations
from ppl_vae.data.codecs import encode_notes
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.files.h5ad import read_h5ad
from ppl_vae.data.files.how import Reading
from ppl_vae.data.files.images import SUFFIXES, read_images
from ppl_vae.data.files.music import read_music
from ppl_vae.data.files.npy import read_npy
from ppl_vae.data.files.npz import read_npz
from ppl_vae.data.files.sparse import is_sparse, read_sparse
from ppl_vae.data.files.text import encoded_lines, read_lines
from ppl_vae.data.info import DataInfo
from ppl_vae.data.tables.reading import SUFFIXES as TABLES
from ppl_vae.data.tables.reading import read_known_table
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def as_dataset(data: "Dataset | ArrayLike", program: nn.Module) -> Dataset:
    """New observations as a data set, on the device of a program and as exact as its parameters; a data set as it is.

    Args:
        data: a data set, or an array or tensor ``(N, *event)`` of the numbers that the program was trained on, such as
            some of ``data.test.x``: grey levels from 0 to 1. NaN is a hole.
        program: a model or guide.

    Raises:
        UserError: it is no array of numbers, it has no rows, or it holds integers, which nobody knows the scale of.
    """
    if isinstance(data, Dataset):
        return data
    try:
        x = data if isinstance(data, Tensor) else torch.from_numpy(np.array(data))
    except (TypeError, ValueError):
        raise UserError(
            f"a {type(data).__name__} is no array of numbers; give an array, a tensor or a Dataset, as data.test."
        ) from None
    if x.dtype != torch.bool and not x.is_floating_point():
        raise UserError(
            f"x holds {str(x.dtype).removeprefix('torch.')}; give the numbers that the pair was trained on, as float: "
            "those of 8-bit images divided by 255, counts and bits as they are (x.astype(float))."
        )
    dtype = next((param.dtype for param in program.parameters()), torch.get_default_dtype())
    x = x.to(device_of(program), dtype)
    missing = x.isnan()
    if not missing.any():
        return Dataset(x, first=UNSEEN)
    return Dataset(x.nan_to_num(nan=0.0), first=UNSEEN, mask=~missing)


def read_input(path: Path, info: DataInfo, how: Reading = Reading()) -> Observations:  # noqa: B008
    """Observations for a model that has been trained: an ``.npz`` or a ``.npy``, an image or a folder of them, a table,
    or a file of the kind that it was trained on.

    Args:
        path: the file.
        info: what is known of the data that it was trained on: shape, alphabet, scale, names of labels and columns.
        how: that data was read.

    Raises:
        UserError: the file cannot be used, or its observations are not of that kind.
    """
    length, suffix = info.event_shape[0], path.suffix.lower()
    if info.layout == "text" and suffix == ".txt":
        return Observations(encoded_lines(path, read_lines(path), info.alphabet, length), None, info.scale, ())
    if info.layout == "notes" and suffix == ".json":
        pieces = [piece for part in read_music(path).values() for piece in part]
        longest = max(map(len, pieces))
        if longest > length:
            raise UserError(f"{path}: a piece has {longest} steps, the longest in training had {length}; split it.")
        return Observations(encode_notes(pieces, length), None, info.scale, ())
    if path.is_dir() or suffix in SUFFIXES:
        return read_images(path, event_shape=info.event_shape, known=info.by_name)
    if suffix in TABLES:
        return read_known_table(path, info, how)
    if suffix == ".h5ad" or is_sparse(path):
        held = how._replace(memory=2**62)
        cells = suffix == ".h5ad"
        found = read_h5ad(path, held, info.columns, info.by_name) if cells else read_sparse(path, held)
        assert isinstance(found, Observations)  # so much memory holds it
        return found
    if suffix == ".npy":
        return read_npy(path, info.scale, info.event_shape)
    return read_npz(path, info.scale, info.event_shape, info.by_name)
