"""scikit-learn's own checks of an estimator: all of them, none expected to fail."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from ppl_vae.sklearn import VAE

# Each trains a dozen times or so.
_SLOW = {
    "check_fit_score_takes_y",
    "check_transformer_data_not_an_array",
    "check_pipeline_consistency",
    "check_estimators_dtypes",
    "check_transformer_preserve_dtypes",
    "check_positive_only_tag_during_fit",
}


def _name(check: Any) -> str:
    while hasattr(check, "func"):
        check = check.func
    return str(check.__name__)


def _checks() -> list[Any]:
    """What ``parametrize_with_checks([VAE()])`` has, the slow ones marked."""
    found = [
        pytest.param(each, check, id=_name(check), marks=[pytest.mark.slow] * (_name(check) in _SLOW))
        for each, check in estimator_checks_generator(VAE())
    ]
    assert {param.id for param in found} >= _SLOW
    return found


@pytest.mark.parametrize(("estimator", "check"), _checks())
def test_it_is_an_estimator(estimator: Any, check: Callable[[Any], object]) -> None:
    check(estimator)
