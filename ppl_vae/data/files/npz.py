"""A user's own data: an ``.npz`` with ``x`` and, if there are labels, ``y``. Nothing in it is ever unpickled.

Classes may have names: in ``y`` itself, or beside it in ``class_names``. So may the columns of a table, in ``columns``.
What the numbers are taken for is decided in :mod:`ppl_vae.data.arrays`.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from ppl_vae.data.arrays import Observations, check_form, labelled, observed
from ppl_vae.data.classes import names_checked
from ppl_vae.data.files.archive import read_array, read_headers
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.streaming.stored import stored_in_npz
from ppl_vae.runtime.errors import UserError


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
            of its shape.
        scale: what integers stand for 1 by, if that has been decided.
        event_shape: of an observation, if that has been decided.
        known: labels by their names, if those have been decided; else names are numbered in the alphabet's order.

    Raises:
        UserError: what is wrong with the file, and what it should hold.
    """
    headers, names = read_headers(path, ("x", "y", "class_names", "columns", "mask"))
    if "x" not in headers:
        found = ", ".join(names) or "nothing"
        raise UserError(f"{path}: no array 'x' (found: {found}); save it with numpy.savez(path, x=images, y=labels).")
    check_form(str(path), *headers["x"], headers["y"].shape if "y" in headers else None)
    y, mask = (read_array(path, name) if name in headers else None for name in ("y", "mask"))
    class_names, columns = (_words(path, name) if name in headers else () for name in ("class_names", "columns"))
    return observed(
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
    return Far(stored, *labelled(str(path), y, class_names), columns=names_checked(str(path), "columns", columns))


def _words(path: Path, name: str) -> tuple[str, ...]:
    words = read_array(path, name)
    if words.dtype.kind != "U" or words.ndim != 1:
        raise UserError(f"{path}: {name} is {words.dtype}, shape {words.shape}; it must be a list of strings.")
    return tuple(map(str, words))
