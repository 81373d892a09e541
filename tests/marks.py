"""Which cases of a table ``make test`` looks at; ``make test-all`` looks at every one."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_after(quick: int, cases: Iterable[Any]) -> list[Any]:
    """The first ``quick`` cases as they are, the rest with the slow tests: they find what the first ones would."""
    return [
        case
        if number < quick
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for number, case in enumerate(cases)
    ]
