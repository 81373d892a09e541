"""The figure of the gaps: every part of every bar as long as its value, where it says it is."""

import math

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppl_vae import figures
from ppl_vae.figures import GapBar
from ppl_vae.figures.look.style import WIDTH

DIAGONAL = GapBar("diagonal", (1.5, 0.1), (0.75, 0.05))
FULL_RANK = GapBar("full-rank", (0.02, 0.01), (2.2, 0.08))
PLANAR = GapBar("planar", (0.5, math.nan), (1.7, math.nan))
GROUPS = [("test data", [DIAGONAL, FULL_RANK]), ("training data", [PLANAR, DIAGONAL, FULL_RANK])]


def parts(axes: Axes) -> tuple[list[float], list[float], list[float]]:
    """Widths of the approximation gaps, widths of the amortization gaps, and where the latter begin."""
    approximation, amortization = axes.containers
    return (
        [bar.get_width() for bar in approximation],
        [bar.get_width() for bar in amortization],
        [bar.get_x() for bar in amortization],
    )


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_panel_for_each_split_a_bar_for_each_family() -> None:
    figure = figures.gaps(GROUPS, "digits: vae")
    assert [axes.get_title() for axes in figure.axes] == ["test data", "training data"]
    for axes, (_, bars) in zip(figure.axes, GROUPS, strict=True):
        approximation, amortization, starts = parts(axes)
        assert approximation == [bar.approximation[0] for bar in bars]
        assert amortization == pytest.approx([bar.amortization[0] for bar in bars])
        assert starts == approximation  # one after the other: together they are the inference gap
        assert [label.get_text() for label in axes.get_yticklabels()] == [bar.label for bar in bars]
    assert figure.get_label() == "digits: vae"


def test_the_legend_says_which_is_which() -> None:
    figure = figures.gaps(GROUPS)
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert [text.split(":")[0] for text in words] == ["approximation gap", "amortization gap"]
    colors = [handle.get_facecolor() for handle in legend.get_patches()]
    assert colors == [container[0].get_facecolor() for container in figure.axes[0].containers]
    assert colors[0] != colors[1]


def test_first_family_at_the_top() -> None:
    figure = figures.gaps(GROUPS)
    for axes in figure.axes:
        heights = [label.get_window_extent().y0 for label in axes.get_yticklabels()]
        assert heights == sorted(heights, reverse=True)
        bars = [bar.get_y() + bar.get_height() / 2 for bar in axes.containers[0]]
        assert bars == pytest.approx(list(range(len(bars))))


def test_every_number_is_written_with_its_error_if_it_has_one() -> None:
    figure = figures.gaps([("test data", [DIAGONAL, FULL_RANK, PLANAR])])
    written = ", ".join(texts(figure.axes[0])).replace("amortization ", "").replace("approximation ", "")
    expected = ["1.50 ± 0.10", "0.020 ± 0.010", "0.50", "0.750 ± 0.050", "2.200 ± 0.080", "1.70"]
    assert sorted(written.replace("\n", " ").split(", ")) == sorted(expected)


def overlaps(figure: Figure) -> bool:
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        if any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place]):
            return True
    return False


def test_numbers_keep_out_of_each_others_way() -> None:
    assert not overlaps(figures.gaps(GROUPS))


def test_panels_share_their_scale_and_hold_all_bars() -> None:
    figure = figures.gaps(GROUPS)
    limits = [axes.get_xlim() for axes in figure.axes]
    assert limits[0] == limits[1]
    assert limits[0][0] == 0
    assert limits[0][1] > max(sum((bar.approximation[0], bar.amortization[0])) for _, bars in GROUPS for bar in bars)


@pytest.mark.parametrize(
    "bar",
    [
        GapBar("full-rank", (-0.3, 0.1), (1.0, 0.1)),
        GapBar("full-rank", (1.0, 0.1), (-0.3, 0.1)),
        GapBar("full-rank", (0.1, 0.1), (-0.3, 0.1)),
        GapBar("full-rank", (-0.1, 0.1), (-0.3, 0.1)),
        GapBar("full-rank", (0.0, 0.0), (0.0, 0.0)),
    ],
)
def test_gaps_that_noise_has_sent_below_zero_are_drawn(bar: GapBar) -> None:
    figure = figures.gaps([("test data", [bar])])  # warnings are errors: limits that coincide are one
    left, right = figure.axes[0].get_xlim()
    ends = [0.0, bar.approximation[0], bar.approximation[0] + bar.amortization[0]]
    assert left <= min(ends)
    assert max(ends) <= right
    assert left < right
    hatched = [patch.get_hatch() is not None for part in figure.axes[0].containers for patch in part]
    assert hatched == [bar.approximation[0] < 0, bar.amortization[0] < 0]  # no bar of a gap that is there


def test_the_unit_stands_under_the_lowest_panel() -> None:
    *_, lowest = figures.gaps(GROUPS).axes
    assert lowest.get_xlabel() == "nats per datapoint below log p(x)"


def test_grows_with_families_and_splits() -> None:
    low, high = figures.gaps(GROUPS[:1]).get_size_inches(), figures.gaps(GROUPS).get_size_inches()
    assert high[1] > low[1]
    assert high[0] == pytest.approx(low[0])
    assert high[0] == pytest.approx(WIDTH)


@pytest.mark.parametrize("groups", [[], [("test data", [])], [("test data", [DIAGONAL]), ("training data", [])]])
def test_nothing_to_draw_is_refused(groups: list[tuple[str, list[GapBar]]]) -> None:
    with pytest.raises(ValueError, match="no gap to draw"):
        figures.gaps(groups)
