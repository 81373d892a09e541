"""Processes of one machine add up in memory that they share, where there is room for it.

That the sums are right is seen in ``test_distributed.py``, whose processes take this way.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from ppl_vae.runtime.processes import Group, LostContactError
from ppl_vae.svi import shared_sum


def test_room_is_reserved_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "board"
    assert shared_sum._reserved(path, 4000)
    assert path.stat().st_size == 4000
    assert path.stat().st_mode & 0o777 == 0o600
    assert not shared_sum._reserved(path, 4000)  # somebody's already
    places = shared_sum._mapped(path, (2, 5, 100), torch.float32)
    assert places is not None
    places[1, 4, 99] = 7.0
    again = shared_sum._mapped(path, (2, 5, 100), torch.float32)
    assert again is not None
    assert again[1, 4, 99] == 7.0


def test_without_room_or_on_another_machine_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(file: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", is_full, raising=False)
    assert not shared_sum._reserved(tmp_path / "board", 4000)
    assert shared_sum._mapped(tmp_path / "nowhere", (2, 5, 100), torch.float32) is None
    assert not (tmp_path / "nowhere").exists()


class Losing(Group):
    """Of two processes the first, which loses the other after so many words."""

    left = 0

    def any(self, *flags: bool) -> list[bool]:
        if Losing.left == 0:
            raise LostContactError
        Losing.left -= 1
        return list(flags)

    def from_first(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize("words", range(4))
def test_a_process_that_is_lost_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    monkeypatch.setattr(shared_sum, "_MEMORY", tmp_path)
    monkeypatch.setattr(Losing, "left", words)
    with pytest.raises(LostContactError):
        shared_sum.SharedSum(Losing(0, 2, 0, 2), torch.ones(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("missing", "like"), [("folder", torch.ones(3)), ("numbers", torch.ones(0))])
def test_without_the_folder_or_numbers_the_sum_goes_by_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, like: torch.Tensor
) -> None:
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(shared_sum, "_MEMORY", tmp_path / "none" if missing == "folder" else tmp_path)
    monkeypatch.setattr(dist, "all_reduce", sent.append)
    monkeypatch.setattr(Losing, "left", 9)
    shared_sum.SharedSum(Losing(0, 2, 0, 2), like).sum(like)
    assert len(sent) == 1
    assert sent[0] is like
    assert not list(tmp_path.iterdir())
