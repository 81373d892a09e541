"""Splits: a partition, decided by a seed, each part with its own noise."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ppl_vae import UserError
from ppl_vae.data import DataConfig, Dataset, Observations, load, sources

# Each row is one of a kind: row i holds (2i + 1) / 2001.
ROWS = (2 * torch.arange(1000.0) + 1) / 2001


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Load 1000 numbered rows under the given settings."""

    def source(_: Path) -> Observations:
        return Observations(ROWS[:, None].expand(-1, 4).clone(), torch.arange(1000) % 7)

    monkeypatch.setitem(sources.SOURCES, "numbered", source)
    return lambda **settings: load(DataConfig(data="numbered", binarization="none", **settings))


def numbers(part: Dataset | None) -> list[int]:
    return [] if part is None else ((part.x[:, 0] * 2001 - 1) / 2).round().long().tolist()


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.0, 0.2), (0.1, 0.0), (0.0, 0.0), (0.5, 0.5)])
def test_every_row_is_in_exactly_one_part(numbered: Callable[..., Any], validation: float, test: float) -> None:
    splits = numbered(validation_fraction=validation, test_fraction=test)
    parts = [numbers(part) for part in (splits.train, splits.validation, splits.test)]
    assert sorted(itertools.chain(*parts)) == list(range(1000))
    num_test = round(1000 * test)
    num_validation = round((1000 - num_test) * validation)
    assert [len(part) for part in parts] == [1000 - num_test - num_validation, num_validation, num_test]
    assert (splits.validation is None, splits.test is None) == (validation == 0, test == 0)


def test_rows_are_shuffled_and_labels_go_with_them(numbered: Callable[..., Any]) -> None:
    splits = numbered()
    assert numbers(splits.train) != sorted(numbers(splits.train))
    for part in (splits.train, splits.validation, splits.test):
        assert part.y.tolist() == [number % 7 for number in numbers(part)]
    assert splits.num_classes == 7


def test_every_row_has_a_number_of_its_own(numbered: Callable[..., Any]) -> None:
    """So that no part's rows are taken for another's, by a guide that keeps something for each of them."""
    splits = numbered()
    parts = (splits.train, splits.validation, splits.test)
    index = torch.cat([part.batch(torch.arange(len(part))).index for part in parts])
    assert torch.equal(index, torch.arange(1000))


