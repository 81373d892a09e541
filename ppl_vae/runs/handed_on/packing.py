"""A run directory packed into one file, and what it needs beside that."""

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ppl_vae.data.sources import names_file
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.runs.handed_on.address import address_of
from ppl_vae.runs.handed_on.fetching import fetched
from ppl_vae.runs.handed_on.judging import MOST_BYTES, MOST_FILES
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runs.run import Run
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import path_given, whole
from ppl_vae.runtime.folders import locked

_CHUNK = 2**20
_BEGAN = (1980, 1, 1, 0, 0, 0)  # a zip's first moment: the same run gives the same bytes
_TEXT = (".yaml", ".csv", ".json", ".md", ".html", ".svg", ".txt")  # what is worth packing smaller


class Packed(NamedTuple):
    """A packed run.

    Args:
        path: of the zip.
        num_files: in it.
        needs: what it needs beside it, each in words: its data, its pair's own code.
    """

    path: Path
    num_files: int
    needs: tuple[str, ...]

    def __str__(self) -> str:
        size = self.path.stat().st_size / 1e6
        lines = [
            f"packed   {self.path} ({self.num_files} files, {size:.1f} MB)",
            *(f"needs    {each}" for each in self.needs),
        ]
        return "\n".join(lines)


def pack(run: OpenedRun | Path | str, to: Path | str | None = None) -> Packed:
    """Pack a run directory into a zip that :func:`ppl_vae.open` takes anywhere, and any other program.

    All its files are in it, in one folder of the run's name, but for those half-written. The same run gives the same
    bytes.

    Args:
        run: a run that is open, the path of its directory, or its address on the Hub.
        to: the zip to make, outside the run; by default the directory's name and ``.zip``, beside it, of a run on the
            Hub here.

    Returns:
        where it is, and what it needs beside it.

    Raises:
        UserError: it is no run, or damaged; another process writes in it; there is a link in it; it is larger than what
            :func:`ppl_vae.open` unpacks; ``to`` does not end in ``.zip`` or is inside the run, or there is something.
    """
    if to is not None and address_of(to):
        raise UserError("`pack` writes a zip; ppl_vae.push_to_hub(run, 'OWNER/NAME') takes a run to the Hub.")
    with handed_on(run) as (found, files):
        folder = found.path.resolve()
        beside = Path() if not isinstance(run, OpenedRun) and address_of(run) else _beside(found.path)
        path = beside / f"{folder.name}.zip" if to is None else path_given("to", to)
        _refuse_place(path, folder)
        with whole(path, new=True) as out, zipfile.ZipFile(out, "w") as archive:
            for file in files:
                entry = zipfile.ZipInfo(f"{folder.name}/{file.relative_to(found.path).as_posix()}", _BEGAN)
                entry.compress_type = zipfile.ZIP_DEFLATED if file.suffix in _TEXT else zipfile.ZIP_STORED
                entry.external_attr = 0o100644 << 16
                entry.file_size = file.stat().st_size  # from 2 GiB on its header is another one
                with file.open("rb") as content, archive.open(entry, "w") as packed:
                    shutil.copyfileobj(content, packed, _CHUNK)
        return Packed(path, len(files), needs_of(found))


@contextmanager
def handed_on(run: OpenedRun | Path | str) -> Iterator[tuple[Run, list[Path]]]:
    """Inside the block, a run that nobody writes into, and those of its files that are handed on.

    Args:
        run: a run that is open, the path of its directory, or its address on the Hub.

    Raises:
        UserError: see :func:`pack`.
    """
    if isinstance(run, OpenedRun):
        found = run.run
    else:
        address = address_of(run)
        found = Run.open(fetched(address) if address else path_given("run", run))
    with locked(found.path):
        checkpoint.outline(found.checkpoint)  # or it is no use to anybody
        yield found, _files(found.path)


def _beside(run: Path) -> Path:
    """The folder that a run's is in, as near as can be to how the run was named."""
    return run.resolve().parent if run.name in ("", "..") else run.parent


def _refuse_place(path: Path, run: Path) -> None:
    if path.suffix != ".zip":
        raise UserError(f"`to` {path}: name a file that ends in .zip, by which ppl_vae.open knows a packed run.")
    if path.parent.resolve().is_relative_to(run):
        raise UserError(f"`to` {path} is inside the run, which would be packed with it next time; name another place.")


def _files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if not file.is_dir() or file.is_symlink())
    for file in files:
        if file.is_symlink() or not file.is_file():
            raise UserError(f"{file} is a link or no file, and cannot be packed; put the file itself there.")
    files = [file for file in files if file.suffix != ".partial"]
    if len(files) > MOST_FILES or sum(file.stat().st_size for file in files) > MOST_BYTES:
        raise UserError(
            f"{folder} holds more than {MOST_FILES:,} files or {MOST_BYTES // 2**30} GiB, which nobody would unpack; "
            "take out what is not needed to open it."
        )
    return files


def needs_of(run: Run) -> tuple[str, ...]:
    """What a run needs beside its folder, each in words: the code of a user's own pair, its data."""
    data = run.record.config.data.data
    needs = [f"the code in {file}; without it the run does not open" for file in run.record.files]
    if names_file(data):
        needs.append(f"its data, {data}, for what looks at data: say by `data` where that is")
    elif data in NAMES:
        needs.append(f"{data} for what looks at data: say by `data_root` where that is")
    return tuple(needs)
