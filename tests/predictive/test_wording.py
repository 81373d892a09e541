"""What observations, their parts and holes are called."""

import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.rendering import pairs_of, sheet_of, strips_of
from ppl_vae.predictive.wording import amount, element, not_seen, observation, of_range

IMAGES, TABLE = torch.rand(4, 3, 3), torch.tensor([[0.0, 5.0], [10.0, 6.0], [1.0, 4.0]])
MUSIC = DataInfo((9, 89), 0, 4, "", "notes")
TEXT = DataInfo((9, 3), 0, 4, "", "text", "ab")


@pytest.mark.parametrize(
    ("info", "whole", "part"),
    [
        (DataInfo.of(Dataset(IMAGES)), "image", "pixel"),
        (DataInfo.of(Dataset(TABLE)), "row", "column"),
        (TEXT, "line", "letter"),
        (MUSIC, "piece", "key"),
    ],
)
def test_words_follow_the_kind_of_data(info: DataInfo, whole: str, part: str) -> None:
    assert (observation(info), element(info)) == (whole, part)


def test_differences_in_a_table_are_shares_of_a_columns_range() -> None:
    assert amount(DataInfo.of(Dataset(TABLE)), 0.123) + of_range(DataInfo.of(Dataset(TABLE))) == (
        "12.3% of its range in training"
    )
    assert amount(DataInfo.of(Dataset(IMAGES)), 0.123) + of_range(DataInfo.of(Dataset(IMAGES))) == "0.123"


def test_the_caption_says_how_holes_are_shown_and_is_silent_without_any() -> None:
    info, holed = DataInfo.of(Dataset(IMAGES)), IMAGES.clone()
    holed[1, 0, 0] = torch.nan
    empty = IMAGES.clone()
    empty[1] = torch.nan  # a place without an image is no hole
    assert not_seen(info, IMAGES) == not_seen(info, empty) == ""
    for figure in (pairs_of(info, holed, IMAGES, "Data."), strips_of(info, holed[None], ["a"], [*"bcde"], "Data.")):
        assert figure.get_label() == "Data. Light blue: not seen."
    table = TABLE.clone()
    table[0, 1] = torch.nan
    assert "has no mark" in not_seen(DataInfo.of(Dataset(TABLE)), table)
    assert "has no mark" in str(pairs_of(DataInfo.of(Dataset(TABLE)), table, TABLE, "").get_label())


def test_of_music_a_few_pieces_are_drawn_from_the_first_step_to_the_last() -> None:
    pieces = torch.ones(4, 12, 9, 89)
    figure = strips_of(MUSIC, pieces, [*"abcd"], [str(n) for n in range(12)], "A way.")
    panels = figure.axes
    assert [axes.get_title() for axes in panels[:3]] == [*"abc"]
    assert [axes.get_ylabel() for axes in panels[::3]] == ["0", "2", "4", "7", "9", "11"]
    assert "The first 3 of 4." in str(figure.get_label())
    assert len(sheet_of(MUSIC, pieces[0], "").axes) == 12
    assert [axes.get_title() for axes in pairs_of(MUSIC, pieces[0], pieces[1], "").axes[:2]] == [
        "original",
        "reconstruction",
    ]
