"""Runs opened for use."""

from typing import Any

import pytest

from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.errors import UserError


@pytest.mark.parametrize("limit", [-1, 0, "few", 1.5])
def test_a_limit_is_a_number_of_rows(limit: Any) -> None:
    run: Any = None  # it is looked at before the run is
    with pytest.raises(UserError, match=r"^`limit`: must be "):
        OpenedRun.split(run, "test", limit)
