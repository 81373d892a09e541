"""Rows laid out one behind the other in a file of the user's cache, where their own file does not have them so."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ppl_vae.data.streaming.stored import Stored, stored_in_npy
from ppl_vae.runtime.files import whole
from ppl_vae.runtime.folders import cache_of
from ppl_vae.runtime.progress import Bar

_VERSION = 1


def place_of(path: Path, how: object) -> Path:
    """Where the rows of a file are laid out: the same place for the same file, not changed since, read in that way."""
    status = path.stat()
    known = f"{_VERSION} {path.absolute()} {status.st_size} {status.st_mtime_ns} {how}"
    return cache_of("rows") / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.npy"


def lay_out(place: Path, named: str, shape: tuple[int, ...], kind: np.dtype, blocks: Iterator[np.ndarray]) -> None:
    """Write rows there, unless they are there already.

    Args:
        place: of the file; it is there when it is whole, and not before.
        named: what it is called to the user.
        shape: of all rows, ``(N, *event)``.
        kind: of their numbers.
        blocks: the rows, ``(some, *event)`` each, read only where they are to be written.

    Raises:
        CannotWriteError: there is no room for them.
    """
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    header = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    with Bar(shape[0], "row", f"laying out {named}") as bar, whole(place) as out:
        npy.write_array_header_1_0(out, header)
        for block in blocks:
            out.write(np.ascontiguousarray(block, kind).data)
            bar.update(len(block))


def laid_out(place: Path) -> Stored:
    """The rows that were written there."""
    stored = stored_in_npy(place)
    assert stored is not None  # they were written so
    return stored
