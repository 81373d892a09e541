"""Checkpoints: written in one piece or not at all, read without ever running code from the file."""

import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import whole

State = dict[str, Any]

# In every file of ours, so that anybody else's is known at once. Raise it when the layout changes.
_FORMAT = "ppl_vae checkpoint 1"


def save(path: Path, state: State) -> None:
    """Write a checkpoint atomically: a crash at any moment leaves the old file or the new one, both whole.

    Args:
        path: replaced if it exists.
        state: tensors, numbers, strings, None, and lists and dictionaries of them.

    Raises:
        CannotWriteError: the disk is full, say; the old file stays.
    """
    with whole(path) as file:
        held = _Held(file)
        torch.save({**state, "format": _FORMAT}, held)  # type: ignore[arg-type]  # it asks for these two methods only
        if held.error:
            raise held.error


class _Held:
    """A file whose errors wait until the serializer has ended: what is raised through it comes out as its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: BaseException | None = None

    def write(self, data: bytes | memoryview) -> int:
        try:
            if not self.error:
                self.file.write(data)
        except BaseException as error:
            self.error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """The file is flushed when it is whole."""


def load(path: Path, device: torch.device | str = "cpu") -> State:
    """Read a checkpoint.

    Args:
        path: written by :func:`save`.
        device: where its tensors go.

    Raises:
        UserError: missing, damaged, not one of ours, or holding anything but plain data.
    """
    with _reading(path):
        with zipfile.ZipFile(path) as archive:
            _refuse_bombs(path, archive)
            damaged = archive.testzip()  # torch does not look at the checksums
        if damaged is not None:
            raise UserError(f"{path}: damaged checkpoint ({damaged} has changed); restore it or train again.")
        return _state(path, device)


def outline(path: Path) -> State:
    """Read a checkpoint without the contents of its tensors: these are on the meta device, with shapes and types.

    Raises:
        UserError: as :func:`load`, as far as it can be seen.
    """
    with _reading(path):
        with zipfile.ZipFile(path) as archive:
            _refuse_bombs(path, archive)
        return _state(path, "meta")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever reading a file raises that is no checkpoint of ours becomes one line."""
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint there; name a run directory that 'ppl-vae train' wrote.")
    refused = UserError(f"{path}: refused, it holds Python objects that could run code; it is no checkpoint of ours.")
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except pickle.UnpicklingError:
        raise refused from None
    except Exception as error:  # a damaged file can raise anything
        if "weights_only" in str(error):  # torch's advice to run the code
            raise refused from None
        raise UserError(f"{path}: damaged checkpoint ({reason(error)}); restore it or train again.") from None


def _refuse_bombs(path: Path, archive: zipfile.ZipFile) -> None:
    """See that a file cannot unpack to more than itself: torch stores what it writes as it is."""
    entries = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UserError(f"{path}: refused, it unpacks to more than its size; it is no checkpoint of ours.")
    for entry in entries:
        # The one object besides tensors that torch's reader makes as large as it is told to.
        if entry.filename.endswith(".pkl") and b"\nbytearray\n" in archive.read(entry):
            raise UserError(f"{path}: refused, it holds objects that no checkpoint of ours does.")


def _state(path: Path, device: torch.device | str) -> State:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols that we do not write
        state = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise UserError(
            f"{path}: not a checkpoint of this version of ppl_vae; train again, or use the version that wrote it."
        )
    return state
