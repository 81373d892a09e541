"""What is said of users' files that have changed, or cannot be remembered: by the log, for whoever listens."""

import logging
from pathlib import Path

import pytest

from ppl_vae.registry.trust import check_trusted, remember


def test_what_is_to_be_known_of_a_file_is_logged_and_not_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "mine.py"
    file.write_text("x = 1\n")
    check_trusted(tmp_path / "run", [f"{file}:Mine"], {str(file): "0" * 64}, consent=True)
    (tmp_path / "state" / "ppl_vae" / "trusted").unlink()
    (tmp_path / "state" / "ppl_vae").rmdir()
    (tmp_path / "state" / "ppl_vae").write_text("no folder")
    remember({str(file): "1" * 64})
    changed, forgotten = caplog.records
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert changed.getMessage() == f"'{file}' has changed since {tmp_path / 'run'} was trained with it."
    assert forgotten.getMessage().startswith("which files you trust could not be stored (")
    assert capsys.readouterr() == ("", "")
