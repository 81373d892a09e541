"""What all run directories share: ``config.yaml``, which says what was run with which versions, and pictures."""

import contextlib
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import yaml

from ppl_vae.app.paths import refuse_existing_run, write_atomically
from ppl_vae.config import from_plain, to_plain
from ppl_vae.errors import UserError

_T = TypeVar("_T")


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
        folder.mkdir(exist_ok=True)
        return folder

    @classmethod
    def create(cls, path: Path, record: _T) -> Self:
        """Make the directory and write its ``config.yaml``.

        Raises:
            UserError: there is something at that path, or it cannot be written.
        """
        refuse_existing_run(path)
        run = cls(path, record)
        try:
            path.mkdir(parents=True, exist_ok=True)
            run.write_record()
        except OSError as error:
            raise UserError(f"{path}: cannot write there ({error.strerror}); choose another --out.") from None
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what a directory records.

        Raises:
            UserError: it is no run of this kind, or its ``config.yaml`` is damaged.
        """
        return cls(path, read_record(path, cls.record_type, cls.command))

    def write_record(self) -> None:
        """Write ``config.yaml`` anew."""
        write_atomically(self.path / "config.yaml", yaml.safe_dump(to_plain(self.record), sort_keys=False))

    def discard(self) -> None:
        """Remove what was written of a run that came to nothing; the folder too, unless it holds something else."""
        (self.path / "config.yaml").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()


def is_baseline(path: Path) -> bool:
    """Whether a directory is one of 'ppl-vae baseline', finished or not."""
    try:
        return "baseline" in yaml.safe_load((path / "config.yaml").read_text())
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
    if not file.is_file():
        there = "is no run directory (it has no config.yaml)" if path.exists() else "does not exist"
        raise UserError(f"{path} {there}; name one that '{command}' wrote.")
    try:
        return from_plain(kind, yaml.safe_load(file.read_text()))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"{file}: damaged, it is not YAML; restore it or train again.") from None
    except UserError as error:
        raise UserError(f"{file}: not a configuration of this version of ppl_vae ({error})") from None
