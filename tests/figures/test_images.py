import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ppl_vae.figures import grid, mosaic, reconstructions, sheet, strips
from ppl_vae.figures.look.style import HOLE

rng = np.random.default_rng(0)


def shown(axes: Axes) -> np.ndarray:
    """The array of an axes' only image, NaN or alpha 0 where transparent."""
    (image,) = axes.images
    array = image.get_array()
    assert array is not None
    return np.ma.filled(array, np.nan)


def constant_tiles(rows: int, columns: int, height: int = 4, width: int = 6) -> np.ndarray:
    """Tile (i, j) is (10 i + j) / 100 all over."""
    values = (10 * np.arange(rows)[:, None] + np.arange(columns)) / 100
    return np.broadcast_to(values[..., None, None], (rows, columns, height, width))


def test_mosaic_places_tiles_with_transparent_gaps() -> None:
    tiles = rng.random((2, 3, 4, 6))
    picture = mosaic(tiles)
    assert picture.shape == (2 * 4 + 1, 3 * 6 + 2)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(picture[5 * i : 5 * i + 4, 7 * j : 7 * j + 6], tiles[i, j])
    assert np.isnan(picture[4]).all()
    assert np.isnan(picture[:, [6, 13]]).all()


def test_mosaic_of_one_channel_is_that_of_none() -> None:
    tiles = rng.random((2, 3, 4, 6))
    np.testing.assert_array_equal(mosaic(tiles[..., None]), mosaic(tiles))


def test_mosaic_of_colour_is_rgba() -> None:
    tiles = rng.random((2, 2, 4, 4, 3))
    picture = mosaic(tiles)
    assert picture.shape == (9, 9, 4)
    np.testing.assert_array_equal(picture[5:, :4, :3], tiles[1, 0])
    assert (picture[5:, :4, 3] == 1).all()
    assert (picture[4, :, 3] == 0).all()


def test_mosaic_draws_vectors_as_strips_that_can_be_seen() -> None:
    tiles = rng.random((3, 1, 32))
    picture = mosaic(tiles)
    assert picture.shape == (3 * 4 + 2, 32)
    np.testing.assert_array_equal(picture[5:9], np.tile(tiles[1], (4, 1)))
    assert mosaic(tiles[..., :3]).shape == (3 + 2, 3)


def test_mosaic_clips_to_the_unit_interval() -> None:
    assert mosaic([[[[-0.5, 0.5, 1.5]]]]).tolist() == [[0.0, 0.5, 1.0]]


