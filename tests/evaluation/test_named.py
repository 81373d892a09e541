"""The table of estimators is where all that is said of them comes from."""

from typing import get_args

import pytest

from ppl_vae import UserError
from ppl_vae.evaluation import EvaluateConfig, estimates
from ppl_vae.evaluation.annealing import AnnealingConfig
from ppl_vae.evaluation.named import ESTIMATORS, IN_WORDS, Estimator, draws_in_words
from tests.pairs import stripes_data, vae_pair


def test_every_name_has_its_line_and_no_line_is_left_over() -> None:
    assert set(ESTIMATORS) == set(get_args(Estimator))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_help_has_each_with_what_it_is_and_its_draws(name: Estimator) -> None:
    way = ESTIMATORS[name]
    assert f"{name}, {way.words}" in IN_WORDS
    (of_it,) = (line for line in draws_in_words().split(".") if name in line.partition(":")[0].replace(",", "").split())
    assert way.draws in of_it
    assert str(way.num_samples) in of_it


@pytest.mark.parametrize("name", [name for name, way in ESTIMATORS.items() if not way.passes])
def test_who_does_not_anneal_says_who_does(name: Estimator) -> None:
    settings = EvaluateConfig(name, annealing=AnnealingConfig(temperatures=7))
    with pytest.raises(UserError, match=r"`temperatures`.*`estimator` ais and bdmc\.$"):
        estimates(*vae_pair(), stripes_data(3), settings, progress=False)
