"""Where commands write: never over anything, and found out before the work is done."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ppl_vae.errors import UserError
from ppl_vae.figures import save


def refuse_existing_run(path: Path) -> None:
    """Raise a UserError if there is anything at that path but an empty folder, or a run without a checkpoint."""
    if (path / "checkpoint.pt").exists():
        raise UserError(
            f"{path} holds a run already; go on with it by 'ppl-vae train --resume {path}', or choose another --out."
        )
    # A run that was killed before its first checkpoint has learned nothing: it does not stand in the way.
    begun = {"config.yaml", "metrics.csv"}
    if path.exists() and not (path.is_dir() and all(entry.name in begun for entry in path.iterdir())):
        raise UserError(f"{path} exists and is not empty; choose another --out.")


def refuse_existing_file(path: Path) -> None:
    """Raise a UserError if a file cannot be made at that path."""
    if path.exists():
        raise UserError(f"{path} exists; choose another --out.")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder; make it, or choose another --out.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path.parent} cannot be written to; choose another --out.")


def refuse_existing_arrays(path: Path) -> None:
    """Raise a UserError if :func:`write_together` cannot write there: no .npz by name, or a file in the way of it or
    of its picture."""
    if path.suffix != ".npz":
        raise UserError(f"--out {path}: name a file that ends in .npz.")
    for suffix in (".npz", ".png", ".svg"):
        refuse_existing_file(path.with_suffix(suffix))


def numbered(folder: Path, stem: str, *suffixes: str) -> Path:
    """The first of ``stem-1``, ``stem-2``, … in the folder that does not exist yet, under any of the suffixes."""
    number = 1
    while any((folder / f"{stem}-{number}{suffix}").exists() for suffix in suffixes or ("",)):
        number += 1
    return folder / f"{stem}-{number}{suffixes[0] if suffixes else ''}"


def write_together(
    path: Path, arrays: dict[str, np.ndarray], figure: Figure, files: Mapping[str, bytes] | None = None
) -> None:
    """Write an ``.npz``, and beside it its picture, PNG and SVG, and other files by name, a folder's among them: all
    of them or, if it is interrupted or fails, none."""
    beside = [path.parent / name for name in files or ()]
    try:
        for file, data in zip(beside, (files or {}).values(), strict=True):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)
        save(figure, path.with_suffix(".png"))
        write_arrays(path, arrays)
    except BaseException:
        for file in (path.with_suffix(".png"), path.with_suffix(".svg"), *beside):
            file.unlink(missing_ok=True)
        for folder in {file.parent for file in beside} - {path.parent}:
            folder.rmdir()
        raise


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an ``.npz`` in one piece or not at all."""
    partial = _partial(path)
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes the arrays for its own flags
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file in one piece or not at all."""
    partial = _partial(path)
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    """A name beside it that is nobody else's."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")
