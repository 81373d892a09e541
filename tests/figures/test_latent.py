import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ppl_vae.figures import latent_scatter
from ppl_vae.figures.style import CATEGORICAL, class_colors

rng = np.random.default_rng(0)
CODES = rng.normal(size=(60, 2))


def drawn(axes: Axes) -> np.ndarray:
    (points,) = axes.collections
    return np.asarray(points.get_offsets())


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_two_dimensions_are_drawn_as_they_are() -> None:
    (axes,) = latent_scatter(CODES).axes
    np.testing.assert_array_equal(drawn(axes), CODES)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")
    assert axes.get_aspect() == 1.0


def test_circles_show_the_scale_of_the_prior() -> None:
    figure = latent_scatter(1e-3 * CODES)  # a collapsed posterior must look collapsed
    (axes,) = figure.axes
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    assert [circle.get_radius() for circle in circles] == [1, 2, 3]
    assert all(circle.get_center() == (0, 0) for circle in circles)
    assert axes.get_xlim()[0] < -3 < 3 < axes.get_xlim()[1]
    assert "|z| = 1, 2, 3" in legend_of(figure)


def test_more_dimensions_are_projected_on_principal_components() -> None:
    scales = np.array([0.1, 3.0, 0.1, 1.0])
    codes = rng.normal(size=(5000, 4)) * scales + 7.0
    (axes,) = latent_scatter(codes).axes
    points = drawn(axes)
    assert abs(np.corrcoef(points[:, 0], codes[:, 1])[0, 1]) > 0.999
    assert abs(np.corrcoef(points[:, 1], codes[:, 3])[0, 1]) > 0.999
    np.testing.assert_allclose(points.std(axis=0), [3.0, 1.0], rtol=0.05)
    assert axes.get_xlabel() == "1st principal component (90 % of variance)"
    assert axes.get_ylabel() == "2nd principal component (10 % of variance)"
    assert axes.get_aspect() == 1.0
    assert not axes.patches  # circles of the prior have no meaning here


def test_collapsed_codes_have_no_components_but_a_picture() -> None:
    (axes,) = latent_scatter(np.ones((5, 3))).axes
    assert axes.get_xlabel() == "1st principal component (0 % of variance)"


@pytest.mark.parametrize("names", [["0", "1", "2"], ["cat", "dog", "owl"]])
def test_few_labels_have_a_legend_outside(names: list[str]) -> None:
    labels = np.array(names)[rng.integers(0, 3, 60)]
    figure = latent_scatter(CODES, labels)
    (axes,) = figure.axes
    (points,) = axes.collections
    colors = [to_hex(color) for color in np.asarray(points.get_facecolor())]
    assert colors == [CATEGORICAL[names.index(label)] for label in labels]
    assert legend_of(figure)[:3] == names
    (legend,) = figure.legends
    handles = [to_hex(line.get_color()) for line in legend.get_lines()[:3]]
    assert handles == list(CATEGORICAL[:3])
    assert legend.get_window_extent().x0 >= axes.get_window_extent().x1


def test_many_labels_have_a_colour_bar() -> None:
    labels = np.arange(60) % 30 * 2
    figure = latent_scatter(CODES, labels)
    axes, bar = figure.axes
    (points,) = axes.collections
    assert to_hex(np.asarray(points.get_facecolor())[29]) == class_colors(30)[29]
    assert bar.get_ylabel() == "label"
    ticks = [text.get_text() for text in bar.get_yticklabels()]
    assert ticks == [str(2 * place) for place in range(0, 30, 3)]
    assert list(bar.get_yticks()) == list(range(0, 30, 3))
    assert legend_of(figure) == ["|z| = 1, 2, 3"]


def test_ten_classes_are_few_and_eleven_many() -> None:
    assert len(latent_scatter(CODES, np.arange(60) % 10).axes) == 1
    assert len(latent_scatter(CODES, np.arange(60) % 11).axes) == 2


def test_one_dimension_is_a_histogram_beside_the_prior() -> None:
    codes = rng.normal(size=(4000, 1))
    figure = latent_scatter(codes, np.arange(4000) % 2)
    (axes,) = figure.axes
    (prior,) = axes.lines
    z, density = np.asarray(prior.get_xdata()), np.asarray(prior.get_ydata())
    assert density.max() == pytest.approx(0.3989, abs=1e-4)
    assert np.trapezoid(density, z) == pytest.approx(1, abs=1e-3)
    # The outline of the upper class is the histogram of all: its height is about the prior's.
    tops = [float(patch.get_path().vertices[:, 1].max()) for patch in axes.patches]
    assert max(tops) == pytest.approx(0.4, abs=0.08)
    assert min(tops) == pytest.approx(0.2, abs=0.05)
    assert axes.get_xlabel() == "z1"
    assert legend_of(figure) == ["0", "1", "prior N(0, 1)"]


def test_histogram_holds_every_code() -> None:
    (axes,) = latent_scatter([[-9.0], [0.0], [12.0]]).axes
    low, high = axes.get_xlim()
    assert low < -9
    assert high > 12


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_errors(dimensions: int, bad: float) -> None:
    codes = np.zeros((5, dimensions))
    codes[3, -1] = bad
    with pytest.raises(ValueError, match="not finite"):
        latent_scatter(codes)


@pytest.mark.parametrize("shape", [(5,), (0, 2), (5, 0), (5, 2, 1)])
def test_codes_of_another_shape_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"codes must have shape \(N, D\)"):
        latent_scatter(np.zeros(shape))


def test_labels_of_another_length_are_errors() -> None:
    with pytest.raises(ValueError, match=r"labels of shape \(60,\), got \(59,\)"):
        latent_scatter(CODES, np.zeros(59))


def test_one_code_has_no_principal_components() -> None:
    with pytest.raises(ValueError, match="at least 2 codes"):
        latent_scatter(np.zeros((1, 3)))
