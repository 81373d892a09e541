"""What all run directories share: ``config.yaml``, which says what was run with which versions, and pictures."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import yaml

from ppl_vae.runs.handed_on.address import address_of
from ppl_vae.runs.leftovers import clear, has_learned, refuse_existing_run
from ppl_vae.runs.migration import migrated, with_format
from ppl_vae.runs.paths import numbered
from ppl_vae.runtime.config import from_plain, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import make_folder, write_text
from ppl_vae.runtime.folders import claimed
from ppl_vae.runtime.processes import LostContactError

_T = TypeVar("_T")
_LONGEST_RECORD = 2**20  # the names of ten thousand classes are a quarter of it


def versions(*more: str) -> dict[str, str]:
    """Of Python and of the packages that everything here rests on, and of more by name."""
    packages = ("ppl_vae", "torch", "pyro-ppl", "numpy", *more)
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


@dataclass(frozen=True)
class RunDirectory(Generic[_T]):
    """A run directory; its kinds say what they record, and which command writes them.

    Args:
        path: where it is.
        record: what it records.
    """

    record_type: ClassVar[type[Any]]
    command: ClassVar[str]

    path: Path
    record: _T

    @property
    def figures(self) -> Path:
        """The folder of pictures, made if need be."""
        folder = self.path / "figures"
        make_folder(folder)
        return folder

    @classmethod
    @contextmanager
    def created(cls, record: _T, path: Path | None, stem: str = "run") -> Iterator[Self]:
        """Make the directory and write its ``config.yaml``; inside the block no other process writes there. What ends
        by an error before anything has been learned leaves nothing behind.

        Args:
            record: what it records.
            path: where; None for the first of ``runs/STEM-1``, ``runs/STEM-2``, … that is free.
            stem: of the name.

        Raises:
            UserError: there is something at that path, or it cannot be written.
        """
        text = cls.text_of(record)

        def make_way(there: Path) -> None:
            refuse_existing_run(there, text)
            clear(there)

        with claimed(path, lambda: numbered(Path("runs"), stem), make_way) as claim:
            run, process = cls(claim.path, record), os.getpid()
            try:
                run.write_record()
                yield run
            except BaseException as error:
                stopped = isinstance(error, LostContactError | KeyboardInterrupt)  # which say how to go on
                begun = stopped and (claim.path / "checkpoint.pt").exists()
                mine = os.getpid() == process  # and not one that a program of the user has forked
                if mine and not (begun or has_learned(claim.path)):
                    clear(claim.path)
                    claim.discard()
                raise

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Read what a directory records.

        Raises:
            UserError: it is no run of this kind, or its ``config.yaml`` is damaged.
        """
        path = Path(path)
        return cls(path, read_record(path, cls.record_type, cls.command))

    def write_record(self) -> None:
        """Write ``config.yaml`` anew."""
        write_text(self.path / "config.yaml", self.text_of(self.record))

    @classmethod
    def text_of(cls, record: _T) -> str:
        """A record as it is written."""
        return yaml.safe_dump(with_format(cls.plain(record)), sort_keys=False)

    @classmethod
    def plain(cls, record: _T) -> dict[str, Any]:
        """A record as numbers, words, lists and dictionaries of them."""
        return to_plain(record)


def _is_short(file: Path) -> bool:
    """Whether a record can be one of ours, by its size; YAML takes minutes and gigabytes for tens of megabytes."""
    return file.stat().st_size <= _LONGEST_RECORD


def is_baseline(path: Path) -> bool:
    """Whether a directory is one of 'ppl-vae baseline', finished or not."""
    file = path / "config.yaml"
    try:
        return file.is_file() and _is_short(file) and "baseline" in yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError):
        return False  # whoever reads it will say what is wrong


def read_record(path: Path, kind: type[_T], command: str) -> _T:
    """Read what a directory records.

    Args:
        path: the run directory.
        kind: the record's dataclass.
        command: that writes such directories, for the messages.

    Raises:
        UserError: it is no run, or its ``config.yaml`` is damaged.
    """
    file = path / "config.yaml"
    if path.suffix == ".zip" and path.is_file():
        raise UserError(f"{path} is packed, and what writes in a run needs its folder; unzip it, and name that.")
    if address := address_of(path):
        raise UserError(
            f"{address} is on the Hub, and what writes in a run needs its folder; pack it (ppl-vae pack {address}), "
            "unzip that, and name its folder."
        )
    if not file.is_file():
        there = "is no run directory (it has no config.yaml)" if path.exists() else "does not exist"
        raise UserError(f"{path} {there}; name one that '{command}' wrote.")
    if not _is_short(file):
        raise UserError(f"{file}: damaged, it is too long for a record; restore it or train again.")
    try:
        return from_plain(kind, migrated(yaml.safe_load(file.read_text())))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"{file}: damaged, it is not YAML; restore it or train again.") from None
    except UserError as error:
        raise UserError(f"{file}: not a configuration of this version of ppl_vae ({error})") from None
