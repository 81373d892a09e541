from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle, StepPatch

from ppl_vae.figures import latent_scatter
from ppl_vae.figures.look.style import CATEGORICAL, class_colors

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
    assert "radius 1, 2, 3" in legend_of(figure)


def test_more_dimensions_are_projected_on_principal_components() -> None:
    scales = np.array([0.1, 3.0, 0.1, 1.0])
    codes = rng.normal(size=(5000, 4)) * scales + 7.0
    (axes,) = latent_scatter(codes).axes
    points = drawn(axes)
    assert abs(np.corrcoef(points[:, 0], codes[:, 1])[0, 1]) > 0.999
    assert abs(np.corrcoef(points[:, 1], codes[:, 3])[0, 1]) > 0.999
    np.testing.assert_allclose(points.std(axis=0), [3.0, 1.0], rtol=0.05)
    assert axes.get_xlabel() == "1st component (90 % of variance)"
    assert axes.get_ylabel() == "2nd component (10 % of variance)"
    assert axes.get_aspect() == 1.0


def test_collapsed_codes_have_no_components_but_a_picture() -> None:
    (axes,) = latent_scatter(np.ones((5, 3))).axes
    assert axes.get_xlabel() == "1st component (0 % of variance)"


@pytest.mark.parametrize("names", [["0", "1", "2"], ["cat", "$dog", "owl"]])
def test_classes_are_named_where_they_lie(names: list[str]) -> None:
    index = rng.integers(0, 3, 60)
    codes = CODES + 5.0 * index[:, None]
    figure = latent_scatter(codes, np.array(names)[index])
    (axes,) = figure.axes
    (points,) = axes.collections
    order = sorted(names)
    colors = [to_hex(color) for color in np.asarray(points.get_facecolor())]
    assert colors == [CATEGORICAL[order.index(names[place])] for place in index]
    labels = {text.get_text(): text for text in axes.texts}
    assert set(labels) == set(names)
    for place, name in enumerate(names):
        label = labels[name]
        np.testing.assert_allclose(label.get_position(), np.median(codes[index == place], axis=0), atol=1e-3)
        frame = label.get_bbox_patch()
        assert frame is not None
        assert to_hex(frame.get_edgecolor()) == CATEGORICAL[order.index(name)]
        assert to_hex(frame.get_facecolor()) == "#ffffff"


def test_names_that_would_lie_on_each_other_keep_close_a_line_leading_back() -> None:
    index = np.arange(60) % 4
    codes = 1e-4 * CODES + np.array([[-2.0, 0.0], [2.0, 0.0], [2.0, 0.1], [0.0, 2.0]])[index]
    (axes,) = latent_scatter(codes, index).axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    medians = np.array([np.median(codes[index == place], axis=0) for place in range(4)])
    away = np.linalg.norm([text.get_position() for text in axes.texts] - medians, axis=1)
    assert away[0] == away[3] == 0
    assert 0 < away[1:3].max() < 1
    leading = [np.asarray(line.get_xydata()) for line in axes.lines if len(line.get_xydata()) == 2]
    np.testing.assert_allclose([line[1] for line in leading], medians[1:3])


def test_names_of_collapsed_classes_stand_in_the_legend() -> None:
    """All at one place: names around it would look like clusters."""
    figure = latent_scatter(1e-4 * CODES, np.arange(60) % 10)
    assert not figure.axes[0].texts
    assert legend_of(figure)[-10:] == [str(number) for number in range(10)]


