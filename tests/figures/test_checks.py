"""Statistics of columns beside those of draws: what is drawn where."""

import numpy as np
import pytest

from ppl_vae import figures
from ppl_vae.figures.look.style import CATEGORICAL
from tests.figures.whole import faults


def part(data: list[float], draws: list[float], beyond: list[bool], error: float = 0.1) -> figures.Checked:
    middle = np.array(draws)
    return figures.Checked(data, middle, middle - error, middle + error, beyond)


NONE = part([np.nan] * 2, [np.nan] * 2, [False] * 2)
NO_PAIRS = figures.Checked([], [], [], [], [])


def places(axes, color: str) -> list[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_marker() in "o<>" and line.get_color() == color]
    return sorted((float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True))


def test_means_are_drawn_less_the_datas_in_its_standard_deviations_and_spreads_over_it() -> None:
    centres, spreads = part([10.0, 0.5], [14.0, 0.75], [True, False]), part([4.0, np.nan], [6.0, np.nan], [False] * 2)
    figure = figures.column_checks(["a", "a bit"], centres, spreads, NONE, NO_PAIRS)
    shown = {axes.get_label(): axes for axes in figure.axes if axes.axison}
    assert list(shown) == ["centres", "spreads"]
    assert places(shown["centres"], CATEGORICAL[2]) == [(1.0, 0.0)]
    assert places(shown["centres"], CATEGORICAL[0]) == [(0.5, 1.0)]  # of a bit √(p (1 − p)) is 0.5
    assert places(shown["spreads"], CATEGORICAL[0]) == [(1.5, 0.0)]


def test_what_is_far_off_is_at_the_edge() -> None:
    figure = figures.column_checks(["a", "b"], part([0.0, 0.0], [50.0, -50.0], [True] * 2), NONE, NONE, NO_PAIRS)
    axes = figure.axes[1]
    ends = sorted(line.get_marker() for line in axes.lines if line.get_color() == CATEGORICAL[2])
    assert ends == ["<", ">"]
    low, high = axes.get_xlim()
    assert all(low <= x <= high for x, _ in places(axes, CATEGORICAL[2]))


@pytest.mark.parametrize("far", [0.05, 0.22, 0.41, 0.95, 1.3, 2.9])
def test_ticks_are_the_data_and_a_round_number_on_either_side(far: float) -> None:
    centres, spreads = part([0.0, 0.0], [far, -far], [False] * 2), part([1.0, 1.0], [1 + far, 1.0], [False] * 2)
    figure = figures.column_checks(["a", "b"], centres, spreads, NONE, NO_PAIRS)
    assert faults(figure) == []
    (low, middle, high), others = (axes.get_xticks() for axes in figure.axes[1:])
    assert (low, middle) == (-high, 0.0)
    assert 1.0 in others
    assert others.min() >= 0


def test_what_does_not_agree_is_refused() -> None:
    with pytest.raises(ValueError, match="for 3 columns: one is needed"):
        figures.column_checks(["a", "b", "c"], NONE, NONE, NONE, NO_PAIRS)


def test_names_in_capitals_are_written_out() -> None:
    """Where there is room for them: of GEN…10 nobody knows which gene it is."""
    names = [f"GENE{number}" for number in range(100, 140)]
    part = figures.Checked(*np.zeros((4, 40)), np.zeros(40, dtype=bool))
    none = figures.Checked(*np.full((4, 780), np.nan), np.zeros(780, dtype=bool))
    figure = figures.column_checks(names, part, part, part, none)
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written
    assert set(written) <= set(names)
