"""Where commands write: never over anything, and found out before the work is done."""

import os
from pathlib import Path

from ppl_vae.errors import UserError


def refuse_existing_run(path: Path) -> None:
    """Raise a UserError if there is anything at that path but an empty folder."""
    if (path / "config.yaml").exists():
        raise UserError(
            f"{path} holds a run already; go on with it by 'ppl-vae train --resume {path}', or choose another --out."
        )
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} exists and is not empty; choose another --out.")


def refuse_existing_file(path: Path) -> None:
    """Raise a UserError if a file cannot be made at that path."""
    if path.exists():
        raise UserError(f"{path} exists; choose another --out.")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder; make it, or choose another --out.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path.parent} cannot be written to; choose another --out.")


def numbered(folder: Path, stem: str, suffix: str = "") -> Path:
    """The first of ``stem-1``, ``stem-2``, … in the folder that does not exist yet."""
    number = 1
    while (folder / f"{stem}-{number}{suffix}").exists():
        number += 1
    return folder / f"{stem}-{number}{suffix}"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in one piece or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)
