import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from ppl_vae.figures import film_frame

rng = np.random.default_rng(0)
GRID = rng.random((4, 4, 5, 5))


def frame(means, scale=0.1, labels=None, **more) -> Figure:
    return film_frame(means, np.tile(scale * np.eye(2), (len(means), 1, 1)), labels, GRID, 3.5, **more)


def test_axes_do_not_move_between_frames() -> None:
    frames = [frame(rng.normal(size=(5, 2)) * 3, 4.0, np.arange(5)), frame(np.zeros((2, 2)), 1e-6, [0, 1])]
    for first, second in zip(frames[0].axes, frames[1].axes, strict=True):
        np.testing.assert_array_equal(first.get_position().bounds, second.get_position().bounds)
        assert first.get_xlim() == second.get_xlim()
        assert first.get_ylim() == second.get_ylim()


def test_dots_lie_at_the_means_and_ellipses_are_one_standard_deviation() -> None:
    means = rng.normal(size=(3, 2))
    # Standard deviations 2 along (3, 4) / 5 and ½ across it.
    turn = np.array([[3, -4], [4, 3]]) / 5
    covariance = turn @ np.diag([4.0, 0.25]) @ turn.T
    plane, _ = film_frame(means, np.tile(covariance, (3, 1, 1)), [7, 8, 8], GRID, 3.5).axes
    (ellipses,) = [each for each in plane.collections if isinstance(each, EllipseCollection)]
    (dots,) = [each for each in plane.collections if each is not ellipses]
    np.testing.assert_allclose(dots.get_offsets(), means)
    np.testing.assert_allclose(ellipses.get_offsets(), means)
    np.testing.assert_allclose(ellipses.get_widths(), np.full(3, 4.0))
    np.testing.assert_allclose(ellipses.get_heights(), np.full(3, 1.0))
    np.testing.assert_allclose(np.tan(np.radians(ellipses.get_angles())), np.full(3, 4 / 3))
    colors = dots.get_facecolors()
    assert (colors[1] == colors[2]).all()
    assert not (colors[0] == colors[1]).all()


def test_the_grid_stands_on_its_own_z_and_row_0_at_the_bottom() -> None:
    _, tiles = frame(np.zeros((2, 2))).axes
    (image,) = tiles.images
    half = 3 / 3
    assert image.get_extent() == [-3 - half, 3 + half, -3 - half, 3 + half]
    picture = np.ma.filled(image.get_array(), np.nan)
    np.testing.assert_array_equal(picture[-5:, :5], GRID[0, 0])


def test_labels_have_a_legend_and_the_title_is_drawn() -> None:
    (legend,) = frame(np.zeros((3, 2)), labels=[4, 9, 4], title="step 1").legends
    assert [text.get_text() for text in legend.get_texts()] == ["4", "9"]
    unlabelled = frame(np.zeros((3, 2)), title="step $1")
    assert not unlabelled.legends
    assert "step $1" in [text.get_text() for text in unlabelled.texts]


def test_errors() -> None:
    with pytest.raises(ValueError, match="means \\(N, 2\\)"):
        film_frame(np.zeros((3, 3)), np.zeros((3, 2, 2)), None, GRID, 3)
    with pytest.raises(ValueError, match="covariances \\(N, 2, 2\\)"):
        film_frame(np.zeros((3, 2)), np.zeros((2, 2, 2)), None, GRID, 3)
    with pytest.raises(ValueError, match="not finite"):
        film_frame(np.full((3, 2), np.nan), np.zeros((3, 2, 2)), None, GRID, 3)


@pytest.mark.parametrize(("point", "heading"), [(False, "q(z | x): means"), (True, "codes: z of")])
def test_what_is_no_distribution_is_called_none(point: bool, heading: str) -> None:
    figure = film_frame(np.zeros((3, 2)), np.zeros((3, 2, 2)), None, GRID, 3.5, point=point)
    assert figure.axes[0].get_title().startswith(heading)
