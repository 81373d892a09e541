"""Rows of a table on their columns' lines."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppl_vae import figures

X = np.array([[[10.0, 0.5], [20.0, 2.0]]])  # a panel of two rows
ENDS = (np.array([10.0, 0.0]), np.array([30.0, 1.0]))


def drawn(figure: Figure, panel: int = 0) -> list[list[float]]:
    """Places of each series' marks along the lines, of one panel."""
    axes: list[Axes] = [each for each in figure.axes if each.axison]
    return [list(line.get_xdata()) for line in axes[panel].lines]  # type: ignore[arg-type]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_each_number_lies_on_its_own_columns_line() -> None:
    figure = figures.table_profiles({"data": X}, ["a"], ["cm", "share"], ENDS)
    (places,) = drawn(figure)
    np.testing.assert_allclose(places[:3], [0.0, 0.5, 0.5])
    assert 1.0 < places[3] < 1.5  # outside of what training had, and drawn at the edge
    assert words(figure) == ["cm", "10 to 30", "share", "0 to 1"]


def test_errors_are_lengths_on_the_same_line() -> None:
    figure = figures.table_profiles({"a": X[:, :1], "b": X[:, :1] + 5}, ["1"], ["cm", "m"], ENDS, {"b": X[:, :1]})
    axes = next(axes for axes in figure.axes if axes.axison)
    bars = axes.collections[-1].get_paths()
    left, right = bars[0].vertices[:, 0]
    assert (left, right) == pytest.approx((-0.25, 0.75))  # 15 ± 10 cm on a line from 10 to 30
    assert len(figure.legends[0].get_texts()) == 2


def test_of_many_steps_the_ends_and_the_middle_are_named() -> None:
    steps = {str(n): X[:, :1] + n for n in range(7)}
    figure = figures.table_profiles(steps, ["a"], ["cm", "m"], ENDS, in_order=True)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0", "3", "6"]
    assert len(drawn(figure)) == 7


def test_a_hole_is_no_mark() -> None:
    holed = np.where(X == 20, np.nan, X)
    assert np.isnan(drawn(figures.table_profiles({"data": holed}, ["a"], ["cm", "m"], ENDS))[0]).sum() == 1


@pytest.mark.parametrize(
    ("series", "panels"),
    [({}, ["a"]), ({"a": X}, []), ({"a": X}, ["a", "b"]), ({"a": X[0]}, ["a"]), ({"a": X, "b": X[..., :1]}, ["a"])],
)
def test_refuses_what_does_not_agree(series: dict[str, np.ndarray], panels: list[str]) -> None:
    with pytest.raises(ValueError, match="is needed"):
        figures.table_profiles(series, panels, ["cm", "m"], ENDS)