def test_margins_are_the_draws_beside_the_prior() -> None:
    draws = rng.normal(size=(40_000, 2)) * [1.0, 0.25] + [0.0, 1.0]
    figure = latent_scatter(CODES, draws=draws)
    (axes,) = figure.axes
    above, beside = axes.child_axes
    assert (above.get_label(), beside.get_label()) == ("marginal 1", "marginal 2")
    assert above.get_xlim() == axes.get_xlim()
    assert beside.get_ylim() == axes.get_ylim()
    assert above.get_ylabel() == beside.get_xlabel() == "density"
    for panel, mean, scale in ((above, 0.0, 1.0), (beside, 1.0, 0.25)):
        (bars,) = (patch for patch in panel.patches if isinstance(patch, StepPatch))
        heights, edges, _ = bars.get_data()
        places, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        assert (heights * widths).sum() == pytest.approx(1, abs=0.01)
        assert (heights * widths * places).sum() == pytest.approx(mean, abs=0.05)
        assert (heights * widths * (places - mean) ** 2).sum() ** 0.5 == pytest.approx(scale, rel=0.05)
    (prior,) = above.lines
    assert np.asarray(prior.get_ydata()).max() == pytest.approx(0.3989, abs=1e-4)
    (prior,) = beside.lines
    assert np.asarray(prior.get_xdata()).max() == pytest.approx(0.3989, abs=1e-4)
    assert legend_of(figure) == ["radius 1, 2, 3", "draws of q(z | x)", "prior N(0, 1)"]


def test_margins_line_up_with_the_scatter() -> None:
    (axes,) = latent_scatter(CODES, draws=CODES).axes
    scatter = axes.get_window_extent()
    above, beside = (panel.get_window_extent() for panel in axes.child_axes)
    assert (above.x0, above.x1) == pytest.approx((scatter.x0, scatter.x1))
    assert (beside.y0, beside.y1) == pytest.approx((scatter.y0, scatter.y1))
    assert scatter.width == pytest.approx(scatter.height)


def test_draws_are_projected_as_the_codes_are_and_the_prior_stays_the_prior() -> None:
    codes = rng.normal(size=(500, 4)) * [0.1, 3.0, 0.1, 1.0] + 7.0
    draws = rng.normal(size=(40_000, 4))
    (axes,) = latent_scatter(codes, draws=draws).axes
    assert np.abs(drawn(axes).mean(axis=0)).max() > 3  # where they are, not about their own mean
    for panel in axes.child_axes:
        heights, edges, _ = next(patch for patch in panel.patches if isinstance(patch, StepPatch)).get_data()
        places, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        assert (heights * widths * places).sum() == pytest.approx(0, abs=0.05)
        assert (heights * widths * places**2).sum() == pytest.approx(1, rel=0.1)


def test_another_prior_is_not_drawn_as_a_normal_one() -> None:
    for dimensions in (1, 2, 3):
        codes = rng.normal(size=(60, dimensions))
        figure = latent_scatter(codes, draws=codes, standard_normal=False)
        assert legend_of(figure) == ["draws of q(z | x)"]
        assert not any(isinstance(patch, Circle) for patch in figure.axes[0].patches)


def test_many_labels_have_a_colour_bar() -> None:
    labels = np.arange(60) % 30 * 2
    figure = latent_scatter(CODES, labels)
    axes, bar = figure.axes
    (points,) = axes.collections
    assert to_hex(np.asarray(points.get_facecolor())[29]) == class_colors(30)[29]
    assert bar.get_xlabel() == "label"
    ticks = [text.get_text() for text in bar.get_xticklabels()]
    assert ticks == [str(2 * place) for place in range(0, 30, 3)]
    assert list(bar.get_xticks()) == list(range(0, 30, 3))
    assert legend_of(figure) == ["radius 1, 2, 3"]


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


def test_draws_of_another_shape_are_errors() -> None:
    with pytest.raises(ValueError, match="draws of 3 dimensions for codes of 2"):
        latent_scatter(CODES, draws=np.zeros((5, 3)))
    with pytest.raises(ValueError, match="draws hold values that are not finite"):
        latent_scatter(CODES, draws=np.full((5, 2), np.nan))


def test_labels_of_another_length_are_errors() -> None:
    with pytest.raises(ValueError, match=r"labels of shape \(60,\), got \(59,\)"):
        latent_scatter(CODES, np.zeros(59))


def test_one_code_has_no_principal_components() -> None:
    with pytest.raises(ValueError, match="at least 2 codes"):
        latent_scatter(np.zeros((1, 3)))
