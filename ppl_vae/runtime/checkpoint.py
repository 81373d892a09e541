"""Checkpoints: written in one piece or not at all, read without ever running code from the file.

The part that is of use without the rest, the weights, may go into a file of safetensors beside it; the two are one all
the same. The rest is written first, whole, under the name of the checkpoint and ``.next``. Then the weights take their
place: at that moment the new checkpoint is there, and not before. Last the rest takes its own place. Each names the
digest of its weights, so that whoever reads after a kill takes of the two the one whose weights are there.
"""

import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from ppl_vae.runtime import weights
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import CannotWriteError, whole, writing
from ppl_vae.runtime.untrusted import Found

State = dict[str, Any]

# In every file of ours, so that anybody else's is known at once: all in one file, or a part beside it. Raise them when
# the layout changes.
_FORMAT = "ppl_vae checkpoint 1"
_FORMAT_APART = "ppl_vae checkpoint 2"
_TRIES = 5  # of reading two files of which another process writes new ones


class Apart(NamedTuple):
    """The part of a state that goes into a file of its own.

    Args:
        file: the safetensors, in the checkpoint's folder; replaced if it exists.
        at: the keys of the state that lead to the part.
        names: of its dictionaries of tensors: that at ``"x"`` of ``names`` is ``names.x`` in the file.
    """

    file: Path
    at: tuple[str, ...]
    names: tuple[str, ...]


def next_to(path: Path) -> Path:
    """Where a checkpoint is whole before its weights are there."""
    return path.with_name(f"{path.name}.next")


def save(path: Path, state: State, apart: Apart | None = None) -> None:
    """Write a checkpoint atomically: a crash at any moment leaves the old one or the new one, both whole.

    Args:
        path: replaced if it exists.
        state: tensors, numbers, strings, None, and lists and dictionaries of them.
        apart: what of it goes into another file; what safetensors cannot hold of that stays.

    Raises:
        CannotWriteError: the disk is full, say; the old one stays.
    """
    if apart is None:
        _write(path, {**state, "format": _FORMAT})
        return
    part, rest = _parted(state, apart)
    part = weights.on_cpu(part)
    digest = weights.digest_of(part)
    told = {"file": apart.file.name, "at": list(apart.at), "digest": digest}
    _write(next_to(path), {**rest, "format": _FORMAT_APART, "apart": told})
    try:
        weights.write(apart.file, part, digest)
    except CannotWriteError:
        next_to(path).unlink(missing_ok=True)
        raise
    with writing(path):
        next_to(path).replace(path)


def _write(path: Path, state: State) -> None:
    with whole(path) as file:
        held = _Held(file)
        torch.save(state, held)  # type: ignore[arg-type]  # it asks for these two methods only
        if held.error:
            raise held.error


def _parted(state: State, apart: Apart) -> tuple[dict[str, Tensor], State]:
    """What goes into the other file, and the state without it; the state itself stays as it is."""
    rest = holder = dict(state)
    for key in apart.at:
        holder[key] = dict(holder[key])
        holder = holder[key]
    part: dict[str, Tensor] = {}
    for name in apart.names:
        part |= {f"{name}.{key}": value for key, value in holder[name].items() if weights.can_hold(value)}
        holder[name] = {key: value for key, value in holder[name].items() if not weights.can_hold(value)}
    return part, rest


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

    Returns:
        what was saved, wherever the parts of it stand.

    Raises:
        UserError: missing, damaged, not one of ours, or holding anything but plain data.
    """
    return _joined(path, lambda file: _load(file, device), lambda file: weights.read(file, device))


def outline(path: Path) -> State:
    """Read a checkpoint without the contents of its tensors: these are on the meta device, with shapes and types.

    Raises:
        UserError: as :func:`load`, as far as it can be seen.
    """
    return _joined(path, _outline, weights.outline)


def _load(path: Path, device: torch.device | str) -> State:
    with _reading(path):
        with zipfile.ZipFile(path) as archive:
            _refuse_bombs(path, archive)
            damaged = archive.testzip()  # torch does not look at the checksums
        if damaged is not None:
            raise UserError(f"{path}: damaged checkpoint ({damaged} has changed); restore it or train again.")
        return _state(path, device)


def _outline(path: Path) -> State:
    with _reading(path):
        with zipfile.ZipFile(path) as archive:
            _refuse_bombs(path, archive)
        return _state(path, "meta")


_ReadPart = Callable[[Path], tuple[dict[str, Tensor], str]]


def _joined(path: Path, read: Callable[[Path], State], read_part: _ReadPart) -> State:
    """A checkpoint with the part of it that is in another file."""
    for _ in range(_TRIES):
        for file in (next_to(path), path):
            try:
                state = _with_part(file, read(file), read_part)
            except UserError:
                if file == path or file.exists():
                    raise
                continue  # it is not there, or no longer: it has taken its place
            if state:
                return state
    raise UserError(
        f"{path} and the weights beside it are not of the same moment, or these are missing or damaged; restore both, "
        "or train again."
    )


def _with_part(file: Path, state: State, read_part: _ReadPart) -> State | None:
    """A state with its part; None if what is there is not its own."""
    if "apart" not in state:
        return state
    found = Found(file, state).entry("apart").entries(("file", "at", "digest"))
    beside = file.with_name(_plain_name(found["file"]))
    if not beside.is_file():
        return None
    with _reading(beside):
        part, digest = read_part(beside)
    return _put_together(state, found["at"], part, beside) if digest == found["digest"].value else None


def _plain_name(found: Found) -> str:
    name = found.value
    if not isinstance(name, str) or Path(name).name != name or name in ("", "..") or "\0" in name:
        raise found.wrong("not the name of a file beside it")
    return name


def _put_together(state: State, at: Found, part: dict[str, Tensor], beside: Path) -> State:
    state.pop("apart")
    holder = Found(at.path, state)
    for step in at.items():
        holder = holder.entry(str(step.value))
    for full_name, tensor in part.items():
        name, _, key = full_name.partition(".")
        inside = holder.entry(name)
        if key in inside.mapping():
            raise UserError(f"{beside}: '{full_name}' is in {at.path.name} too; restore both, or train again.")
        inside.value[key] = tensor  # type: ignore[index]  # a dictionary, as it has just said
    return state


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
    known = {_FORMAT: False, _FORMAT_APART: True}
    if not isinstance(state, dict) or known.get(state.get("format")) is not ("apart" in state):  # type: ignore[arg-type]
        raise UserError(
            f"{path}: not a checkpoint of this version of ppl_vae; train again, or use the version that wrote it."
        )
    return state
