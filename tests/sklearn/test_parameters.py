"""Parameters that are none, and those that change between calls."""

from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from ppl_vae import UserError
from ppl_vae.sklearn import VAE

X = np.random.default_rng(0).normal(size=(20, 3))
SMALL: dict[str, Any] = {"latent_dim": 2, "hidden": (4,), "epochs": 1, "num_samples": 2, "random_state": 0}


@pytest.mark.parametrize(
    ("named", "what"),
    [
        ({"model": 3}, "`model` is 3; give a name"),
        ({"model": VAE}, "`model` is VAE; give a name, of ours or as path/to/file.py:Class"),
        ({"guide": None}, "`guide` is None; give a name"),
        ({"likelihood": None}, "`likelihood` is None; give a name"),
        ({"net": 7}, "`net` is 7; give a name"),
        ({"net": "deep"}, "`net`: must be 'auto', 'mlp' or 'conv', got 'deep'"),
        ({"num_samples": 0}, "`num_samples`: must be greater than 0, got 0"),
        ({"num_samples": None}, "`num_samples`: must be a valid integer, got None"),
        ({"weight_average": 0.9}, "`weight_average` is for a training that ends"),
        ({"patience": 2, "validation_fraction": 0.01}, "give a larger validation fraction, or patience 0"),
    ],
)
def test_what_a_parameter_cannot_be_is_refused_by_fit(named: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        VAE(**{**SMALL, **named}).fit(X)


def test_numbers_of_draws_are_held_to_their_range() -> None:
    fitted = VAE(**SMALL).fit(X)
    with pytest.raises(UserError, match="`num_samples`: must be greater than 0"):
        fitted.set_params(num_samples=-1).score(X)
    with pytest.raises(UserError, match="`n_samples`: must be greater than 0"):
        fitted.sample(0)


@pytest.mark.parametrize(
    "named",
    [{"latent_dim": 3}, {"guide": "per-datapoint"}, {"likelihood": "student-t"}, {"net": "conv"}, {"hidden": (5,)}],
)
def test_a_setting_that_a_pair_was_made_with_cannot_change_in_it(named: dict[str, Any]) -> None:
    """``partial_fit`` took no notice of it."""
    fitted = VAE(**SMALL).fit(X)
    with pytest.raises(UserError, match=f"`{next(iter(named))}` is not what this pair was made with"):
        fitted.set_params(**named).partial_fit(X)
    fitted.set_params(**{name: SMALL.get(name, getattr(VAE(), name)) for name in named}).partial_fit(X)
    assert fitted.n_iter_ == 2
    fitted.set_params(learning_rate=0.1, patience=3, num_samples=3, kl_warmup=5).partial_fit(X)
    assert fitted.n_iter_ == 3


@pytest.mark.parametrize("name", ["model_", "guide_", "settings_", "info_", "history_", "class_prior_"])
def test_what_is_learned_is_not_there_before(name: str) -> None:
    assert not hasattr(VAE(), name)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(VAE(), name)
