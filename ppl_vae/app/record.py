"""``config.yaml``: what was run, with which versions."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import yaml

from ppl_vae.app.paths import refuse_existing_run, write_atomically
from ppl_vae.config import from_plain, to_plain
from ppl_vae.errors import UserError

_T = TypeVar("_T")

BASELINE = "baseline.npz"
"""The file that a baseline's run directory has and no other."""


def versions(*more: str) -> dict[str, str]:
    """Of Python and of the packages that everything here rests on, and of more by name."""
    packages = ("ppl_vae", "torch", "pyro-ppl", "numpy", *more)
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def begin_run(path: Path, record: object) -> None:
    """Make a run directory and write its ``config.yaml``.

    Raises:
        UserError: there is something at that path, or it cannot be written.
    """
    refuse_existing_run(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_record(path, record)
    except OSError as error:
        raise UserError(f"{path}: cannot write there ({error.strerror}); choose another --out.") from None


def write_record(path: Path, record: object) -> None:
    """Write ``config.yaml`` of the run directory ``path`` anew."""
    write_atomically(path / "config.yaml", yaml.safe_dump(to_plain(record), sort_keys=False))


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
