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


def test_names_and_ranges_of_thirty_columns_are_whole() -> None:
    names = ["mean fractal dimension", "worst smoothness", "area error"]
    ends = np.array([0.00171234, 0.0512345, 1.23456e8]), np.array([0.0172345, 0.0974123, 6.6667e9])
    figure = figures.table_profiles({"data": np.ones((5, 1, 3)), "b": np.ones((5, 1, 3))}, [*"12345"], names, ends)
    assert words(figure) == [
        "mean fractal dimension", "0.00171 to 0.0172", "worst smoothness", "0.0512 to 0.0974", "area error",
        "1.23e8 to 6.67e9",
    ]  # fmt: skip


def test_counts_lie_at_their_logarithm() -> None:
    counts = {"data": [[[0.0, 5.0], [9.0, 10.0], [99.0, 0.0]]]}
    figure = figures.table_profiles(counts, ["a"], ["n", "cm"], (0, [99.0, 10.0]), logarithmic=[True, False])
    np.testing.assert_allclose(drawn(figure)[0], [0.0, 0.5, 0.5, 1.0, 1.0, 0.0])


def test_data_on_a_way_stands_above_its_steps_and_is_always_named() -> None:
    steps = {name: X[:, :1] for name in ("from", *map(str, range(7)), "to")}
    figure = figures.table_profiles(steps, ["a"], ["cm", "m"], ENDS, in_order=True, observed=("from", "to"))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["from", "0", "3", "6", "to"]
    axes = next(axes for axes in figure.axes if axes.axison)
    first, step, *_, last = axes.lines
    assert first.get_ydata()[0] == last.get_ydata()[0] < 0  # higher than the line, where the steps are
    assert step.get_ydata()[0] == 0
    assert first.get_marker() != last.get_marker()
