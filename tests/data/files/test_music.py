"""Files of music: what they may hold, and a table of what is wrong with others."""

import json
from pathlib import Path

import pytest

from ppl_vae import UserError
from ppl_vae.data import DataConfig, load
from ppl_vae.data.codecs import decode_notes
from ppl_vae.data.info import DataInfo
from ppl_vae.data.inputs import read_input

PARTS = {"train": [[[60, 64], []], [[21]]], "valid": [[[62]]], "test": [[[108], [30], [40]]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "music.json"


def test_a_file_with_parts_keeps_them(path: Path) -> None:
    path.write_text(json.dumps(PARTS))
    splits = load(DataConfig(data=str(path), validation_fraction=0.5, test_fraction=0.5))
    assert splits.layout == "notes"
    found = [decode_notes(split.x) for split in (splits.train, splits.validation, splits.test) if split]
    assert sorted(found[0]) == sorted(PARTS["train"])
    assert found[1:] == [PARTS["valid"], PARTS["test"]]
    assert {split.event_shape for split in (splits.train, splits.validation, splits.test) if split} == {(3, 89)}
    assert [splits.train.first, splits.validation.first, splits.test.first] == [0, 2, 3]


def test_a_list_of_pieces_is_split(path: Path) -> None:
    path.write_text(json.dumps(PARTS["train"] * 10))
    splits = load(str(path))
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [14, 2, 4]


WRONG = {
    "not JSON": ("{", "not a readable JSON"),
    "deep": ("[" * 100_000, "not a readable JSON"),
    "a number": ("3", "is no list"),
    "another part": ('{"train": [[[60]]], "dev": []}', "'dev'"),
    "no training": ('{"test": [[[60]]]}', "'test'"),
    "nothing to train on": ('{"train": []}', "no piece to train on"),
    "flat": ("[[60, 64]]", "piece 0 of 'train' is no list of steps"),
    "an empty piece": ("[[[60]], []]", "piece 1 of 'train' has 0 steps"),
    "too low": ("[[[60], [20]]]", "has 20 at step 1"),
    "too high": ("[[[109]]]", "has 109 at step 0"),
    "a fraction": ("[[[60.0]]]", "has 60.0 at step 0"),
    "a truth": ("[[[true]]]", "has True at step 0"),
    "a name": ('[[["C4"]]]', "has 'C4' at step 0"),
    "an endless piece": (json.dumps([[[]] * 10_001]), "has 10001 steps"),
    "too much": (json.dumps([[[]] * 10_000, *[[[60]]] * 700]), "GiB"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files(path: Path, kind: str) -> None:
    text, part = WRONG[kind]
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        load(str(path))
    assert part in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(str(tmp_path / "nowhere.json"))


def test_pieces_for_a_trained_model(path: Path) -> None:
    path.write_text(json.dumps(PARTS))
    x, *_ = read_input(path, DataInfo((5, 89), 0, 9, "", "notes", ""))
    assert decode_notes(x) == [piece for part in PARTS.values() for piece in part]
    with pytest.raises(UserError, match="3 steps, the longest in training had 2"):
        read_input(path, DataInfo((2, 89), 0, 9, "", "notes", ""))


def test_the_chorales(shared_data: Path) -> None:
    splits = load(str(shared_data / "chorales" / "jsb-chorales-quarter.json"))
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [229, 76, 77]
    assert splits.train.x[..., 0].sum() == sum(map(len, decode_notes(splits.train.x)))
    assert splits.train.event_shape == (160, 89)


def test_music_beyond_all_measure_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 2**30)  # a hole: nothing of it is on the disk
    with pytest.raises(UserError, match=r"music.json: 5120 MiB of JSON, at most 256 are accepted; use fewer"):
        load(str(path))
