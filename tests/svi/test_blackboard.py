"""Processes of one machine add up in memory that they share, where there is room for it.

That the sums are right is seen in ``test_distributed.py``, whose processes take this way.
"""

import os
from pathlib import Path

import pytest
import torch

from ppl_vae.svi import blackboard


def test_room_is_reserved_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "board"
    assert blackboard._reserved(path, 4000)
    assert path.stat().st_size == 4000
    assert path.stat().st_mode & 0o777 == 0o600
    assert not blackboard._reserved(path, 4000)  # somebody's already
    places = blackboard._mapped(path, (2, 5, 100), torch.float32)
    assert places is not None
    places[1, 4, 99] = 7.0
    again = blackboard._mapped(path, (2, 5, 100), torch.float32)
    assert again is not None
    assert again[1, 4, 99] == 7.0


def test_without_room_or_on_another_machine_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(file: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", is_full, raising=False)
    assert not blackboard._reserved(tmp_path / "board", 4000)
    assert blackboard._mapped(tmp_path / "nowhere", (2, 5, 100), torch.float32) is None
    assert not (tmp_path / "nowhere").exists()
