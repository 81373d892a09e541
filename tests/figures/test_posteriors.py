import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Circle

from ppl_vae.figures import posteriors

MEANS = np.array([[0.0, 1.0], [2.0, 4.0], [-1.0, 0.0]])
COVARIANCES = np.tile(np.diag([4.0, 0.25]), (3, 1, 1))


@pytest.mark.parametrize("standard_normal", [True, False])
def test_an_ellipse_for_each_and_the_circles_of_the_prior(standard_normal: bool) -> None:
    figure = posteriors(MEANS, COVARIANCES, ["a", "b", "b"], standard_normal=standard_normal)
    (axes,) = figure.axes
    (ellipses,) = [each for each in axes.collections if isinstance(each, EllipseCollection)]
    np.testing.assert_allclose(ellipses.get_offsets(), MEANS)
    np.testing.assert_allclose(ellipses.get_widths(), np.full(3, 4.0))
    radii = [patch.radius for patch in axes.patches if isinstance(patch, Circle)]
    assert radii == ([1, 2, 3] if standard_normal else [])
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[-2:] == ["a", "b"]
    colors = ellipses.get_edgecolors()
    assert (colors[1] == colors[2]).all()
    assert not (colors[0] == colors[1]).all()


def test_every_ellipse_is_seen_whole() -> None:
    wide = np.tile(np.diag([100.0, 0.25]), (3, 1, 1))
    (axes,) = posteriors(MEANS, wide).axes
    left, right = axes.get_xlim()
    assert left < -11
    assert right > 12


def test_errors() -> None:
    with pytest.raises(ValueError, match="means \\(N, 2\\)"):
        posteriors(MEANS[:, :1], COVARIANCES)
    with pytest.raises(ValueError, match="not finite"):
        posteriors(np.full((3, 2), np.nan), COVARIANCES)
