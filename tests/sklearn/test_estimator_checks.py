"""scikit-learn's own checks of an estimator: all of them, none expected to fail."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from ppl_vae.sklearn import VAE


@parametrize_with_checks([VAE()])
def test_it_is_an_estimator(estimator: Any, check: Callable[[Any], object]) -> None:
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([VAE(model="conditional", epochs=3, num_samples=10)])
def test_one_that_classifies_is_one_too(estimator: Any, check: Callable[[Any], object]) -> None:
    check(estimator)
