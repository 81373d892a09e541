"""The number of threads of a compiled function: by the clock where it changes no bit, otherwise by size."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from ppl_vae.tracing.threads import Timed, threaded, threads


class _Clock:
    """Time that passes as a function computes: so long with all threads, so long with one."""

    def __init__(self, together: float, alone: float) -> None:
        self.now, self.together, self.alone = 0.0, together, alone
        self.numbers: list[int] = []

    def __call__(self) -> float:
        return self.now

    def work(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        self.numbers.append(torch.get_num_threads())
        self.now += self.alone if torch.get_num_threads() == 1 else self.together
        return arguments


@pytest.fixture(autouse=True)
def _two_threads() -> object:
    with threads(2):
        yield


@pytest.mark.parametrize(("together", "alone", "usual"), [(1e-3, 2e-3, 2), (2e-3, 1e-3, 1), (0.3, 5e-3, 1)])
def test_most_calls_have_the_number_that_ends_sooner(together: float, alone: float, usual: int) -> None:
    clock = _Clock(together, alone)
    function = Timed(clock.work, clock)
    for _ in range(20_000):
        function()
    assert clock.numbers.count(usual) > 0.9 * len(clock.numbers)
    spent_on_trying = sum(clock.alone if number == 1 else clock.together for number in clock.numbers if number != usual)
    assert spent_on_trying < 0.1 * clock.now
    assert torch.get_num_threads() == 2


def test_it_changes_its_mind_when_others_want_the_cores() -> None:
    clock = _Clock(1e-3, 2e-3)
    function = Timed(clock.work, clock)
    for _ in range(10_000):
        function()
    clock.together = 0.1
    for _ in range(10_000):
        function()
    assert set(clock.numbers[-1000:]) == {1}


def test_a_disturbance_while_it_tries_does_not_decide() -> None:
    clock = _Clock(1e-3, 2e-3)
    work = clock.work

    def disturbed(*arguments: Tensor) -> tuple[Tensor, ...]:
        if len(clock.numbers) == 15:  # among the first with all threads
            clock.now += 0.2
        return work(*arguments)

    function = Timed(disturbed, clock)
    for _ in range(3_000):
        function()
    assert set(clock.numbers[500:]) == {2}


def _first(function: Timed | object) -> int:
    """The number of threads of the next call."""
    seen: list[int] = []
    function(seen)  # type: ignore[operator]
    return seen[0]


def _note(seen: list[int]) -> tuple[()]:
    seen.append(torch.get_num_threads())
    return ()


@pytest.mark.parametrize(("size", "number"), [(1e3, 1), (1e9, 2)])
def test_where_bits_depend_on_the_threads_the_size_decides(size: float, number: int) -> None:
    def differs(function: object) -> Sequence[Tensor]:
        return [torch.tensor(_first(function))]

    found = threaded(_note, size, differs)
    assert not isinstance(found, Timed)
    assert _first(found) == number


def test_where_they_do_not_the_clock_decides() -> None:
    assert isinstance(threaded(_note, 1e9, lambda function: [torch.tensor(float("nan"))]), Timed)


def test_of_one_thread_there_is_nothing_to_decide() -> None:
    with threads(1):
        assert threaded(_note, 1e9, lambda function: []) is _note
