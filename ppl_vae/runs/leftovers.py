"""What a run that came to nothing leaves: it does not stand in the way of another, which clears it away."""

import os
import re
from fnmatch import fnmatch
from pathlib import Path

import yaml

from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import remove_folder, writing

_RECORD = "config.yaml"
_FILES = (
    *("checkpoint.pt", "checkpoint.pt.next", "model.safetensors", "baseline.npz"),
    *("metrics.csv", "metrics.json", "samples.npz"),
)
_DRAWN = tuple(
    f"{stem}.{kind}" for stem in ("samples", "classes", "components", "confusion") for kind in ("png", "svg")
)
_FOLDERS = {"film": ("step-*",), "tensorboard": ("events.out.tfevents.*",), "figures": _DRAWN}


def refuse_existing_run(path: Path, record: str | None = None) -> None:
    """See that a run can be made at that path: nothing is there, or an empty folder, or a run that came to nothing.

    Args:
        path: of the run.
        record: what is to be its ``config.yaml``, where that is known: a baseline that was stopped in its pictures is
            made anew by the same command, and by no other.

    Raises:
        UserError: there is something else.
    """
    if _is_trained(path):
        raise UserError(
            f"{path} holds a run already; go on with it by 'ppl-vae train --resume {path}', or choose another `out`."
        )
    if (path / "baseline.npz").exists():
        other = record is not None and _text(path / _RECORD) != record
        if other or (path / "report.html").exists():
            raise UserError(f"{path} holds a baseline already; choose another `out`.")
    if os.path.lexists(path) and _leftovers(path) is None:
        raise UserError(f"{path} exists and is not empty; choose another `out`.")


def has_learned(path: Path) -> bool:
    """Whether a run directory has weights from after the first step, or a classifier."""
    return (path / "baseline.npz").exists() or _is_trained(path)


def _is_trained(path: Path) -> bool:
    """Whether there is a checkpoint from after the first step. A damaged one is somebody's too."""
    file = path / "checkpoint.pt"
    if not file.exists():
        return False
    try:
        state = checkpoint.outline(file)
        return bool(state["history"]) or state["step"] != 0
    except Exception:  # a file of other hands can hold anything
        return True


def clear(path: Path) -> None:
    """Remove what a run that came to nothing has left in a folder which this process holds.

    Raises:
        CannotWriteError: it cannot be removed.
    """
    for entry in _leftovers(path) or ():
        with writing(entry):
            entry.unlink(missing_ok=True)
    for name in _FOLDERS:
        remove_folder(path / name)


def clear_partials(path: Path) -> None:
    """Remove the half-written files of a process that was killed in a run which this process holds."""
    for entry in path.glob("*.partial"):
        if _is_partial(entry.name):
            with writing(entry):
                entry.unlink(missing_ok=True)


def _leftovers(path: Path) -> list[Path] | None:
    """The files of a run that came to nothing, the record last: a folder that still has one is known for a run's; None
    if there is anything else."""
    if not path.is_dir():
        return None
    found: list[Path] = []
    for entry in path.iterdir():
        known = _FOLDERS.get(entry.name)
        if entry.is_dir() and not entry.is_symlink() and known:
            inside = list(entry.iterdir())
            if not all(any(fnmatch(_whole_name(file.name), name) for name in known) for file in inside):
                return None
            found += inside
        elif entry.name in (*_FILES, _RECORD) or _is_partial(entry.name):
            found.append(entry)
        else:
            return None
    # Without a record of ours they may be anybody's; what is half-written comes before the record.
    if not _is_record(path / _RECORD) and not all(_is_partial(file.name) for file in found):
        return None
    return sorted(found, key=lambda file: file.name == _RECORD)


def _whole_name(name: str) -> str:
    """What a half-written file was to be called; of any other its name."""
    return re.sub(r"(\.[0-9a-f]{12})?\.partial$", "", name)


def _is_partial(name: str) -> bool:
    whole = _whole_name(name)
    return whole != name and whole in (*_FILES, _RECORD, "report.html", "README.md", "film.gif")


def _is_record(file: Path) -> bool:
    try:
        return "ppl_vae" in yaml.safe_load(_text(file))["versions"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
