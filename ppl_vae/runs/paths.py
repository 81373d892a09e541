"""Where commands write: never over anything, and found out before the work is done."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_vae.figures.look.style import rendered
from ppl_vae.predictive.samples import Samples
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import TakenError, make_folder, remove_folder, write_arrays, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def refuse_existing_file(path: Path, setting: str = "out") -> None:
    """Raise a UserError if a file cannot be made at that path, which the setting names."""
    if path.exists():
        raise UserError(f"{path} exists; choose another `{setting}`.")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no folder; make it, or choose another `{setting}`.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path.parent} cannot be written to; choose another `{setting}`.")


def refuse_existing_folder(path: Path) -> None:
    """Raise a UserError if no folder can be made at that path; its parents are made with it."""
    if os.path.lexists(path):
        raise UserError(f"{path} exists; choose another `out`.")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"{nearest} is no folder that can be written to; choose another `out`.")


def refuse_existing_arrays(path: Path) -> None:
    """Raise a UserError if :func:`write_together` cannot write there: no .npz by name, or a file in the way of it or
    of its picture."""
    if path.suffix != ".npz":
        raise UserError(f"`out` {path}: name a file that ends in .npz.")
    for suffix in (".npz", ".png", ".svg"):
        refuse_existing_file(path.with_suffix(suffix))


def numbered(folder: Path, stem: str, *suffixes: str) -> Path:
    """The first of ``stem-1``, ``stem-2``, … in the folder that does not exist yet, under any of the suffixes."""
    number = 1
    while any(os.path.lexists(folder / f"{stem}-{number}{suffix}") for suffix in suffixes or ("",)):
        number += 1
    return folder / f"{stem}-{number}{suffixes[0] if suffixes else ''}"


def write_new(out: Path | None, free: Callable[[], Path], write: Callable[[Path], object]) -> Path:
    """Write to a new place, and return it.

    Args:
        out: where; None for the first place that is free.
        free: names one, see :func:`numbered`.
        write: writes to a place; raises :class:`TakenError` if it has been taken in between.

    Raises:
        TakenError: there is something at ``out``.
        CannotWriteError: it cannot be written.
    """
    while True:
        path = out or free()
        try:
            write(path)
        except TakenError:
            if out:
                raise
        else:
            return path


def write_samples(out: Path | None, free: Callable[[], Path], samples: Samples, title: str) -> Path:
    """Write samples to a new place, and return it: the arrays, beside them their picture, and text or music as such.

    Args:
        out: the ``.npz``; None for the first place that is free.
        free: names one, see :func:`numbered`.
        samples: what was sampled.
        title: what the picture's caption begins with.

    Raises:
        TakenError: there is something at one of the places.
        CannotWriteError: it cannot be written.
    """
    arrays = {name: value.cpu().numpy() for name, value in samples.arrays.items()}
    figure = samples.figure(title)
    return write_new(out, free, lambda path: write_together(path, arrays, figure, samples.files(path.stem)))


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a new picture, PNG and beside it SVG: both or none."""
    _write_all({path.with_suffix(suffix): data for suffix, data in rendered(figure).items()})


def write_together(
    path: Path, arrays: dict[str, np.ndarray], figure: "Figure", files: Mapping[str, bytes] | None = None
) -> None:
    """Write a new ``.npz``, and beside it its picture, PNG and SVG, and other files by name, a folder's among them: all
    of them or, if it is interrupted or fails, none. The ``.npz`` comes first: who has it has the name."""
    pictures = {path.with_suffix(suffix): data for suffix, data in rendered(figure).items()}
    _write_all({path: arrays, **pictures, **{path.parent / name: data for name, data in (files or {}).items()}})


def _write_all(contents: Mapping[Path, bytes | dict[str, np.ndarray]]) -> None:
    """Write new files, those that are not in the first one's folder in new folders: all or none."""
    home = next(iter(contents)).parent
    made: list[Path] = []
    folders: list[Path] = []
    try:
        for file, content in contents.items():
            if file.parent not in (home, *folders):
                if not make_folder(file.parent):
                    raise TakenError(file.parent)
                folders.append(file.parent)
            if isinstance(content, bytes):
                write_bytes(file, content, new=True)
            else:
                write_arrays(file, content, new=True)
            made.append(file)
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        for folder in folders:
            remove_folder(folder)
        raise
