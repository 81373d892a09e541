"""Writing files: in one piece or not at all, through no link, and never silently over what somebody else has made.

A file is written beside its place, under a name that nobody else has, and takes its place when it is whole and on the
disk. Whatever stops the writing, the name holds what it held before and nothing else is left.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ppl_vae.runtime.errors import UserError, as_given, reason

_ADVICE = {
    errno.ENOSPC: "make room on that disk, or write elsewhere.",
    errno.EDQUOT: "make room on that disk, or write elsewhere.",
    errno.ELOOP: "it is a link; remove it.",
}
# Of file systems that have no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)


class CannotWriteError(UserError):
    """The disk is full, read-only, or somebody else's."""


class TakenError(UserError):
    """There is something by that name already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists; choose another name.")


def path_given(setting: str, path: object) -> Path:
    """The path that somebody has given.

    Args:
        setting: its name, for the message.
        path: as it was given.

    Raises:
        UserError: it is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"`{setting}` is {as_given(path)}; give a path, as text or as a pathlib.Path.")
    return Path(os.fsdecode(path))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block that writes there; an ``OSError`` in it is raised as what it is to the user.

    Raises:
        CannotWriteError: the file's name, what is wrong, and what to do.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another place, or see who may write there.")
        raise CannotWriteError(f"{path}: cannot write ({error.strerror or reason(error)}); {advice}") from None


@contextmanager
def whole(path: Path, *, new: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which takes that place when the block ends.

    Args:
        path: replaced if it is there; a link is, and not what it leads to.
        new: leave what is there.

    Raises:
        CannotWriteError: it cannot be written.
        TakenError: it is to be new and is not.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(6)}.partial")
    with writing(path):
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with open(os.open(partial, flags, 0o666), "wb") as file:  # noqa: PTH123  # a descriptor has no path
                yield file
                file.flush()
                os.fsync(file.fileno())  # a power cut after the renaming must not leave the new name on an empty file
            if new:
                _settle(partial, path)
            else:
                partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _settle(partial: Path, path: Path) -> None:
    """Give a file its name if that is free: in one step, so that of two who ask one gets it."""
    try:
        try:
            os.link(partial, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            partial.replace(path)
    except FileExistsError:
        raise TakenError(path) from None


def write_bytes(path: Path, data: bytes, *, new: bool = False) -> None:
    """Write a file; see :func:`whole`."""
    with whole(path, new=new) as file:
        file.write(data)


def write_text(path: Path, text: str, *, new: bool = False) -> None:
    """Write a text file, UTF-8, with the bytes of paths that are no characters as they are; see :func:`whole`."""
    write_bytes(path, text.encode(errors="surrogateescape"), new=new)


def write_arrays(path: Path, arrays: dict[str, np.ndarray], *, new: bool = False) -> None:
    """Write an ``.npz``; see :func:`whole`."""
    with whole(path, new=new) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes the arrays for its own flags


def append_text(path: Path, text: str) -> None:
    """Add to a text file, which is made if need be.

    Raises:
        CannotWriteError: it cannot be written, or is a link.
    """
    with writing(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o666), "ab") as file:  # noqa: PTH123  # a descriptor has no path
            file.write(text.encode())


def make_folder(path: Path, *, parents: bool = False) -> bool:
    """Make a folder, and say whether it was made: of several who ask at once one is told so.

    Args:
        path: of the folder.
        parents: make those above it too.

    Raises:
        CannotWriteError: it cannot be made.
    """
    with writing(path):
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            return False
        return True


def remove_folder(path: Path) -> None:
    """Remove a folder unless it holds something."""
    with suppress(OSError):
        path.rmdir()
