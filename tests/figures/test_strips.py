import numpy as np
import pytest

from ppl_vae.figures import mosaic, strips
from ppl_vae.figures.look.style import WIDTH

rng = np.random.default_rng(0)


def names(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def test_names_stand_at_the_centres_of_their_images() -> None:
    images = rng.random((2, 3, 5, 7))
    (axes,) = strips(images, ["a", "b"], ["x", "y", "z"], "what was done").axes
    (image,) = axes.images
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), mosaic(images))
    assert names(axes.yaxis) == ["a", "b"]
    assert names(axes.xaxis) == ["x", "y", "z"]
    # Tile (i, j) begins at pixel (6 i, 8 j) and is 5 high and 7 wide; the first pixel's centre lies at 0.
    np.testing.assert_allclose(axes.get_yticks(), [2, 8], atol=0.51)
    np.testing.assert_allclose(axes.get_xticks(), [3, 11, 19], atol=0.51)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # row 0 on top


def test_without_names_there_are_none() -> None:
    (axes,) = strips(rng.random((2, 3, 5))).axes
    assert set(names(axes.yaxis) + names(axes.xaxis)) == {""}


def test_an_image_of_nan_leaves_its_place_empty() -> None:
    images = rng.random((1, 2, 4, 4))
    images[0, 1] = np.nan
    (axes,) = strips(images).axes
    picture = np.ma.filled(axes.images[0].get_array(), np.nan)
    assert np.isnan(picture[:, 5:]).all()
    assert not np.isnan(picture[:, :4]).any()


def test_few_columns_make_a_narrow_figure_that_longer_names_widen_and_many_make_none_wider_than_a_page() -> None:
    few, many = rng.random((3, 4, 8, 8)), rng.random((3, 40, 8, 8))
    short, long = (strips(few, [name] * 3) for name in ("a", "a" * 25))
    assert long.get_figwidth() > short.get_figwidth()
    assert max(strips(many, [name] * 3).get_figwidth() for name in ("a", "a" * 25)) < WIDTH + 1e-6


@pytest.mark.parametrize("size", [4, 28])
def test_short_names_stand_whole_beside_a_single_column(size: int) -> None:
    years = [f"y = {year}" for year in range(1975, 2025)]
    (axes,) = strips(rng.random((50, 1, size, size)), years).axes
    shown = [name for name in names(axes.yaxis) if name]
    assert len(shown) >= 25
    assert set(shown) <= set(years)


def test_errors() -> None:
    with pytest.raises(ValueError, match="3 rows need as many names, got 2"):
        strips(np.zeros((3, 2, 4, 4)), ["a", "b"])
    with pytest.raises(ValueError, match="2 columns need as many names, got 1"):
        strips(np.zeros((3, 2, 4, 4)), column_names=["a"])
    with pytest.raises(ValueError, match="not finite"):
        strips(np.full((1, 1, 2, 2), np.inf))
    with pytest.raises(ValueError, match="nothing to draw"):
        strips(np.zeros((0, 2, 4, 4)))
