"""Files are written in one piece or not at all, whatever stops the writing."""

from pathlib import Path

import numpy as np
import pytest

from ppl_vae.app.paths import numbered, write_arrays, write_atomically


def test_text_is_written(tmp_path):
    write_atomically(tmp_path / "table.md", "± 0.1")
    write_atomically(tmp_path / "table.md", "± 0.2")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "± 0.2"
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("write", [write_atomically, write_arrays])
def test_nothing_is_left_by_what_was_stopped(tmp_path, monkeypatch, stop, write):
    """The file that was there stays as it was."""
    (tmp_path / "out").write_text("before")

    def stopped(*_):
        raise stop

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(stop):
        write(tmp_path / "out", "after" if write is write_atomically else {"x": np.zeros(3)})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out": "before"}


def test_numbers_go_on_after_any_suffix(tmp_path):
    (tmp_path / "prior-1.npz").touch()
    (tmp_path / "prior-2.png").touch()
    assert numbered(tmp_path, "prior", ".npz", ".png") == tmp_path / "prior-3.npz"
    assert numbered(tmp_path, "run") == tmp_path / "run-1"
