"""Labels in words and as numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_vae import UserError, load
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import Label, _in_words, in_words, number_of, rows_of


def test_in_words() -> None:
    assert _in_words([3]) == "3"
    assert _in_words([3, 7]) == "3 and 7"
    assert _in_words([0, 1]) == "0 and 1"
    assert _in_words(range(10)) == "0 to 9"
    assert _in_words([1, 5, 6]) == "1, 5 and 6"
    assert _in_words([2 * label for label in range(1500)]) == "0, 2, 4, ... 2998 (1,500 of them)"


NAMES = ("temple", "House", "house", "tree")


@pytest.fixture(params=["in y", "beside y"])
def info(request: pytest.FixtureRequest, tmp_path: Path) -> DataInfo:
    """Labels 0, 2, 3 of four that are named; as words they are numbered in the alphabet's order, House before tree."""
    y = np.array([0, 2, 3] * 20)
    named = {"y": np.array(NAMES)[y]} if request.param == "in y" else {"y": y, "class_names": np.array(NAMES)}
    np.savez(tmp_path / "named.npz", x=np.zeros((60, 4), dtype=np.float32), **named)
    return DataInfo.of(load(tmp_path / "named.npz"))


def test_names_are_what_is_shown(info: DataInfo) -> None:
    assert sorted(info.class_names) == ["house", "temple", "tree"]
    assert info.called(info.labels) == [*info.class_names]
    assert info.shown(torch.tensor([2, 0])).tolist() == [info.class_names[2], info.class_names[0]]
    rows = rows_of(info)
    assert rows.names == [*info.class_names]
    assert in_words(info, info.labels) in rows.words


@pytest.mark.parametrize("label", ["temple", "Temple", "tree", "house", "HOUSE"])
def test_a_label_is_found_by_its_name(info: DataInfo, label: str) -> None:
    assert info.class_names[number_of(info, label, "label")] == label.lower()


def test_a_label_is_found_by_its_number_too(info: DataInfo) -> None:
    assert [number_of(info, label, "label") for label in info.labels] == [0, 1, 2]


@pytest.mark.parametrize(
    ("label", "hint"), [("tempel", "did you mean 'temple'?"), ("zzz", "name one"), (7, "name one")]
)
def test_a_label_that_there_is_not_is_answered_with_the_names(info: DataInfo, label: Label, hint: str) -> None:
    with pytest.raises(UserError, match=rf"^`label` {label}: the labels of this run are .*temple.*; ") as caught:
        number_of(info, label, "label")
    assert hint in str(caught.value)


def test_without_names_a_label_is_its_number() -> None:
    info = DataInfo((2,), 2, 10, "", classes=(3, 7))
    assert info.called([3, 7]) == ["3", "7"]
    assert info.shown(torch.tensor([1, 0])).tolist() == [7, 3]
    assert number_of(info, 7, "label") == 1
    with pytest.raises(UserError, match="the labels of this run are 3 and 7; name one"):
        number_of(info, "seven", "label")
