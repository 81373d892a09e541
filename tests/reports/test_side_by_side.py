"""Runs side by side, from Python; what is drawn is in `tests/cli/test_baseline.py`, `test_holes.py` and
`test_perturb.py`."""

from pathlib import Path

import pytest

from ppl_vae import UserError
from ppl_vae.reports.side_by_side import draws_of_runs, perturbed_codes_of_runs, planes_of_runs


def test_mistakes_are_found_before_a_run_is_opened() -> None:
    nowhere = [Path("nowhere")]
    with pytest.raises(UserError, match=r"^name one or more runs\.$"):
        draws_of_runs([])
    with pytest.raises(UserError, match=r"^name one or more runs\.$"):
        planes_of_runs([])
    with pytest.raises(UserError, match=r"^name one or more runs\.$"):
        perturbed_codes_of_runs([])
    with pytest.raises(UserError, match=r"^`span`"):
        perturbed_codes_of_runs(nowhere, span=0.0)
    with pytest.raises(UserError, match=r"^`rows`: with `by_label`"):
        draws_of_runs(nowhere, 2, by_label=True)
    with pytest.raises(UserError, match=r"^`columns`"):
        draws_of_runs(nowhere, columns=0)
    with pytest.raises(UserError, match=r"^`num_places`"):
        planes_of_runs(nowhere, num_places=0)
