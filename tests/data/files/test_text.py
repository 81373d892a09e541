"""Files of lines: what they may hold, and a table of what is wrong with others."""

import time
from pathlib import Path

import pytest
import torch

from ppl_vae import UserError
from ppl_vae.data import DataConfig, load
from ppl_vae.data.codecs import decode_text
from ppl_vae.data.files.text import alphabet_of, encoded_lines, read_lines
from ppl_vae.data.info import DataInfo
from ppl_vae.data.inputs import read_input


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines.txt"


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"anna\nbob\n", ["anna", "bob"]),
        (b"anna\r\nbob", ["anna", "bob"]),
        (b"\xef\xbb\xbfanna\n\n\nbob\n", ["anna", "bob"]),
        ("zoë\nÅsa B.\n".encode(), ["zoë", "Åsa B."]),
    ],
    ids=["lines", "windows", "byte order mark and blank lines", "letters of all kinds"],
)
def test_lines(path: Path, data: bytes, lines: list[str]) -> None:
    path.write_bytes(data)
    assert read_lines(path) == lines
    splits = load(DataConfig(data=str(path), validation_fraction=0, test_fraction=0))
    assert splits.layout == "text"
    assert splits.alphabet == alphabet_of(lines) == "".join(sorted(set("".join(lines))))
    assert sorted(decode_text(splits.train.x, splits.alphabet)) == sorted(lines)
    assert not splits.train.dynamic  # text is bits already


WRONG = {
    "empty": (b"", "no lines"),
    "blank": (b"\n\n", "no lines"),
    "not UTF-8": (b"anna\xff\xfe\n", "UTF-8"),
    "a tab": (b"anna\nb\tb\n", "line 2 holds '\\t'"),
    "zeros": (b"\x00\x00", "line 1 holds"),
    "prose": (b"anna\n" + b"x" * 1001, "line 2 has 1001 characters, at most 1000"),
    "too many kinds": ("\n".join(map(chr, range(0x4E00, 0x4E00 + 1001))).encode(), "1001 kinds"),
    "too much": (b"\n".join([b"a" * 1000, *[b"bcdefghijk"] * 60_000]), "GiB"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files(path: Path, kind: str) -> None:
    data, part = WRONG[kind]
    path.write_bytes(data)
    with pytest.raises(UserError) as refused:
        load(str(path))
    assert part in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_text_beyond_all_measure_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 2**30)  # a hole: nothing of it is on the disk
    with pytest.raises(UserError, match=r"lines.txt: 5.0 GiB of text, at most 1 GiB is accepted; use fewer lines"):
        load(str(path))


@pytest.mark.slow
def test_a_million_lines_are_read_in_seconds(path: Path) -> None:
    """A minute, when each character was a step of Python's."""
    words = ["".join(chr(97 + (7 * i + k * k) % 26) for k in range(3 + i % 10)) for i in range(1000)]
    path.write_text("\n".join(words * 1000))
    start = time.process_time()
    splits = load(DataConfig(data=str(path), validation_fraction=0, test_fraction=0))
    assert time.process_time() - start < 20  # 6 where nothing else runs
    assert splits.train.x.shape == (1_000_000, 12, 27)
    assert splits.train.x[:, :, 0].sum() == 1000 * sum(map(len, words))
    assert decode_text(splits.train.x[:100], splits.alphabet)[0] in words


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(str(tmp_path / "nowhere.txt"))


def test_lines_for_a_trained_model(path: Path) -> None:
    path.write_text("ba\nb\n")
    x, y, *_ = read_input(path, DataInfo((4, 3), 0, 9, "", "text", "ab"))
    assert y is None
    assert torch.equal(x, encoded_lines(path, ["ba", "b"], "ab", 4))
    for line, part in (("abc", "'c'"), ("ababa", "5 characters, the longest known has 4")):
        path.write_text(f"a\n{line}\n")
        with pytest.raises(UserError, match=part):
            read_input(path, DataInfo((4, 3), 0, 9, "", "text", "ab"))


def test_the_alphabet_is_part_of_the_fingerprint(path: Path) -> None:
    found = []
    for text in ("ab\nb\n", "xy\ny\n"):
        path.write_text(text)
        found.append(load(DataConfig(data=str(path), validation_fraction=0, test_fraction=0)))
    assert torch.equal(found[0].train.x, found[1].train.x)
    assert found[0].fingerprint() != found[1].fingerprint()
