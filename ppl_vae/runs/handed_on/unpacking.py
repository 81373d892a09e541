"""A packed run, of anybody's hands, unpacked into the user's cache: all of it is judged by its list of contents first.

Each archive has a folder of its own there, by the SHA-256 of its bytes, so that it is unpacked once. A folder in
which somebody has changed something stays as it is, and the archive gets another one.
"""

import hashlib
import reprlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path, PurePosixPath

from ppl_vae.runs.handed_on.judging import fault_of
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import make_folder, whole, writing
from ppl_vae.runtime.folders import cache_of, in_cache

MOST_TIMES = 200  # its own size; text of ours shrinks to a tenth
_CHUNK = 2**20
_PLAIN = (0, stat.S_IFREG, stat.S_IFDIR)  # no type at all is what archives of Windows say
_SMALL = 2**20  # bytes, of which nobody asks how small they were packed


@in_cache()
def unpacked(archive: Path) -> Path:
    """The folder of a packed run.

    Args:
        archive: a zip, as :func:`ppl_vae.pack` or any program wrote it of a run directory.

    Returns:
        the run directory, in ``ppl_vae/runs`` of the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache``).

    Raises:
        UserError: it is damaged or holds no run; a name in it leads out of its folder, or is there twice; it holds a
            link or what is no file; it unpacks to more than 4 GiB, 10,000 files or 200 times its size. Nothing of it is
            unpacked then.
    """
    with _reading(archive), zipfile.ZipFile(archive) as packed:
        entries = _judged(archive, packed.infolist())
        top = _top(archive, entries)
        home = cache_of("runs")
        make_folder(home, parents=True)
        digest = _digest(archive)[:32]
        for number in count(1):
            place = home / (digest if number == 1 else f"{digest}-{number}")
            if not place.exists():
                _unpack(packed, entries, place)
            if _is_as_packed(place, entries):
                return place / top
    raise AssertionError  # one of them is free


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Whatever reading an archive raises becomes one line."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{archive}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # a damaged archive can raise anything
        raise UserError(f"{archive}: no packed run, or a damaged one ({reason(error)}); have it sent again.") from None


def _judged(archive: Path, entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The files of an archive, every one of which may be unpacked."""

    def refused(why: str) -> UserError:
        return UserError(f"{archive}: refused, {why}; have it packed anew by 'ppl-vae pack'.")

    # Of a zip that is cut off, zipfile reads an archive inside it: a checkpoint is one.
    if entries and min(entry.header_offset for entry in entries) > 0:
        raise UserError(f"{archive}: damaged, its beginning or its end is missing; have it sent again.")
    if fault := fault_of([(entry.filename, entry.file_size) for entry in entries]):
        raise refused(fault)
    if sum(entry.file_size for entry in entries) > max(_SMALL, MOST_TIMES * archive.stat().st_size):
        raise refused(f"it unpacks to more than {MOST_TIMES} times its size")
    for entry in entries:
        name = reprlib.repr(entry.filename)
        if stat.S_IFMT(entry.external_attr >> 16) not in _PLAIN:
            raise refused(f"{name} in it is a link or no file")
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refused(f"{name} in it is encrypted, or packed in a way that runs are not")
    return [entry for entry in entries if not entry.is_dir()]


def _top(archive: Path, files: list[zipfile.ZipInfo]) -> str:
    """The folder of an archive that is the run: its only one with a record, which may be all of it."""
    records = [
        entry.filename.rpartition("/")[0] for entry in files if PurePosixPath(entry.filename).name == "config.yaml"
    ]
    tops = [folder for folder in records if "/" not in folder]
    if len(tops) != 1:
        what = "no run" if not tops else "several runs"
        raise UserError(
            f"{archive} holds {what} (by its files config.yaml); name an archive that 'ppl-vae pack' wrote."
        )
    return tops[0]


def _digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(packed: zipfile.ZipFile, files: list[zipfile.ZipInfo], place: Path) -> None:
    """Unpack all of them into a new folder, which is there when it is whole; somebody may have been faster."""
    with writing(place):
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=place.parent))
    try:
        for entry in files:
            target = partial / entry.filename
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(entry) as found, whole(target, new=True) as file:
                shutil.copyfileobj(found, file, _CHUNK)  # no more than it has said, which zipfile sees to
        try:
            partial.rename(place)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_as_packed(place: Path, files: list[zipfile.ZipInfo]) -> bool:
    """Whether what was unpacked is there as it was."""
    return all(_checksum(place / entry.filename, entry.file_size) == entry.CRC for entry in files)


def _checksum(file: Path, size: int) -> int | None:
    if not file.is_file() or file.stat().st_size != size:
        return None
    found = 0
    with file.open("rb") as contents:
        while chunk := contents.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    return found
