"""An array in a file, of which parts are read: nothing of it is held, and nothing is mapped for longer than a read."""

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from ppl_vae.runtime.errors import UserError

# Bytes that are read in one go: far more than a seek costs, far less than memory.
_BLOCK = 2**20
# So many rows or fewer are looked for one by one, more of them by reading the file from its beginning to its end.
_FEW = 4096


class Stored(NamedTuple):
    """Rows one behind the other in a file.

    Args:
        path: of the file.
        offset: bytes before row 0.
        dtype: of the numbers.
        shape: ``(N, *event)``.
    """

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def num_rows(self) -> int:
        """N."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes of all rows."""
        return self.num_rows * self.row_bytes

    @property
    def block(self) -> int:
        """Rows that are read in one go."""
        return max(1, _BLOCK // self.row_bytes)

    @property
    def num_blocks(self) -> int:
        """Blocks in all; the last one may be shorter."""
        return -(-self.num_rows // self.block)

    def read(self, number: int) -> np.ndarray:
        """The rows of a block, by its number from 0, ``(rows, *event)``.

        Raises:
            UserError: the file is gone, or shorter than it was.
        """
        rows = min(self.block, self.num_rows - number * self.block)
        count = rows * math.prod(self.shape[1:])
        try:
            found = np.fromfile(self.path, self.dtype, count, offset=self.offset + number * self.block * self.row_bytes)
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; it has to stay where it is while it is read.") from None
        if len(found) < count:
            raise UserError(f"{self.path}: it has become shorter; leave it as it is while it is read.")
        return found.reshape(rows, *self.shape[1:])

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, in their order."""
        return map(self.read, range(self.num_blocks))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Rows by their numbers, ``(rows, *event)``, in that order."""
        order = np.argsort(rows, kind="stable")
        wanted, found = rows[order], np.empty((len(rows), *self.shape[1:]), self.dtype)
        if len(rows) <= _FEW:
            found[order] = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[wanted]
            return found
        starts = np.searchsorted(wanted, np.arange(self.num_blocks + 1) * self.block)
        for number in np.flatnonzero(np.diff(starts)):
            here = slice(starts[number], starts[number + 1])
            found[order[here]] = self.read(int(number))[wanted[here] - number * self.block]
        return found


def stored_in_npy(path: Path) -> Stored | None:
    """The array of a ``.npy``, unless its rows do not stand one behind the other, in this machine's bytes.

    Raises:
        UserError: it is no readable ``.npy``, or holds pickled objects.
    """
    with path.open("rb") as stream:
        return _stored(path, stream, 0, path.stat().st_size)


def stored_in_npz(path: Path, name: str) -> Stored | None:
    """An array of an ``.npz``, unless it is compressed there, or as for :func:`stored_in_npy`."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            return None
    with path.open("rb") as stream:
        stream.seek(member.header_offset + _NAME_LENGTHS)
        lengths = np.frombuffer(stream.read(4), "<u2")  # of the name and of what is added to it
        start = member.header_offset + _NAME_LENGTHS + 4 + int(lengths.sum())
        stream.seek(start)
        return _stored(path, stream, start, start + member.file_size)


_NAME_LENGTHS = 26  # bytes of a zip's local header before them


def _stored(path: Path, stream: io.BufferedReader, start: int, end: int) -> Stored | None:
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except Exception:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable .npy; write it with numpy.save(path, x).") from None
    if dtype.hasobject:
        raise UserError(f"{path}: holds pickled objects, which are never loaded; save number arrays.")
    offset = stream.tell()
    if min(shape, default=0) < 0 or end - offset != math.prod(shape) * dtype.itemsize:
        raise UserError(f"{path}: not a readable .npy (shape {shape}, {dtype}, {end - offset} bytes); write it anew.")
    in_rows = len(shape) > 1 and not fortran and dtype.isnative and 0 not in shape
    return Stored(path, offset, dtype, shape) if in_rows else None
