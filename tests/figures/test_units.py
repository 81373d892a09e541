"""KL by unit: every unit in its place and colour, whatever their number."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from PIL import Image

from ppl_vae import figures
from ppl_vae.figures.look.style import CATEGORICAL
from tests.marks import slow_after


def draw(count: int, scale: float = 1.0) -> Figure:
    rng = np.random.default_rng(0)
    kl = scale * rng.gamma(0.5, 1.5, count)
    return figures.kl_by_unit(kl, 0.05 * kl, kl > 0.4 * scale, [f"z{unit + 1}" for unit in range(count)], "KL by unit")


def bars(figure: Figure) -> dict[int, tuple[float, str]]:
    """Height and colour by place."""
    (axes,) = figure.axes
    return {
        round(bar.get_x() + bar.get_width() / 2): (bar.get_height(), to_hex(bar.get_facecolor()))
        for bar in axes.patches
    }


def names(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_sorted_named_and_coloured() -> None:
    figure = figures.kl_by_unit([0.5, 0.0, 2.0, 1.0], [0.1, 0.0, 0.2, 0.3], [True, False, True, False], list("abcd"))
    blue, orange = CATEGORICAL[:2]
    assert bars(figure) == {0: (2.0, blue), 1: (1.0, orange), 2: (0.5, blue), 3: (0.0, orange)}
    assert names(figure) == ["c", "d", "a", "b"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["active: 2 of 4 units", "inactive: 2 of 4 units"]
    assert figure.axes[0].get_label() == "kl"
    assert figure.axes[0].get_ylabel() == "KL, nats per datapoint\n± standard error"


def test_errors_stand_on_their_bars() -> None:
    figure = figures.kl_by_unit([0.5, 2.0], [0.1, 0.2], [True, True], ["a", "b"])
    (errors,) = (each for each in figure.axes[0].containers if isinstance(each, ErrorbarContainer))
    (lines,) = errors.lines[2]
    for place, (kl, error) in enumerate([(2.0, 0.2), (0.5, 0.1)]):
        np.testing.assert_allclose(lines.get_segments()[place], [[place, kl - error], [place, kl + error]])


def test_units_without_a_kl_are_left_out() -> None:
    figure = figures.kl_by_unit([0.5, np.nan, 2.0], [np.nan] * 3, [True, True, False], ["a", "b", "c"])
    figure.draw_without_rendering()
    assert names(figure) == ["c", "a"]
    assert [height for height, _ in bars(figure).values()] == [0.5, 2.0]  # the active ones are drawn first


@pytest.mark.parametrize("count", slow_after(3, [1, 25, 10, 2, 24, 100]))
def test_legible(count: int) -> None:
    """Names keep clear of each other and of the page's edge; a bar is at least a few pixels wide."""
    figure = draw(count)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert len(bars(figure)) == count
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(boxes) >= min(count, 12)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert min(bar.get_window_extent().width for bar in axes.patches) > 4
    assert ("named" in axes.get_xlabel()) == (count > 24)


def test_few_units_stand_in_the_middle_and_unused_ones_look_it() -> None:
    figure = figures.kl_by_unit([1e-4], [1e-5], [False], ["z1"])
    (axes,) = figure.axes
    assert sum(axes.get_xlim()) == pytest.approx(0.0)
    assert axes.get_ylim() == (0.0, 0.1)


def test_nothing_is_cut_off(tmp_path: Path) -> None:
    for count in (2, 10, 50):
        figures.save(draw(count), tmp_path / "figure.png")
        with Image.open(tmp_path / "figure.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        assert pixels.min() < 100
        assert min(pixels[:, :2].min(), pixels[:, -2:].min(), pixels[:2].min(), pixels[-2:].min()) == 255


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5, 2.0])
def test_ticks_do_not_depend_on_the_height(scale: float) -> None:
    """Else the layout makes room for other labels than are drawn in the end, and the name of the axis is cut off."""
    figure = draw(50, scale)
    ticks = []
    for height in (3.4, 6.0):
        figure.set_size_inches(10.0, height)
        figure.draw_without_rendering()
        ticks.append(figure.axes[0].get_yticks().tolist())
    assert ticks[0] == ticks[1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (([np.nan], [np.nan], [True], ["z"]), "no unit has a KL"),
        (([], [], [], []), "no unit has a KL"),
        (([1.0, 2.0], [0.1, 0.1], [True, True], ["z"]), "1 names"),
        (([1.0, 2.0], [0.1], [True, True], ["y", "z"]), "errors \\(1,\\)"),
        (([[1.0]], [[0.1]], [[True]], ["z"]), "shape \\(1, 1\\)"),
    ],
)
def test_refuses(arguments: tuple[list[object], ...], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        figures.kl_by_unit(*arguments)
