"""Paths with bytes that are no characters, and text in characters that pictures need other fonts for."""

import os

import numpy as np
import pytest

from ppl_vae.figures.look import fonts

TINY = ["--latent-dim", "2", "--hidden", "4", "--epochs", "1", "--batch-size", "60", "--engine", "eager"]


@pytest.fixture(autouse=True)
def one_picture_of_each_kind(shown):
    with shown("reconstructions", "latent"):
        yield


def test_a_path_with_bytes_that_are_no_characters(cli, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    data = folder / os.fsdecode(b"d\xff.npz")
    with data.open("wb") as file:
        np.savez(file, x=np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8))
    status, out, err = cli("train", *TINY, "--data", data, "--out", folder / "run")
    assert (status, err) == (0, "")
    assert "report " in out
    written = {path.name for path in (folder / "run" / "figures").iterdir()}
    assert {"reconstructions.png", "reconstructions.svg", "latent.png", "latent.svg"} <= written
    assert os.fsencode(folder) in (folder / "run" / "report.html").read_bytes()
    for words in (["evaluate", folder / "run"], ["explore", folder / "run"]):  # the data is found by the record
        assert cli(*words)[::2] == (0, "")
    assert b"explorer</title>" in (folder / "run" / "explorer-1.html").read_bytes()


@pytest.mark.slow
def test_text_that_no_font_here_can_show_is_said_once(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_system_fonts", tuple)
    data = tmp_path / "名前.txt"
    data.write_text("さくら\nあおい\nひなた\nはると\n" * 10, encoding="utf-8")
    status, out, err = cli("train", "--model", "sequence", *TINY, "--data", data, "--out", tmp_path / "run")
    assert status == 0
    assert err.count("\n") == 1
    assert err.startswith("warning: the pictures have empty boxes for ")
    assert "install one, such as Noto (fonts-noto-cjk" in err
    assert "report " in out
    assert (tmp_path / "run" / "figures" / "reconstructions.png").is_file()
