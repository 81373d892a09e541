"""Files are written in one piece or not at all, whatever stops the writing, through no link and over nobody's file."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ppl_vae import figures
from ppl_vae.runtime import checkpoint, files
from ppl_vae.runtime.files import CannotWriteError, TakenError, append_text, make_folder, write_arrays, write_text

LARGE = 300_000

# Everything that writes a file: its name, and how it is written with a content of that size.
WRITERS: dict[str, tuple[str, Callable[[Path, int], Any]]] = {
    "text": ("out.csv", lambda path, size: write_text(path, "x" * size)),
    "arrays": ("out.npz", lambda path, size: write_arrays(path, {"x": np.zeros(size, np.uint8)})),
    "checkpoint": ("out.pt", lambda path, size: checkpoint.save(path, {"w": torch.zeros(size, dtype=torch.uint8)})),
    "figure": ("out.png", lambda path, size: figures.save(_figure(size), path)),
    "frame": ("out.png", lambda path, size: figures.save_frame(_figure(size), path)),
}


# Pictures are written as bytes: what stops those stops them.
SPARED = [pytest.param(kind, marks=[pytest.mark.slow] * (kind in ("figure", "frame"))) for kind in WRITERS]


def _figure(size: int) -> Figure:
    figure = Figure(figsize=(2.0, 2.0))
    figure.add_axes((0, 0, 1, 1)).imshow(np.random.default_rng(0).random((150, 150)) if size == LARGE else [[0.0]])
    return figure


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", WRITERS)
def test_written_and_written_again(tmp_path: Path, kind: str) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, 10)
    before = contents(tmp_path)
    write(tmp_path / name, LARGE)
    after = contents(tmp_path)
    assert set(after) == set(before) == {name} | ({"out.svg"} if kind == "figure" else set())
    assert len(after[name]) > len(before[name])
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask  # as any file of the user's


class Full:
    """A disk that takes so many bytes of every file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, error: BaseException) -> None:
        self.room, self.error = room, error
        opened = open

        def open_(*arguments: Any, **keywords: Any) -> Any:
            file = opened(*arguments, **keywords)
            return _Filling(file, self) if "b" in str(arguments[1:]) and isinstance(arguments[0], int) else file

        monkeypatch.setattr(files, "open", open_, raising=False)


class _Filling:
    def __init__(self, file: Any, disk: Full) -> None:
        self.file, self.disk, self.size = file, disk, 0

    def write(self, data: Any) -> int:
        self.size += memoryview(data).nbytes
        if self.size > self.disk.room:
            raise self.disk.error
        return int(self.file.write(data))

    def __enter__(self) -> "_Filling":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


FAULTS = {
    "full": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device", "make room on that disk"),
    "quota": (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded", "make room on that disk"),
    "broken": (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error", "choose another place"),
}


@pytest.mark.parametrize("room", [0, 1000])
@pytest.mark.parametrize(
    "fault", ["full", *(pytest.param(each, marks=pytest.mark.slow) for each in ("quota", "broken"))]
)
@pytest.mark.parametrize("kind", SPARED)
def test_a_full_disk_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str, room: int
) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, 10)
    before = contents(tmp_path)
    error, what, advice = FAULTS[fault]
    Full(monkeypatch, room, error)
    with pytest.raises(CannotWriteError) as caught:
        write(tmp_path / name, LARGE)
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot write ({what}); {advice}")
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", SPARED)
def test_ctrl_c_in_writing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, 10)
    before = contents(tmp_path)
    Full(monkeypatch, 1000, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, LARGE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.EROFS, os.strerror(errno.EROFS))])
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("kind", SPARED)
def test_nothing_is_left_by_what_was_stopped_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: str, stop: BaseException
) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, 10)
    before = contents(tmp_path)

    def stopped(*_: object) -> None:
        raise stop

    monkeypatch.setattr(*(os, "fsync") if call == "fsync" else (Path, "replace"), stopped)
    with pytest.raises(CannotWriteError if isinstance(stop, OSError) else KeyboardInterrupt):
        write(tmp_path / name, 20)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", WRITERS)
def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path: Path, kind: str) -> None:
    name, write = WRITERS[kind]
    (tmp_path / "precious").write_text("theirs")
    (tmp_path / name).symlink_to(tmp_path / "precious")
    write(tmp_path / name, 10)
    assert (tmp_path / "precious").read_text() == "theirs"
    assert not (tmp_path / name).is_symlink()


def test_partial_files_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that write the same file do not write into each other's; and a link cannot lie in wait."""
    names = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda old, new: (names.append(old.name), replace(old, new)))
    for _ in range(2):
        checkpoint.save(tmp_path / "checkpoint.pt", {"step": 1})
    assert names[0] != names[1]
    assert all(name.startswith("checkpoint.pt.") and name.endswith(".partial") for name in names)


def test_nothing_is_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("theirs")
    (tmp_path / "metrics.csv").symlink_to(tmp_path / "precious")
    with pytest.raises(CannotWriteError, match=r"metrics\.csv: cannot write \(.*\); it is a link; remove it\."):
        append_text(tmp_path / "metrics.csv", "1,2\n")
    assert (tmp_path / "precious").read_text() == "theirs"
    append_text(tmp_path / "precious", "±\n")
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "theirs±\n"


@pytest.mark.parametrize("links", [True, False], ids=["links", "no hard links"])
def test_what_is_to_be_new_is_never_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def link(*_: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", link)
    write_text(tmp_path / "a", "first", new=True)
    with pytest.raises(TakenError, match="a exists"):
        write_text(tmp_path / "a", "second", new=True)
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TakenError, match="b exists"):
        write_text(tmp_path / "b", "second", new=True)
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "a").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_is_made_once(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b", parents=True)
    assert not make_folder(tmp_path / "a" / "b", parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteError, match=r"file/c: cannot write \(Not a directory\)"):
        make_folder(tmp_path / "file" / "c")