def test_the_seed_decides(numbered: Callable[..., Any]) -> None:
    before = torch.get_rng_state()
    first = numbered(data_seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(55)
    assert numbers(numbered(data_seed=1).test) == numbers(first.test)
    assert numbers(numbered(data_seed=2).test) != numbers(first.test)


def test_the_test_part_does_not_depend_on_the_validation_fraction(numbered: Callable[..., Any]) -> None:
    assert numbers(numbered(validation_fraction=0.0).test) == numbers(numbered(validation_fraction=0.4).test)


def test_a_part_that_is_not_there_is_named(numbered: Callable[..., Any]) -> None:
    splits = numbered(validation_fraction=0.0)
    assert splits.get("train") is splits.train
    with pytest.raises(UserError, match="no validation split"):
        splits.get("validation")
    with pytest.raises(UserError, match=r"^unknown split 'tset' .*; did you mean 'test'\?$"):
        splits.get("tset")


NONE_HELD_OUT = {"validation_fraction": 0, "test_fraction": 0}


@pytest.mark.parametrize(
    ("rows", "settings", "warning"),
    [
        (
            1,
            {},
            "1 training observation, no validation and no test split: too few to learn anything from or to test",
        ),
        (
            2,
            {},
            "2 training observations, no validation and no test split: too few to learn anything from or to test",
        ),
        (5, {}, "4 training observations, no validation split: too few to learn anything from or to test on."),
        (
            9,
            {"validation_fraction": 0, "test_fraction": 0},
            "9 training observations: too few to learn anything from.",
        ),
        (10, {"validation_fraction": 0, "test_fraction": 0}, ""),
        (20, {}, ""),
        (20, {"test_fraction": 0.02}, "no test split: its share of 18 observations is less than one."),
    ],
)
def test_too_few_to_learn_from_or_to_test_are_said(
    tmp_path: Path, rows: int, settings: dict[str, Any], warning: str
) -> None:
    path = tmp_path / "few.npz"
    np.savez(path, x=np.zeros((rows, 3), np.float32))
    found = load(DataConfig(data=str(path), **settings)).warnings
    assert len(found) == bool(warning)
    assert all(said.startswith(warning) for said in found)


class Table:
    """What prints itself over many lines, as a data frame does."""

    def __repr__(self) -> str:
        return "x y\n0 1\n2 3"


@pytest.mark.parametrize("value", [Table(), [[0.0, 1.0]], None, 3, {"x": 1}])
def test_load_says_what_it_takes(value: Any) -> None:
    message = f"^load takes the name or path of a data set, or arrays; (of|not) a {type(value).__name__}[ .]"
    with pytest.raises(UserError, match=message) as refused:
        load(value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [Table(), np.zeros((2, 3))])
def test_what_is_no_name_is_not_printed(value: Any) -> None:
    with pytest.raises(UserError, match=f"^`data`: must be a valid string, got a {type(value).__name__}.$"):
        load(DataConfig(data=value))


def test_nothing_left_to_train_on(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, x=np.zeros((2, 3), np.float32))
    with pytest.raises(UserError, match="2 observations are too few to leave any for training"):
        load(DataConfig(data=str(path), validation_fraction=0.9, test_fraction=0.5))
    assert len(load(str(path)).train) == 2


@pytest.fixture
def with_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that brings its own test part, all of the same grey: any difference in bits is noise."""

    def source(_: Path) -> Observations:
        grey = torch.full((100, 50), 0.5)
        labels = torch.zeros(100, dtype=torch.long)
        return Observations(grey, labels, test_x=grey[:50], test_y=torch.full((50,), 4))

    monkeypatch.setitem(sources.SOURCES, "own-test", source)


@pytest.mark.usefixtures("with_test")
def test_a_sets_own_test_part_is_kept() -> None:
    splits = load(DataConfig(data="own-test", binarization="none", test_fraction=0.9))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (90, 10, 50)
    assert (splits.num_classes, splits.classes, splits.unseen()) == (2, (0, 4), (4,))
    assert (splits.train.y.unique().tolist(), splits.test.y.unique().tolist()) == ([0], [1])


@pytest.mark.usefixtures("with_test")
def test_no_two_parts_share_their_static_noise() -> None:
    splits = load(DataConfig(data="own-test", binarization="static", validation_fraction=0.5))
    heads: list[Tensor] = [part.x[:50] for part in (splits.train, splits.validation, splits.test)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        # Independent bits agree half of the time: 2500 of them, 5 standard errors.
        agreement = (heads[i] == heads[j]).float().mean().item()
        assert abs(agreement - 0.5) < 5 * 0.5 / 2500**0.5


def test_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((20, 3), np.float32))
    splits = load(str(path))
    assert (splits.train.y, splits.num_classes) == (None, 0)


def test_the_default_is_the_digits() -> None:
    splits = load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1294, 144, 359)
    assert splits.train.dynamic
    assert splits.num_classes == 10


def test_paths_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = DataConfig(data="mine.npz").absolute()
    assert settings.data == str(tmp_path / "mine.npz")
    assert settings.data_root == tmp_path / "data"
    assert DataConfig().absolute().data == "digits"


def save_labelled(path: Path, labels: torch.Tensor) -> Path:
    np.savez(path, x=np.random.default_rng(0).random((len(labels), 2, 2), dtype=np.float32), y=labels.numpy())
    return path


def test_labels_are_numbered(tmp_path: Path) -> None:
    """As many classes as there are labels, whatever they are called; what is called 0, 1, 2, ... is as it was."""
    years = 2019 + torch.arange(60) % 6
    splits = load(save_labelled(tmp_path / "years.npz", years))
    dense = load(save_labelled(tmp_path / "dense.npz", torch.arange(60) % 6))
    assert (splits.num_classes, splits.classes) == (6, (2019, 2020, 2021, 2022, 2023, 2024))
    assert dense.classes == (0, 1, 2, 3, 4, 5)
    assert splits.train.y.tolist() == dense.train.y.tolist()
    assert splits.fingerprint() != dense.fingerprint()
    others = load(save_labelled(tmp_path / "others.npz", years + 1))
    assert len({each.fingerprint() for each in (splits, dense, others)}) == 3
    assert load("digits").fingerprint() == "b260897b16c9643a"  # of versions that did not number labels


def test_labels_as_earlier_versions_knew_them(tmp_path: Path) -> None:
    labels = 3 + 4 * (torch.arange(60) % 2)
    splits = load(save_labelled(tmp_path / "few.npz", labels)).unnumbered()
    assert (splits.num_classes, splits.classes) == (8, tuple(range(8)))
    assert set(splits.train.y.tolist()) == {3, 7}


def test_data_is_told_in_a_line() -> None:
    data = load("digits", validation_fraction=0)
    expected = "Splits(train 1,438, no validation, test 359: rows of shape (8, 8), plain, 10 labels)"
    assert repr(data) == str(data) == expected
    assert repr(data.test) == "Dataset(359 rows of shape (8, 8), uint8 / 16, with labels, binarized at every visit)"


@pytest.mark.parametrize("x", [[[2.5, -1.0]], [[2.5, -1.0], [2.5, -1.0]]])
def test_columns_that_never_change_have_no_spread(tmp_path: Path, x: list[list[float]]) -> None:
    np.savez(tmp_path / "table.npz", x=np.array(x))
    parts = load(tmp_path / "table.npz", test_fraction=0.0, validation_fraction=0.0)
    assert not any("standard deviations" in each for each in parts.warnings)
