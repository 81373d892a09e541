"""What is known of a data set beside its values."""

from typing import Any

import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo, example
from ppl_vae.data.loading import load
from ppl_vae.data.splits import Splits, splits_of

TABLES = {
    "reals": (torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), ("reals",)),
    "counts": (torch.arange(150.0).reshape(50, 3), ("counts",)),
    "bits": (torch.eye(3), ("bits",)),
    "images": (torch.linspace(-1, 2, 600).reshape(50, 3, 4), ()),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_one_kind_of_numbers_is_known_by_them(name: str) -> None:
    x, kinds = TABLES[name]
    assert DataInfo.of(Dataset(x)).kinds == kinds


def test_a_file_says_what_each_column_holds_and_the_columns_of_a_category_stand_together() -> None:
    splits = splits_of(Dataset(torch.eye(7)))
    kinds = ("reals", "category", "category", "category", "category", "category", "counts")
    names = ("size", "colour=red", "colour=a=b", "shape=round", "shape=flat", "shape=", "number")
    info = DataInfo.of(splits._replace(kinds=kinds, columns=names))
    assert info.kinds == kinds
    assert info.blocks == (1, 2, 3, 1)
    assert DataInfo.of(splits._replace(kinds=kinds)).blocks == (1, 5, 1)
    assert DataInfo.of(splits._replace(kinds=("counts",) * 7)).blocks == (1,) * 7


@pytest.mark.parametrize("kinds", [("reals", "reals"), ("reals", "reals", "words")])
def test_kinds_that_are_none_are_refused(kinds: tuple[str, ...]) -> None:
    given: dict[str, Any] = {"event_shape": (3,), "num_classes": 0, "num_data": 2, "fingerprint": ""}
    with pytest.raises(ValueError, match="kinds are to be"):
        DataInfo(**given, kinds=kinds)


def test_an_example_has_a_mask_where_the_data_has_holes() -> None:
    """A program that reads the mask is tried on it."""
    x = torch.rand(4, 3)
    assert example(DataInfo.of(Dataset(x))).mask is None
    mask = example(DataInfo.of(Dataset(x, mask=torch.arange(3).expand(4, 3) > 0))).mask
    assert mask is not None
    assert mask.all()


def test_splits_are_hashed_once_while_they_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Splits] = []
    fingerprint = Splits.fingerprint
    monkeypatch.setattr(Splits, "fingerprint", lambda splits: hashed.append(splits) or fingerprint(splits))
    data = load("digits", binarization="none")
    first = DataInfo.of(data)
    assert DataInfo.of(data) is DataInfo.of(data._replace()) is first
    assert len(hashed) == 1
    assert DataInfo.of(data._replace(class_names=tuple("abcdefghij"))).class_names[0] == "a"
    assert DataInfo.of(data._replace(test=None)).fingerprint != first.fingerprint
    assert DataInfo.of(data) == first
    assert data.test is not None
    data.test.kept.zero_()
    changed = DataInfo.of(data)
    assert (changed.fingerprint != first.fingerprint, changed.num_data) == (True, first.num_data)
    assert DataInfo.of(Dataset(torch.zeros(3, 2))).num_data == 3
