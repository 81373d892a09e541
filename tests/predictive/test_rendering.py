"""Observations as images: what is black and what is white."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.figures.look.style import image_colormap
from ppl_vae.predictive.rendering import image_of, pairs_of, sheet_of, strips_of
from ppl_vae.predictive.wording import is_table, tones_of

TABLE = torch.tensor([[0.0, -5.0, 7.0], [3.0, 5.0, 7.0], [12.0, 0.0, 7.0]])


@pytest.mark.parametrize(
    ("x", "least", "largest", "shown"),
    [
        (TABLE / 100 + 0.05, (), (), TABLE / 100 + 0.05),
        (TABLE, (0.0, -5.0, 7.0), (12.0, 5.0, 7.0), [[0.0, 0.0, 0.0], [0.25, 1.0, 0.0], [1.0, 0.5, 0.0]]),
        (TABLE[:, :, None], (-5.0,), (12.0,), (TABLE[:, :, None] + 5) / 17),
    ],
)
def test_numbers_outside_the_unit_interval_are_shown_between_their_ends(x, least, largest, shown) -> None:
    info = DataInfo.of(Dataset(x))
    assert (info.least, info.largest) == (least, largest)
    np.testing.assert_allclose(image_of(info, x), np.asarray(shown), rtol=1e-6)
    assert bool(tones_of(info)) == bool(least)


def test_the_caption_names_the_tones_that_are_drawn() -> None:
    low, high = image_colormap()([0.0, 1.0])[:, 0]
    assert low > high
    images, table = (tones_of(DataInfo.of(Dataset(x))) for x in (TABLE[:, :, None], TABLE))
    assert images.index("smallest") < images.index("white")
    assert images.endswith("to the largest (black)")
    assert "a line goes from the smallest number of its column" in table
    assert "white" not in table


def test_grey_photographs_are_drawn_as_they_are_and_ink_as_ink() -> None:
    """Black is 0 in a photograph, 1 where most is paper; whoever sees bits of grey levels sees ink."""
    between = torch.linspace(0.2, 0.8, 40 * 9).reshape(40, 3, 3)
    photographs, ink = DataInfo.of(Dataset(between)), DataInfo.of(Dataset(between.round()))
    assert photographs.photographs
    assert not ink.photographs
    np.testing.assert_allclose(image_of(photographs, between), 1 - between.numpy())
    np.testing.assert_array_equal(image_of(ink, between), between.numpy())
    assert not DataInfo.of(Dataset(between, dynamic=True)).photographs
    assert not DataInfo.of(Dataset(torch.rand(40, 3, 3, 3))).photographs  # colours are what they are


def test_a_table_is_drawn_by_column_name_and_a_long_row_is_not() -> None:
    info = replace(DataInfo.of(Dataset(TABLE)), columns=("age", "height, cm", "x"))
    assert is_table(info)
    drawn = {
        "pairs": pairs_of(info, TABLE, TABLE + 1, "", torch.ones(3, 3)),
        "sheet": sheet_of(info, TABLE, ""),
        "strips": strips_of(info, TABLE[:, None].expand(3, 5, 3), ["z1, 2 nats", "b", "c"], list("12345"), ""),
    }
    for name, figure in drawn.items():
        words = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert words[:4] == ["age", "0 to 12", "height, cm", "−5 to 5"], name
    assert [axes.get_title() for axes in drawn["strips"].axes if axes.axison] == ["z1\n2 nats", "b", "c"]
    assert not is_table(DataInfo.of(Dataset(torch.rand(3, 61))))
    assert not is_table(DataInfo.of(Dataset(torch.rand(3, 4, 4))))
