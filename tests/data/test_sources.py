"""Where data comes from: the table of names, and the digits that need no file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_vae import UserError
from ppl_vae.data import SOURCES, DataConfig, read_source

NOWHERE = Path("/nowhere")


def test_digits() -> None:
    from sklearn.datasets import load_digits

    source = read_source("digits", NOWHERE)
    assert source.x.shape == (1797, 8, 8)
    assert source.x.dtype == torch.uint8
    assert source.y.dtype == torch.int64
    assert (source.test_x, source.test_y) == (None, None)
    assert source.x.unique().tolist() == list(range(17))
    assert torch.equal(source.values(), source.x / 16)
    images = load_digits().images  # (row, column): neither transposed nor reordered
    assert np.array_equal(source.x.numpy(), images)
    assert source.y.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_an_npz_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    x = np.random.default_rng(0).random((5, 3), dtype=np.float32)
    np.savez(path, x=x, y=np.arange(5))
    source = read_source(str(path), NOWHERE)
    assert np.array_equal(source.x.numpy(), x)
    assert source.y.tolist() == [0, 1, 2, 3, 4]
    assert source.test_x is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mnits", "did you mean 'mnist'"), ("", "give the path"), ("digits.ods", "did you mean 'digits'")],
)
def test_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"unknown data set '{name}'.*{hint}"):
        read_source(name, NOWHERE)


def test_a_path_that_is_misspelt_is_told_what_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Photos").mkdir()
    (tmp_path / "people.csv").touch()
    (tmp_path / "Photos.zip").touch()
    monkeypatch.chdir(tmp_path)
    for name, words in {
        "photos": "unknown data set 'photos': .*; did you mean 'Photos'",
        "peple.csv": "peple.csv: no such file or folder; did you mean 'people.csv'",
        str(tmp_path / "poeple.csv"): f"did you mean '{tmp_path}/people.csv'",
        "Photos.zip": "no kind of file that data is read from; unpack it, and give a folder of images",
        "x/nothing": "no such file or folder; give the path",
    }.items():
        with pytest.raises(UserError, match=words):
            read_source(name, NOWHERE)


def test_every_name_of_the_table() -> None:
    assert set(SOURCES) == {"digits", "mnist", "fashion-mnist", "kmnist", "emnist"}


@pytest.mark.parametrize("name", ["Digits", "DIGITS", "digits"])
def test_a_name_in_capital_letters_is_the_name(name: str) -> None:
    assert len(read_source(name, NOWHERE).x) == 1797
    assert DataConfig(data=name).absolute().data == "digits"  # what a run records
