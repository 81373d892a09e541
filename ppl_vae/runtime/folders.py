"""Folders that one process at a time writes: claimed by making them, and locked until the process is done or dead.

The lock is the kernel's, on the folder itself: nothing is left of it when a process ends, however it ends. On a network
disk it may hold between the processes of one machine only; that of two who make a folder only one has made it is true
there too.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import CannotWriteError, TakenError, make_folder, remove_folder, writing


def cache_of(name: str) -> Path:
    """The folder of that name in ours of the user's cache: of what can be made again, and may be deleted any time."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # One that is relative is to be ignored, says the XDG Base Directory Specification.
    return Path(named if named.is_absolute() else Path.home() / ".cache", "ppl_vae", name)


@contextmanager
def in_cache() -> Iterator[None]:
    """A block, or a function, that writes into the user's cache.

    Raises:
        CannotWriteError: it cannot, and how another place is named.
    """
    try:
        yield
    except CannotWriteError as error:
        raise CannotWriteError(
            f"{error} This is the user's cache; XDG_CACHE_HOME names another folder for it."
        ) from None


class InUseError(UserError):
    """Another process is writing into that folder."""


class Claim(NamedTuple):
    """A folder that this process holds.

    Args:
        path: of the folder.
        made: whether this process has made it.
    """

    path: Path
    made: bool

    def discard(self, *names: str) -> None:
        """Remove what this process wrote there; the folder too, if it made it and nothing else is in it."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)
        if self.made:
            remove_folder(self.path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Inside the block no other process gets this folder.

    Raises:
        InUseError: another process has it.
    """
    with writing(path):
        descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claimed(path: Path | None, free: Callable[[], Path], make_way: Callable[[Path], object]) -> Iterator[Claim]:
    """Make a folder that inside the block no other process gets.

    Args:
        path: of the folder; None for the first that is free.
        free: names a folder that is not there.
        make_way: called with a folder by that path which is there already, and held: raises a UserError if it is not to
            be taken.

    Raises:
        InUseError: another process has it.
        TakenError: there is something else than a folder.
        CannotWriteError: it cannot be made.
    """
    while True:
        place = path or free()
        made = make_folder(place, parents=True)
        if not made and not path:
            continue  # somebody was faster
        if not made and not place.is_dir() and os.path.lexists(place):  # a file, or a link that leads nowhere
            make_way(place)
            raise TakenError(place)
        try:
            descriptor = _lock(place)
            break
        except FileNotFoundError:
            continue  # somebody has removed it
        except InUseError:
            if path:
                raise
    try:
        if not made:
            make_way(place)
        yield Claim(place, made)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Lock a folder; the lock goes with the descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InUseError(
                f"{path}: another process is writing there; wait until it has ended, or choose another folder."
            ) from None
        except OSError:
            return descriptor  # a file system without locks: there, who makes the folder has it
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has removed it, and somebody has made another
