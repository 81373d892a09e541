"""Guides over trainings: intervals that cover, differences that are paired, ties that are shown.

``seeds.json`` holds log p(x) bounds of real trainings, made in two minutes by

    ppl-vae compare --guides amortized mean-field --seeds 24 --epochs 12 --batch-size 100 --learning-rate 0.01
        --hidden 16 --latent-dim 2 --limit 60 --num-samples 50 --infer-steps 40 --engine eager

and rounded to a thousandth of a nat: by guide, a row a seed, a column a test datapoint.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_vae.evaluation.comparison import mean_of, ranking_of

STORED = {
    guide: torch.tensor(values, dtype=torch.float64)
    for guide, values in json.loads((Path(__file__).parent / "seeds.json").read_text()).items()
}
# Quantiles of Student's t at 97.5 %, from printed tables, by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 9: 2.262, 59: 2.001}


# --- Intervals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", T)
def test_interval_of_student(freedom):
    values = np.random.default_rng(freedom).gamma(2.0, size=freedom + 1)
    found = mean_of(values.tolist())
    assert found.mean == pytest.approx(values.mean())
    assert found.stderr == pytest.approx(values.std(ddof=1) / len(values) ** 0.5)
    assert found.margin / found.stderr == pytest.approx(T[freedom], abs=6e-4)


def test_level_of_the_interval():
    assert mean_of([1.0, 2.0], level=0.99).margin == pytest.approx(63.657 / 2, abs=1e-3)


def test_a_single_value_has_no_interval():
    found = mean_of([3.0])
    assert found.mean == 3.0
    assert math.isnan(found.stderr)
    assert math.isnan(found.margin)


def test_intervals_of_three_seeds_cover():
    """The truth is the mean over all 24. What a normal's 1.96 standard errors cover is 0.80.

    The three are drawn without replacement from 24, whose mean they are held to: a finite population, of which a mean
    of three spreads √(1 − 3/24) as far as of endless ones. That flatters the coverage, by about 0.6 points.
    """
    generator = np.random.default_rng(0)
    for values in (guide.mean(1) for guide in STORED.values()):
        truth = float(values.mean())
        drawn = [mean_of(values[generator.choice(24, 3, replace=False)]) for _ in range(200)]
        assert 0.92 <= np.mean([abs(found.mean - truth) <= found.margin for found in drawn]) <= 0.98
        every = [mean_of(values[list(three)]) for three in itertools.combinations(range(24), 3)]
        assert 0.92 <= np.mean([abs(found.mean - truth) <= found.margin for found in every]) <= 0.98
        assert 0.78 <= np.mean([abs(found.mean - truth) <= 1.96 * found.stderr for found in every]) <= 0.83


# --- Ties -------------------------------------------------------------------------------------------------------------


def test_equal_guides_tie():
    """One guide under two names, with seeds of their own: in 95 of 100 at least, here of 500 draws."""
    generator = np.random.default_rng(1)
    for values in STORED.values():
        drawn = [values[generator.permutation(24)[:6]] for _ in range(500)]
        ties = [ranking_of({"one": each[:3], "other": each[3:]}).differences[0].tied for each in drawn]
        assert np.mean(ties) >= 0.95


def test_unequal_guides_do_not_tie():
    ranking = ranking_of(STORED)
    assert ranking.guides == ("amortized", "mean-field")
    assert not ranking.differences[0].tied
    assert [ranking.ranks(guide) for guide in STORED] == [(1, 1), (2, 2)]
    for half in (slice(12), slice(12, None)):
        assert not ranking_of({guide: values[half] for guide, values in STORED.items()}).differences[0].tied


def test_copies_tie():
    """No spread at all is no proof: 0 ± 0 includes zero."""
    (difference,) = ranking_of({"one": STORED["amortized"], "other": STORED["amortized"].clone()}).differences
    assert (difference.mean, difference.margin, difference.tied) == (0.0, 0.0, True)


def effects(generator, guides, seeds, datapoints, training, datapoint, noise):
    """Guides alike but for chance: what a seed, a datapoint and a draw add to each."""
    return {
        f"guide {number}": torch.tensor(
            training * generator.normal(size=(seeds, 1))
            + datapoint * generator.normal(size=datapoints)
            + noise * generator.normal(size=(seeds, datapoints))
        )
        for number in range(guides)
    }


@pytest.mark.parametrize(("training", "datapoint"), [(1.0, 0.0), (0.0, 1.0), (0.1, 1.0), (0.0, 0.0)])
def test_alike_in_the_long_run_tie(training, datapoint):
    """Whatever it is that chance has moved: false alarms are at most 5 %, within 3 standard errors."""
    generator = np.random.default_rng(3)
    made = [effects(generator, 2, 3, 50, training, datapoint, 0.5) for _ in range(400)]
    alarms = np.mean([not ranking_of(values).differences[0].tied for values in made])
    assert alarms <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_all_comparisons_hold_together():
    """Among four alike, some pair stands out in 5 % of cases at most; without a correction in many more."""
    generator = np.random.default_rng(4)
    made = [effects(generator, 4, 3, 2, 1.0, 0.0, 0.0) for _ in range(200)]
    bound = 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5

    def alarms(level):
        return np.mean([any(not each.tied for each in ranking_of(values, level).differences) for values in made])

    assert alarms(0.95) <= bound < alarms(1 - 6 * 0.05)


# --- Differences and ranks --------------------------------------------------------------------------------------------


def constant(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_difference_is_paired():
    """By hand: what both guides find hard, in seeds and in datapoints, is in no error."""
    hard = constant([0, -50, -90], [10, -40, -80])
    one = hard + constant([2, 3, 4], [3, 4, 8])  # 3, 5 by seed; 2.5, 3.5, 6 by datapoint
    ranking = ranking_of({"worse": hard, "better": one})
    assert (ranking.guides, ranking.seeds, ranking.level) == (("better", "worse"), 2, 0.95)
    (difference,) = ranking.differences
    assert (difference.better, difference.worse, difference.mean) == ("better", "worse", 4.0)
    assert difference.over_trainings == pytest.approx(T[1] * 2**0.5 / 2**0.5, rel=1e-4)
    assert difference.over_datapoints == pytest.approx(T[2] * np.std([2.5, 3.5, 6], ddof=1) / 3**0.5, rel=1e-4)
    assert difference.margin == pytest.approx(math.hypot(difference.over_trainings, difference.over_datapoints))
    assert difference.stderr_over_trainings == pytest.approx(difference.over_trainings / T[1], rel=1e-4)
    assert difference.stderr == pytest.approx(
        math.hypot(difference.stderr_over_trainings, difference.stderr_over_datapoints)
    )
    assert difference.tied


def test_margins_are_of_all_comparisons_together():
    """Of m pairs each has level 1 − 0.05 / m: for six and 2 degrees of freedom t is 10.886."""
    values = {name: STORED["amortized"][3 * number : 3 * number + 3] for number, name in enumerate("abcd")}
    ranking = ranking_of(values)
    assert len(ranking.differences) == 6
    for each in ranking.differences:
        between = (values[each.better] - values[each.worse]).mean(1).numpy()
        assert each.over_trainings == pytest.approx(10.886 * between.std(ddof=1) / 3**0.5, rel=1e-3)


def test_ranks_show_what_is_tied():
    """b may be better than a or worse than c, but a is better than c."""
    spread = constant([0.0, 0.1], [0.1, 0.0], [0.0, 0.0])
    wild = constant([-9.0, -8.0], [9.0, 8.0], [0.0, 0.0])
    ranking = ranking_of({"c": spread.flip(0), "a": spread + 10, "b": wild + 5})
    assert ranking.guides == ("a", "b", "c")
    assert [ranking.ranks(guide) for guide in "abc"] == [(1, 2), (1, 3), (2, 3)]
    assert [ranking.tied_with(guide) for guide in "abc"] == [["b"], ["a", "c"], ["b"]]


def test_clear_ranks():
    spread = constant([0.0, 0.1], [0.1, 0.0], [0.0, 0.05])
    ranking = ranking_of({"c": spread, "a": spread.flip(0) + 20, "b": spread.flip(1) + 10})
    assert [ranking.ranks(guide) for guide in "abc"] == [(1, 1), (2, 2), (3, 3)]
    assert [ranking.tied_with(guide) for guide in "abc"] == [[], [], []]


def test_one_seed_is_judged_by_its_datapoints():
    one, other = STORED["amortized"][:1], STORED["mean-field"][:1]
    (difference,) = ranking_of({"one": one, "other": other}).differences
    between = (one - other)[0].numpy()
    assert math.isnan(difference.over_trainings)
    assert difference.margin == difference.over_datapoints
    assert difference.margin == pytest.approx(T[59] * between.std(ddof=1) / 60**0.5, rel=1e-3)


def test_one_datapoint_is_judged_by_its_seeds():
    (difference,) = ranking_of({"one": constant([1], [2]), "other": constant([0], [0])}).differences
    assert math.isnan(difference.over_datapoints)
    assert difference.margin == difference.over_trainings == pytest.approx(T[1] / 2, rel=1e-4)


def test_nothing_is_known_from_one_value():
    (difference,) = ranking_of({"one": constant([1]), "other": constant([0])}).differences
    assert (difference.margin, difference.tied) == (math.inf, True)


def test_what_is_not_finite_is_ranked_last_and_tied():
    """Nobody knows how far away it is."""
    for strange in (-math.inf, math.nan):
        ranking = ranking_of({"strange": constant([0, strange], [0, 1]), "one": constant([-9, -9], [-8, -9])})
        assert ranking.guides == ("one", "strange")
        assert ranking.differences[0].tied


def test_fewer_than_two_guides():
    ranking = ranking_of({"one": STORED["amortized"]})
    assert (ranking.guides, ranking.differences, ranking.ranks("one")) == (("one",), (), (1, 1))
    assert ranking_of({}).guides == ()


def test_unpaired_values_are_refused():
    with pytest.raises(ValueError, match=r"the same seeds and datapoints for all; there are one \(2, 3\), other"):
        ranking_of({"one": torch.zeros(2, 3), "other": torch.zeros(3, 3)})
