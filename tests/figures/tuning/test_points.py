"""What is drawn of a study: kinds of trials, how far down, places of numbers and words."""

import numpy as np
import pytest

from ppl_vae import figures
from ppl_vae.figures.tuning.points import Points


def test_each_trial_has_its_kind() -> None:
    points = Points([-10.0, -9.0, -8.0, -8.5, np.nan, -90.0], [True, True, False, True, False, True])
    end, early, below = "ran to its end", "ended early", "lower, or without a bound"
    assert points.kinds == [end, end, early, "the best", below, below]  # the highest was not seen to its end
    assert points.heights[-1] == points.heights[-2] == points.low


def test_a_few_wild_trials_leave_the_others_their_room() -> None:
    calm = [-10.0, -10.5, -11.0, -10.2, -10.8]
    points = Points([*calm, -1e6], [True] * 6)
    assert -15 < points.low < -11
    assert Points(calm, [True] * 5).low == pytest.approx(-11.08)  # all of them, and a margin


def test_one_trial_is_enough_and_none_is_not() -> None:
    points = Points([-3.0], [True])
    assert points.low < -3 < points.high
    for bounds, whole in (([], []), ([np.nan], [True]), ([-3.0], [False]), ([-3.0], [True, True])):
        with pytest.raises(ValueError, match=r"no trial|of shape"):
            figures.trial_history(bounds, whole)


def test_the_line_of_the_best_waits_for_trials_that_ran_to_their_end() -> None:
    figure = figures.trial_history([-10.0, -8.0, -9.0, -9.5], [True, False, True, True])
    (line,) = (each for each in figure.axes[0].lines if each.get_label() == "the best so far")
    assert line.get_ydata().tolist() == [-10.0, -10.0, -9.0, -9.0]


def test_numbers_are_on_the_scale_of_the_search_and_words_in_their_strips() -> None:
    rate = figures.Searched("rate", [0.0, 1e-3, 1e-2, 1e-4], logarithmic=True)
    size = figures.Searched("size", [10, 5, 20, 40])
    words = figures.Searched("schedule", ["plateau", "cosine", "constant", "cosine"], ("constant", "cosine"))
    figure = figures.trial_settings([rate, size, words], [-4.0, -3.0, -2.0, -1.0], [True] * 4)
    axes = {each.get_label(): each for each in figure.axes}
    assert [each.get_xscale() for each in axes.values()] == ["log", "linear", "linear"]
    assert [text.get_text() for text in axes["schedule"].get_xticklabels()] == ["constant", "cosine", "plateau"]
    drawn = np.concatenate([line.get_xdata() for line in axes["schedule"].lines if line.get_linestyle() == "None"])
    assert sorted(np.round(drawn)) == [0, 1, 1, 2]
    assert not np.isfinite(axes["rate"].lines[1].get_xdata()[0])  # there is no 0 on a logarithmic axis
    with pytest.raises(ValueError, match="a value for each of the 2 trials"):
        figures.trial_settings([size], [-1.0, -2.0], [True, True])