@pytest.mark.parametrize("event", [(), (4, 6, 2), (4, 6, 4), (2, 4, 6, 3)])
def test_events_that_are_no_images_are_errors(event: tuple[int, ...]) -> None:
    shape = str(event).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=shape):
        sheet(np.zeros((3, *event)))
    with pytest.raises(ValueError, match=shape):
        reconstructions(np.zeros((3, *event)), np.zeros((3, *event)))
    with pytest.raises(ValueError, match=shape):
        grid(np.zeros((3, 3, *event)), -1, 1)
    with pytest.raises(ValueError, match=shape):
        mosaic(np.zeros((3, 3, *event)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_errors(bad: float) -> None:
    images = np.zeros((4, 3, 3))
    images[2, 1, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        sheet(images)
    with pytest.raises(ValueError, match="not finite"):
        reconstructions(np.zeros((4, 3, 3)), images)
    with pytest.raises(ValueError, match="not finite"):
        grid(images.reshape(2, 2, 3, 3), -1, 1)


def draw_all(images: np.ndarray) -> list[Figure]:
    return [
        sheet(images),
        reconstructions(images, images),
        grid(images.reshape(2, 2, *images.shape[1:]), -1, 1),
    ]


def test_ink_is_black_on_white_paper() -> None:
    for figure in draw_all(np.full((4, 3, 3), 0.5)):
        for image in (image for axes in figure.axes for image in axes.images):
            assert image.get_clim() == (0.0, 1.0)  # not stretched to the images' own range
            np.testing.assert_allclose(image.cmap(0.0)[:3], 1.0)
            np.testing.assert_allclose(image.cmap(1.0)[:3], 0.0)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
@pytest.mark.parametrize("event", [(12,), (3, 5), (3, 5, 1), (3, 5, 3)])
def test_every_event_and_dtype_is_drawn(event: tuple[int, ...], dtype: type) -> None:
    for figure in draw_all(rng.integers(0, 2, (4, *event)).astype(dtype)):
        figure.canvas.draw()
        assert all(axes.images for axes in figure.axes)


def test_sheet_reads_like_text() -> None:
    picture = shown(sheet(constant_tiles(1, 5)[0], columns=3).axes[0])
    assert picture.shape == (2 * 4 + 1, 3 * 6 + 2)
    assert picture[0, 0] == 0.0
    assert picture[0, -1] == 0.02
    assert picture[-1, 0] == 0.03
    assert picture[-1, 7] == 0.04
    assert np.isnan(picture[5:, 14:]).all()  # no sixth image


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (9, 3), (20, 5), (100, 10)])
def test_sheet_chooses_columns_that_leave_few_places_empty(count: int, columns: int) -> None:
    assert shown(sheet(np.zeros((count, 4, 4))).axes[0]).shape[1] == 5 * columns - 1


def test_sheet_errors() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        sheet(np.zeros((0, 3, 3)))
    with pytest.raises(ValueError, match="at least 1 column"):
        sheet(np.zeros((2, 3, 3)), columns=0)


def test_reconstructions_stand_below_their_originals() -> None:
    originals = constant_tiles(1, 3)[0]
    (axes,) = reconstructions(originals, originals + 0.5).axes
    picture = shown(axes)
    assert picture.shape == (9, 20)
    assert [picture[0, 0], picture[0, 7], picture[0, 14]] == [0.0, 0.01, 0.02]
    assert [picture[8, 0], picture[8, 7], picture[8, 14]] == [0.5, 0.51, 0.52]
    # Row centres, in pixels from the top: the image's first row lies at 0 on an axis that runs down.
    assert list(axes.get_yticks()) == [1.5, 6.5]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["original", "reconstruction"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_reconstructions_wrap_into_equal_rows() -> None:
    originals = np.arange(12)[:, None, None] / 100 * np.ones((12, 4, 4))
    figure = reconstructions(originals, originals)
    first, second = (shown(axes) for axes in figure.axes)
    assert first.shape == second.shape == (9, 6 * 5 - 1)
    assert first[0, 0] == 0.0
    assert second[0, 0] == second[8, 0] == 0.06
    assert len(reconstructions(originals[:10], originals[:10]).axes) == 1


def test_reconstructions_of_other_shapes_are_errors() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        reconstructions(np.zeros((3, 4, 4)), np.zeros((2, 4, 4)))


def place_of(image: AxesImage, z1: float, z2: float) -> tuple[float, float]:
    """Where in the array a point lies, in rows from its top and columns from its left edge."""
    left, right, bottom, top = image.get_extent()
    array = image.get_array()
    assert array is not None
    rows, columns = array.shape[:2]
    assert image.origin == "upper"
    return (top - z2) / (top - bottom) * rows, (z1 - left) / (right - left) * columns


def test_grid_draws_row_0_at_the_bottom_and_every_image_at_its_z() -> None:
    rows, columns, low, high = 4, 6, -2.0, 3.0
    (axes,) = grid(constant_tiles(rows, columns, height=5, width=7), low, high).axes
    (image,) = axes.images
    picture = shown(axes)
    for i, z2 in enumerate(np.linspace(low, high, rows)):
        for j, z1 in enumerate(np.linspace(low, high, columns)):
            down, across = place_of(image, z1, z2)
            top, left = 6 * (rows - 1 - i), 8 * j  # of tile (i, j), a gap of 1 after each
            assert down == pytest.approx(top + 5 / 2)
            assert across == pytest.approx(left + 7 / 2)
            np.testing.assert_array_equal(picture[top : top + 5, left : left + 7], (10 * i + j) / 100)


def test_grid_axes_are_in_latent_units() -> None:
    (axes,) = grid(constant_tiles(3, 12), -3, 3).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")
    assert list(axes.get_yticks()) == [-3, 0, 3]  # few rows: one tick each
    assert set(axes.get_xticks()) >= {-2, 0, 2}  # many columns: round numbers
    assert axes.get_xlim()[0] < -3 < 3 < axes.get_xlim()[1]
    assert axes.get_ylim()[0] < -3 < 3 < axes.get_ylim()[1]


def test_grid_keeps_pixels_square() -> None:
    (axes,) = grid(constant_tiles(3, 5, height=4, width=9), -1, 1).axes
    left, right, bottom, top = axes.images[0].get_extent()
    rows, columns = shown(axes).shape
    one = axes.transData.transform([[left, bottom], [left + (right - left) / columns, bottom + (top - bottom) / rows]])
    width, height = one[1] - one[0]
    assert width == pytest.approx(height)


def test_grid_errors() -> None:
    with pytest.raises(ValueError, match="low must be below high"):
        grid(np.zeros((3, 3, 4, 4)), 1, -1)
    with pytest.raises(ValueError, match="got 1 x 3"):
        grid(np.zeros((1, 3, 4, 4)), -1, 1)


def test_a_hole_has_a_colour_of_its_own_and_an_empty_place_none() -> None:
    tiles = np.full((1, 2, 4, 4), 0.5)
    tiles[0, 0, 1, 2], tiles[0, 1] = np.nan, np.nan
    axes = strips(tiles).axes[0]
    (image,) = axes.images
    picture = image.to_rgba(mosaic(tiles))
    np.testing.assert_allclose(picture[1, 2], to_rgba(HOLE), atol=1 / 255)
    assert (picture[:, 4:, 3] == 0).all()  # the gap, and the place without an image
    assert (picture[:, :4, 3] == 1).all()
    colours = mosaic(np.repeat(tiles[..., None], 3, axis=-1))
    np.testing.assert_allclose(colours[1, 2], to_rgba(HOLE))
    assert (colours[:, 4:, 3] == 0).all()
