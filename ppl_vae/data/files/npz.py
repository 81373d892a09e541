"""A user's own data: an ``.npz`` with ``x`` and, if there are labels, ``y``. Nothing in it is ever unpickled.

Classes may have names: in ``y`` itself, or beside it in ``class_names``. So may the columns of a table, in ``columns``.
Conditions are in ``c``, their names in ``condition_names``.
What the numbers are taken for is decided in :mod:`ppl_vae.data.arrays`.
"""

import zipfile
from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.arrays import Observations, check_form, labelled, observed
from ppl_vae.data.classes import names_checked
from ppl_vae.data.conditions import check_known, named
from ppl_vae.data.files.archive import read_array, read_headers
from ppl_vae.data.kinds import COLUMNS
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.streaming.stored import stored_in_npz
from ppl_vae.runtime.errors import UserError

_ARRAYS = ("x", "y", "class_names", "columns", "mask", "c", "condition_names", "kinds")


def read_npz(
    path: Path,
    scale: int | None = None,
    event_shape: tuple[int, ...] | None = None,
    known: Mapping[str, int] | None = None,
) -> Observations:
    """Read and check a file.

    Args:
        path: holds ``x``, ``(N, D)``, ``(N, H, W)`` or with more event dimensions, bool, integers from 0, or float;
            and optionally ``y``, ``(N,)``, numbers or names of classes; ``class_names``, what the integers 0, 1, 2,
            ... are called; ``columns``, what the D columns are called; ``mask``, which numbers of x were seen, bool,
            of its shape; ``c``, conditions, ``(N, C)``, and ``condition_names``, what these are called; ``kinds``, what
            each of the D columns holds, a :data:`ppl_vae.data.kinds.Column`.
        scale: what integers stand for 1 by, if that has been decided.
        event_shape: of an observation, if that has been decided.
        known: labels by their names, if those have been decided; else names are numbered in the alphabet's order.

    Raises:
        UserError: what is wrong with the file, and what it should hold.
    """
    headers, names = read_headers(path, _ARRAYS)
    if "x" not in headers:
        found = ", ".join(names) or "nothing"
        raise UserError(f"{path}: no array 'x' (found: {found}); save it with numpy.savez(path, x=images, y=labels).")
    check_form(str(path), *headers["x"], headers["y"].shape if "y" in headers else None)
    y, mask = (read_array(path, name) if name in headers else None for name in ("y", "mask"))
    class_names, columns = (_words(path, name) if name in headers else () for name in ("class_names", "columns"))
    c, condition_names = _conditions(path, headers, headers["x"].shape[0])
    taken = observed(
        str(path),
        read_array(path, "x"),
        y,
        mask=mask,
        class_names=class_names,
        columns=columns,
        scale=scale,
        event_shape=event_shape,
        known=known,
    )
    kinds = _kinds(path, len(columns)) if "kinds" in headers else ()
    return taken._replace(c=c, condition_names=condition_names, kinds=kinds)


def far_npz(path: Path, memory: int) -> Far | None:
    """A file whose x is to stay there, since it takes more than so many bytes; None for any other.

    Raises:
        UserError: it is compressed, or has a mask, which would have to be held.
    """
    if not path.is_file() or path.stat().st_size <= memory or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    stored = stored_in_npz(path, "x") if "x" in names else None
    if stored is None or stored.num_bytes <= memory:
        return None
    if "mask" in names:
        raise UserError(f"{path}: a mask would have to be held, as x is not; store x as float, with NaN in its holes.")
    y = read_array(path, "y") if "y" in names else None
    check_form(str(path), stored.shape, stored.dtype, None if y is None else y.shape)
    class_names, columns = (_words(path, name) if name in names else () for name in ("class_names", "columns"))
    c, condition_names = _conditions(path, names, stored.num_rows)
    return Far(
        stored,
        *labelled(str(path), y, class_names),
        columns=names_checked(str(path), "columns", columns),
        c=c,
        condition_names=condition_names,
    )


def _conditions(path: Path, names: Container[str], num: int) -> tuple[Tensor | None, tuple[str, ...]]:
    """Conditions of so many observations as float32, and what they are called; the file has arrays of these names."""
    if "c" not in names:
        return None, ()
    found = read_array(path, "c")
    if found.dtype.kind not in "buif" or found.ndim != 2 or len(found) != num or not found.shape[1]:
        raise UserError(
            f"{path}: c is {found.dtype}, shape {found.shape}; it must be numbers ({num}, C), a row for each "
            "observation, and of a category a column of 0 and 1 for each of its values."
        )
    called = _words(path, "condition_names") if "condition_names" in names else ()
    called = names_checked(str(path), "condition_names", called) or named(found.shape[1])
    if len(called) != found.shape[1]:
        raise UserError(f"{path}: {len(called)} conditions are named, and c has {found.shape[1]}; name each.")
    c = torch.from_numpy(found.astype(np.float32))
    check_known(str(path), c, called)
    return c, called


def _kinds(path: Path, num: int) -> tuple[str, ...]:
    kinds = _words(path, "kinds")
    if len(kinds) != num or not set(kinds) <= {*COLUMNS}:
        raise UserError(f"{path}: kinds must say of each of the {num} `columns` one of {', '.join(COLUMNS)}.")
    return kinds


def _words(path: Path, name: str) -> tuple[str, ...]:
    words = read_array(path, name)
    if words.dtype.kind != "U" or words.ndim != 1:
        raise UserError(f"{path}: {name} is {words.dtype}, shape {words.shape}; it must be a list of strings.")
    return tuple(map(str, words))
