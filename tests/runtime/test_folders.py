"""A folder is claimed by who makes it, and is another's only when that process is done or dead."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ppl_vae import UserError
from ppl_vae.runtime.files import TakenError
from ppl_vae.runtime.folders import InUseError, cache_of, claimed, locked

# What :func:`locked` does, in a process that has not to import torch.
HOLD = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
time.sleep(600)
"""


def never() -> Path:
    raise AssertionError("a place is named")


def refuse(path: Path) -> None:
    raise UserError(f"{path} is in the way")


def test_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InUseError, match="another process is writing there; wait"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InUseError), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with locked(tmp_path):
        pass


def test_the_next_number_where_somebody_is_faster(tmp_path: Path) -> None:
    """Both have seen that run-1 is free; or it is made, and held before its maker can."""
    asked: list[int] = []

    def free() -> Path:
        asked.append(1)
        place = tmp_path / f"run-{len(asked)}"
        if len(asked) == 1:
            place.mkdir()
            (place / "theirs").touch()
        return place

    with claimed(None, free, refuse) as claim:
        assert claim == (tmp_path / "run-2", True)
    assert (tmp_path / "run-1" / "theirs").exists()


def test_a_named_folder(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "run"
    with claimed(place, never, refuse) as claim:
        assert claim == (place, True)
        with pytest.raises(InUseError), claimed(place, never, lambda path: None):
            pass
    with pytest.raises(UserError, match="is in the way"), claimed(place, never, refuse):
        pass
    with claimed(place, never, lambda path: None) as claim:
        assert not claim.made
        (place / "mine").touch()
        (place / "theirs").touch()
        claim.discard("mine")
    assert [path.name for path in place.iterdir()] == ["theirs"]
    (place / "theirs").unlink()
    claim.discard()
    assert place.exists()  # who did not make it does not remove it
    with claimed(tmp_path / "new", never, refuse) as claim:
        claim.discard()
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is in the way"), claimed(tmp_path / "file", never, refuse):
        pass
    assert (tmp_path / "file").is_file()


def test_a_link_that_leads_nowhere_is_no_folder(tmp_path: Path) -> None:
    """It can neither be made nor locked: asked again and again, it would be for ever."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(TakenError, match=r"link exists; choose another name\."),
        claimed(link, never, lambda path: None),
    ):
        pass
    assert link.is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_its_owner_removes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen, opened, and gone before it could be locked: it is made anew."""
    import fcntl

    place, lock = tmp_path / "run", fcntl.flock
    place.mkdir()
    gone: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not gone:
            gone.append(1)
            place.rmdir()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with claimed(place, never, refuse) as claim:
        assert claim == (place, True)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There who makes the folder has it, and no more can be known."""
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        claimed(tmp_path / "run", never, refuse) as claim,
        claimed(tmp_path / "run", never, lambda path: None) as other,
    ):
        assert (claim.made, other.made) == (True, False)


@pytest.mark.parametrize(
    ("named", "home"), [("cache", None), ("./cache", None), ("", None), ("/elsewhere", "/elsewhere")]
)
def test_a_relative_place_of_the_cache_is_ignored(
    named: str, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert cache_of("runs") == Path(home or Path.home() / ".cache", "ppl_vae", "runs")
