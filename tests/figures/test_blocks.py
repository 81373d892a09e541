import numpy as np
import pytest

from ppl_vae.figures import blocks, labelled, mosaic
from ppl_vae.figures.look.style import WIDTH

rng = np.random.default_rng(0)


def names(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def test_a_block_has_its_name_and_its_rows_theirs() -> None:
    images = {name: rng.random((2, 3, 5, 7)) for name in ("first", "second")}
    figure = blocks(images, ["a", "b"], "what was done")
    assert [axes.get_label() for axes in figure.axes] == list(images)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(images)
    for axes, block in zip(figure.axes, images.values(), strict=True):
        np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), np.nan), mosaic(block))
        assert names(axes.yaxis) == ["a", "b"]
        np.testing.assert_allclose(axes.get_yticks(), [2, 8])  # rows of 5 pixels with one between
    assert figure.get_figwidth() <= WIDTH


def test_names_stand_whole_above_few_columns() -> None:
    sources = ["data", "1. Gaussian by class", "2. conditional, amortized × diagonal"]
    figure = blocks({name: rng.random((6, 2, 4, 4)) for name in sources}, [str(year) for year in range(2019, 2025)])
    assert [" ".join(axes.get_title(loc="left").split()) for axes in figure.axes] == sources


def test_columns_have_their_names_above_every_block() -> None:
    figure = blocks({"a\nb": rng.random((1, 3, 5, 7)), "c": rng.random((1, 3, 5, 7))}, column_names=["x", "0 s", "1 s"])
    for axes in figure.axes:
        assert names(axes.xaxis) == ["x", "0 s", "1 s"]
        np.testing.assert_allclose(axes.get_xticks(), [3, 11, 19])  # columns of 7 pixels with one between
        assert axes.xaxis.get_ticks_position() == "top"


def test_words_stand_below_their_images() -> None:
    images = rng.random((3, 2, 8, 8))
    images[2, 1] = np.nan
    (axes,) = labelled(images, [["a", "b"], ["c", "d"], ["e", ""]], ["x", "y", "z"]).axes
    picture = np.ma.filled(axes.images[0].get_array(), np.nan)
    ticks = axes.get_yticks()
    assert names(axes.yaxis) == ["x", "y", "z"]
    texts = [text for text in axes.texts]
    assert [text.get_text() for text in texts] == ["a", "b", "c", "d", "e", ""]
    for number, text in enumerate(texts):
        column, row = text.get_position()
        assert column == pytest.approx(3.5 if number % 2 == 0 else 12.5)  # columns of 8 pixels with one between
        assert np.isnan(picture[round(row)]).all()  # in the band, on no image
        top = round(ticks[number // 2] - 3.5)
        assert top + 8 <= row
        tile = picture[top : top + 8, (number % 2) * 9 : (number % 2) * 9 + 8]
        np.testing.assert_array_equal(tile, images[number // 2, number % 2])


def test_errors() -> None:
    with pytest.raises(ValueError, match="one shape"):
        blocks({"a": np.zeros((1, 2, 3, 3)), "b": np.zeros((2, 2, 3, 3))})
    with pytest.raises(ValueError, match="none"):
        blocks({})
    with pytest.raises(ValueError, match="2 rows need as many names, got 1"):
        blocks({"a": np.zeros((2, 2, 3, 3))}, ["x"])
    with pytest.raises(ValueError, match="2 columns need as many names, got 1"):
        blocks({"a": np.zeros((3, 2, 3, 3))}, column_names=["x"])
    with pytest.raises(ValueError, match="1 × 2 images need as many words"):
        labelled(np.zeros((1, 2, 3, 3)), [["a"]])
    with pytest.raises(ValueError, match="1 names or none"):
        labelled(np.zeros((1, 2, 3, 3)), [["a", "b"]], ["x", "y"])
