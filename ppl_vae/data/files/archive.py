"""Arrays in an ``.npz``: what they are is read before what they hold, so that no file unpacks to more than it says."""

import io
import math
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from ppl_vae.runtime.errors import UserError, reason

# A header is some hundred bytes; numpy refuses those beyond 10,000 itself, but only once it has read them.
_LONGEST_HEADER = 2**14
# Deflate packs zeros 225 to 1000 times, and MNIST's bits stored as float64 not a hundred times.
_MOST_PACKED = 200
_LARGE = 2**30  # bytes; below this it does no harm, however it is packed
# What is read is held as float32, once more when it is split, and a part of it once more while it is looked through.
_COPIES = 3


class Header(NamedTuple):
    """What an array is.

    Args:
        shape: its shape.
        dtype: the type of its elements; never objects, which are pickled.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


def read_headers(path: Path, names: tuple[str, ...]) -> tuple[dict[str, Header], list[str]]:
    """Read what some arrays of an archive are, and none of what they hold.

    Args:
        path: the archive.
        names: of the arrays that are wanted, as they were saved.

    Returns:
        the headers of those that are there, and the names of all arrays.

    Raises:
        UserError: there is no such file, it is no archive, an array is of objects, is not as long as its header says,
            or is too large for this machine's memory.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of an .npz, or the name of a data set.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a readable .npz; write it with numpy.savez(path, x=images, y=labels).")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            found = {name: _header(path, archive, members[name]) for name in names if name in members}
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(path, error) from None
    packed = sum(members[name].compress_size for name in found)
    stored = sum(members[name].file_size for name in found)
    if stored > max(_LARGE, _MOST_PACKED * packed):
        raise UserError(
            f"{path}: {packed / 2**20:.1f} MiB that unpack to {_gib(stored)}, far more than data packs; if the file "
            "is yours, write it with numpy.savez, which does not compress."
        )
    refuse_too_large(str(path), sum(math.prod(header.shape) for header in found.values()), stored=stored)
    return found, list(members)


def read_array(path: Path, name: str) -> np.ndarray:
    """Read an array whose header is known to be right.

    Raises:
        UserError: its contents are damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
            array: np.ndarray = npy.read_array(stream, allow_pickle=False)
            return array
    except Exception as error:  # a damaged file can raise anything
        raise _unreadable(path, error) from None


def refuse_too_large(where: str, numbers: int, advice: str = "take fewer observations", *, stored: int = 0) -> None:
    """See that so many numbers fit into this machine's memory, with all that training makes of them.

    Args:
        where: they come from.
        numbers: how many.
        advice: what to do if they do not.
        stored: bytes that they take as they are stored.

    Raises:
        UserError: they do not.
    """
    needed = max(4 * _COPIES * numbers, stored)
    if needed > (memory := _memory()):
        raise UserError(
            f"{where}: arrays of {_gib(stored or 4 * numbers)} need {_gib(needed)} in training, and this machine has "
            f"{_gib(memory)} of memory; {advice}."
        )


def _header(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    with archive.open(member) as stream:
        start = io.BytesIO(stream.read(_LONGEST_HEADER))
    read = npy.read_array_header_1_0 if npy.read_magic(start) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(start)
    if dtype.hasobject:
        raise UserError(f"{path}: holds pickled objects, which are never loaded; save number arrays.")
    length = member.file_size - start.tell()
    if min(shape, default=0) < 0 or length != math.prod(shape) * dtype.itemsize:
        name = member.filename.removesuffix(".npy")
        raise UserError(
            f"{path}: not a readable .npz (array '{name}' of shape {_short(shape)}, {dtype}, has {length} bytes); "
            "write it with numpy.savez."
        )
    return Header(shape, dtype)


def _short(shape: tuple[int, ...]) -> str:
    words = str(shape)
    return words if len(words) <= 60 else f"{words[:60]}..."


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a readable .npz ({reason(error)}); write it with numpy.savez.")


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
