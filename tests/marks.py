"""Which cases of a table ``make test`` looks at; ``make test-all`` looks at every one."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_after(quick: int, cases: Iterable[Any]) -> list[Any]:
    """The first ``quick`` cases as they are, the rest with the slow tests: they find what the first ones would."""
    return [case if number < quick else _slow(case) for number, case in enumerate(cases)]


def slow_but(quick: Iterable[str], names: Iterable[str]) -> list[Any]:
    """Cases by name: these as they are, the rest with the slow tests."""
    wanted, found = set(quick), list(names)
    assert wanted <= set(found), wanted - set(found)
    return [name if name in wanted else _slow(name) for name in found]


def _slow(case: Any) -> Any:
    if hasattr(case, "marks"):  # a pytest.param
        return pytest.param(*case.values, marks=[*case.marks, pytest.mark.slow], id=case.id)
    values = case if type(case) is tuple else (case,)  # a named tuple is one value
    return pytest.param(*values, marks=pytest.mark.slow)
