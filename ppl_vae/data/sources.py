"""Where observations come from: a name in a table, or the path of a user's file."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ppl_vae.data import torchvision_sets
from ppl_vae.data.arrays import Observations
from ppl_vae.data.codecs import encode_notes
from ppl_vae.data.files.h5ad import read_h5ad
from ppl_vae.data.files.how import Reading
from ppl_vae.data.files.images import read_images
from ppl_vae.data.files.music import read_music
from ppl_vae.data.files.npy import far_npy, read_npy
from ppl_vae.data.files.npz import far_npz, read_npz
from ppl_vae.data.files.objects import is_hugging_face, read_hugging_face
from ppl_vae.data.files.sparse import is_sparse, read_sparse
from ppl_vae.data.files.text import alphabet_of, encoded_lines, read_lines
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.tables.large_tables import far_table
from ppl_vae.data.tables.reading import SUFFIXES, read_frame, read_table
from ppl_vae.runtime.errors import UserError, nearest


def digits(_root: Path) -> Observations:
    """The 1,797 handwritten digits that scikit-learn carries: 8 × 8 pixels, 17 grey levels, no download."""
    from sklearn.datasets import load_digits  # slow to import, and only this source needs it

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images.astype(np.uint8)).reshape(-1, 8, 8)
    return Observations(x, torch.from_numpy(labels.astype(np.int64)), scale=16)


def _torchvision(name: str, root: Path) -> Observations:
    x, y, test_x, test_y = torchvision_sets.read(name, root)
    names = torchvision_sets.CLASS_NAMES.get(name, ())
    return Observations(x, y, scale=255, class_names=names, test_x=test_x, test_y=test_y)


def _npz(path: Path, how: Reading) -> Observations | Far:
    if is_sparse(path):
        return read_sparse(path, how)
    far = far_npz(path, how.memory)
    return far._replace(scale=how.integer_scale) if far else read_npz(path, how.integer_scale)


def _npy(path: Path, how: Reading) -> Observations | Far:
    far = far_npy(path, how.memory)
    return far._replace(scale=how.integer_scale) if far else read_npy(path, how.integer_scale)


def _text(path: Path, _: Reading) -> Observations:
    lines = read_lines(path)
    alphabet = alphabet_of(lines)
    return Observations(encoded_lines(path, lines, alphabet, max(map(len, lines))), layout="text", alphabet=alphabet)


def _music(path: Path, _: Reading) -> Observations:
    parts = read_music(path)
    length = max(len(piece) for pieces in parts.values() for piece in pieces)
    x = {name: encode_notes(pieces, length) for name, pieces in parts.items() if pieces}
    return Observations(x["train"], test_x=x.get("test"), validation_x=x.get("valid"), layout="notes")


def _images(path: Path, how: Reading) -> Observations:
    return read_images(path, how.image_size)


def _table(path: Path, how: Reading) -> Observations | Far:
    return far_table(path, how) or read_table(path, how)


class _Adapter(NamedTuple):
    """What reads a kind of file, and the settings that it reads besides."""

    read: Callable[[Path, Reading], Observations | Far]
    settings: tuple[str, ...] = ()


_OF_TABLES = ("columns", "label_column", "condition_columns", "unlabelled_as")
_FILES = {
    ".npz": _Adapter(_npz, ("integer_scale",)),
    ".npy": _Adapter(_npy, ("integer_scale",)),
    ".h5ad": _Adapter(read_h5ad, ("label_column", "layer", "unlabelled_as")),
    ".txt": _Adapter(_text),
    ".json": _Adapter(_music),
    **dict.fromkeys(SUFFIXES, _Adapter(_table, _OF_TABLES)),
}
_OF_IMAGES = _Adapter(_images, ("image_size",))
_OF_HUGGING_FACE = _Adapter(read_hugging_face, (*_OF_TABLES, "integer_scale"))

SOURCES: dict[str, Callable[[Path], Observations]] = {
    "digits": digits,
    **{name: partial(_torchvision, name) for name in torchvision_sets.NAMES},
}
"""Data sets by name: each a function of the folder where its files are, or go."""


def names_file(name: str) -> bool:
    """Whether a data set is named by the path of a file or a folder."""
    return canonical(name) not in SOURCES and (
        Path(name).suffix.lower() in _FILES or os.sep in name or (bool(name) and Path(name).is_dir())
    )


def reads(name: str, setting: str) -> bool:
    """Whether a data set of that name is read from a file or a folder, by that setting of :class:`Reading`."""
    adapter = _adapter_of(Path(name)) if names_file(name) else None
    return adapter is not None and setting in adapter.settings


def _adapter_of(path: Path) -> _Adapter | None:
    """What reads a file or a folder; None of a kind that nothing reads."""
    if path.is_dir():
        return _OF_HUGGING_FACE if is_hugging_face(path) else _OF_IMAGES
    return _FILES.get(path.suffix.lower())


def canonical(name: str) -> str:
    """The name of a data set as ``SOURCES`` has it, however its letters are written; a path as it is."""
    return name.lower() if name.lower() in SOURCES else name


def frame_source(frame: object, how: Reading) -> Observations:
    """A frame of pandas, polars or pyarrow as data.

    Raises:
        UserError: a column cannot be used, or a setting is not for tables.
    """
    how.refuse_unread("a frame", *_OF_TABLES)
    return read_frame(frame, how)


def _no_kind(name: str) -> UserError:
    """The error for a file of a kind that there is no adapter for."""
    archive = "unpack it, and " if Path(name).suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z") else ""
    return UserError(
        f"{name}: no kind of file that data is read from; {archive}give a folder of images or a file that ends in "
        f"{', '.join(_FILES)}."
    )


def _meant(path: Path, *names: str) -> str:
    """What somebody may have meant who gave a path that leads to nothing: one of these names, or what lies there."""
    with suppress(OSError):
        names = (
            *names,
            *(str(each) for each in path.parent.iterdir() if each.suffix.lower() in _FILES or each.is_dir()),
        )
    near = nearest(str(path) if path.name else "", names)
    return f"did you mean '{near}'?" if near else "give the path of a folder of images or of a file."


def read_source(name: str, root: Path | str, how: Reading = Reading()) -> Observations | Far:  # noqa: B008
    """Read a data set; of more than memory is to hold, what it is.

    Args:
        name: a key of ``SOURCES``, in small or capital letters, or the path of a file of a kind that there is an
            adapter for in :mod:`ppl_vae.data.files`, or of a folder of images.
        root: the folder where torchvision's sets are, or are downloaded to.
        how: to read a file.

    Raises:
        UserError: unknown name, a file that cannot be used, or a setting that it does not read.
    """
    if names_file(name):
        path = Path(name)
        if not path.exists():
            raise UserError(f"{name}: no such file or folder; {_meant(path)}")
        if (adapter := _adapter_of(path)) is None:
            raise _no_kind(name)
        how.refuse_unread(name, *adapter.settings)
        return adapter.read(path, how)
    if (name := canonical(name)) not in SOURCES:
        if name and Path(name).exists():
            raise _no_kind(name)
        raise UserError(
            f"unknown data set '{name}': no file or folder has that name, and names of data sets are "
            f"{', '.join(sorted(SOURCES))}; {_meant(Path(name), *SOURCES)}"
        )
    how.refuse_unread(name)
    return SOURCES[name](Path(root))
