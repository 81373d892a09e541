"""Observations as images: what is black and what is white."""

import numpy as np
import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.figures.look.style import image_colormap
from ppl_vae.predictive.rendering import image_of, tones_of

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
    assert tones_of(DataInfo.of(Dataset(TABLE))).index("smallest") < tones_of(DataInfo.of(Dataset(TABLE))).index(
        "white"
    )
    assert tones_of(DataInfo.of(Dataset(TABLE))).endswith("to the largest (black)")
