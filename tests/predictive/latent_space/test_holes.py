import numpy as np
import pytest

from ppl_vae.predictive.latent_space.holes import empty_places

rng = np.random.default_rng(0)


def riddled(holes: list[tuple[float, float, float]]) -> np.ndarray:
    """Points strewn evenly over a square of side 10, none in any of the holes (x, y, radius)."""
    points = rng.uniform(-5, 5, (6000, 2))
    for x, y, radius in holes:
        points = points[np.hypot(points[:, 0] - x, points[:, 1] - y) > radius]
    return points


def test_finds_the_holes_by_size() -> None:
    holes = [(2.0, 1.0, 0.8), (-2.0, -3.0, 2.0), (-1.0, 3.0, 1.2)]
    centres, radii = empty_places(riddled(holes), 3)
    expected = sorted(holes, key=lambda hole: -hole[2])
    np.testing.assert_allclose(centres, [hole[:2] for hole in expected], atol=0.1)
    np.testing.assert_allclose(radii, [hole[2] for hole in expected], atol=0.1)


def test_discs_are_empty_lie_among_the_codes_and_do_not_overlap() -> None:
    points = rng.normal(size=(300, 2)) + 4.0 * rng.integers(0, 3, (300, 1))
    centres, radii = empty_places(points, 8)
    assert centres.shape == (8, 2)
    assert (np.diff(radii) <= 0).all()
    between = np.linalg.norm(points[:, None] - centres, axis=-1)
    np.testing.assert_allclose(between.min(axis=0), radii)
    assert (np.sort(between, axis=0)[2] <= radii * (1 + 1e-9)).all()  # three codes hold each disc
    apart = np.linalg.norm(centres[:, None] - centres, axis=-1)
    first, second = np.triu_indices(8, 1)
    assert (apart[first, second] >= radii[first] + radii[second]).all()
    assert (centres.min(axis=0) > points.min(axis=0)).all()
    assert (centres.max(axis=0) < points.max(axis=0)).all()


def test_outside_is_no_place() -> None:
    """Of an L the largest empty disc beside it is cut short by the hull: its centre is still among the codes."""
    line = np.linspace(0, 10, 200)
    points = np.vstack([np.column_stack([line, 0 * line]), np.column_stack([0 * line, line])])
    (centre,), _ = empty_places(points + 1e-3 * rng.normal(size=points.shape), 1)
    assert centre.sum() <= 10.1


def test_there_may_be_fewer() -> None:
    centres, radii = empty_places([[0.0, 0.0], [1.0, 0.0], [0.4, 1.0]], 5)
    assert centres.shape == (1, 2)
    assert radii.shape == (1,)


def test_three_codes_in_an_obtuse_triangle_hold_none() -> None:
    with pytest.raises(ValueError, match="no empty place between"):
        empty_places([[0.0, 0.0], [1.0, 0.1], [2.0, 0.0]], 3)


@pytest.mark.parametrize("codes", [np.zeros((2, 2)), np.zeros((9, 2)), np.arange(18.0).reshape(9, 2)])
def test_codes_on_a_line_are_errors(codes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not on one line"):
        empty_places(codes, 1)


def test_other_codes_are_errors() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, 2\); got \(5, 3\)"):
        empty_places(np.zeros((5, 3)), 1)
    with pytest.raises(ValueError, match="finite"):
        empty_places(np.full((5, 2), np.nan), 1)
    with pytest.raises(ValueError, match="at least 1"):
        empty_places(rng.normal(size=(5, 2)), 0)
