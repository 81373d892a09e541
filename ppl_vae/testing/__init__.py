"""What every model/guide pair is held to, ours and yours: one function for each invariant.

In a test of your own::

    import pytest, torch
    from ppl_vae.testing import CHECKS, Case

    MINE = Case("mine", make=lambda: (MyModel(), MyGuide()), x=torch.rand(6, 784).round())

    @pytest.mark.parametrize("check", CHECKS)
    def test_mine(check):
        check(MINE)

A family, a likelihood or a prior of your own is held to the same in a small pair of ours: ``family_case(MyFamily)``,
``likelihood_case(MyLikelihood)``, ``prior_case(MyPrior)``. A check that does not hold raises AssertionError, which says
what does not hold and where.
"""

from collections.abc import Callable

from ppl_vae.testing.case import Case, Pair
from ppl_vae.testing.learning import check_gradients, check_learning, check_objective_is_pyros
from ppl_vae.testing.parts import family_case, likelihood_case, prior_case
from ppl_vae.testing.program import (
    check_contract,
    check_copy,
    check_guide_looks_at_x,
    check_leading_dimensions,
    check_precision,
    check_rows_are_independent,
    check_same_noise_same_answer,
    check_shapes,
    check_state_round_trip,
)
from ppl_vae.testing.pyros import check_nuts, check_predictive, check_pyros_elbo_as_a_module, check_pyros_svi

CHECKS: tuple[Callable[[Case], None], ...] = (
    check_contract,
    check_shapes,
    check_leading_dimensions,
    check_rows_are_independent,
    check_guide_looks_at_x,
    check_precision,
    check_gradients,
    check_state_round_trip,
    check_copy,
    check_same_noise_same_answer,
    check_objective_is_pyros,
    check_learning,
    check_pyros_elbo_as_a_module,
    check_pyros_svi,
    check_predictive,
    check_nuts,
)
"""All of them, the quick ones first."""

OF_A_Q_WITHOUT_NOISE = (
    check_leading_dimensions,
    check_rows_are_independent,
    check_guide_looks_at_x,
    check_precision,
)
"""Those of a guide whose q is a function of x alone. One that draws to find its q, as a semi-amortized guide does where
its family draws, has another q each time, so that these say nothing of it."""

__all__ = [
    "CHECKS",
    "OF_A_Q_WITHOUT_NOISE",
    "Case",
    "Pair",
    "check_contract",
    "check_copy",
    "check_gradients",
    "check_guide_looks_at_x",
    "check_leading_dimensions",
    "check_learning",
    "check_nuts",
    "check_objective_is_pyros",
    "check_precision",
    "check_predictive",
    "check_pyros_elbo_as_a_module",
    "check_pyros_svi",
    "check_rows_are_independent",
    "check_same_noise_same_answer",
    "check_shapes",
    "check_state_round_trip",
    "family_case",
    "likelihood_case",
    "prior_case",
]
