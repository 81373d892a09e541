"""How many threads to run a compiled function with: as many as end it soonest just now, or as its size asks for.

Threads that share a small product wait for each other longer than they work; and where other processes want the cores,
each of the hundred times a step that all threads wait for the last one is lost to whoever runs meanwhile. So a function
is timed with all threads and with one, at first and now and then. That is left to the clock only where the number of
threads changes no bit of the results: the same job has to come to the same weights.
"""

import time
from collections.abc import Callable, Generator, Sequence
from statistics import median

import torch
from torch import Tensor

from ppl_vae.runtime.seeding import preserved
from ppl_vae.tracing.equality import same_numbers

Function = Callable[..., tuple[Tensor, ...]]

# A turn lasts so many seconds. A trial is short turns of each number in alternation, whose median no disturbance
# changes. The next trial is after so many seconds at the latest, and from so many on as soon as a turn is so many times
# as slow as the loser's was.
_TURN, _SHORT_TURN, _ROUNDS, _PAUSE, _LEAST, _WORSE = 0.1, 0.02, 5, 10.0, 1.0, 1.2
# Below so many multiplications in its products a function has one thread, where the clock is not to decide.
_SMALL = 50e6


class threads:  # noqa: N801  # used as a function; a generator would take as long as a small product
    """Inside ``with threads(number):`` torch computes with so many threads."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.number)

    def __exit__(self, *raised: object) -> None:
        torch.set_num_threads(self.before)


class Timed:
    """A function that is run with all threads or with one, whichever has ended sooner in the last trial.

    Args:
        function: compiled for any number of threads.
        clock: seconds, rising.
    """

    def __init__(self, function: Function, clock: Callable[[], float] = time.perf_counter) -> None:
        self.function, self.clock = function, clock
        self._numbers = _numbers()
        self.number = next(self._numbers)

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Run it."""
        began = self.clock()
        with threads(self.number):
            results = self.function(*arguments)
        self.number = self._numbers.send(self.clock() - began)
        return results


def _numbers() -> Generator[int, float, None]:
    """The number of threads for the next call; is sent how long it took."""
    while True:
        alone, together = yield from _trial()
        best, other = (1, together) if alone < together else (torch.get_num_threads(), alone)
        waited, mean = 0.0, 0.0
        while waited < _PAUSE and (waited < _LEAST or mean < _WORSE * other):
            mean = yield from _turn(best, _TURN)
            waited += max(mean, _TURN)


def _trial() -> Generator[int, float, tuple[float, float]]:
    """Seconds a call, with one thread and with all."""
    alone, together = list[float](), list[float]()
    while len(together) < _ROUNDS and max(together, default=0.0) < _TURN:  # a call may take longer than a turn
        alone.append((yield from _turn(1, _SHORT_TURN)))
        together.append((yield from _turn(torch.get_num_threads(), _SHORT_TURN)))
    return median(alone), median(together)


def _turn(number: int, seconds: float) -> Generator[int, float, float]:
    """Calls with a number of threads for so long; the mean of their seconds."""
    calls, taken = 0, 0.0
    while taken < seconds:
        taken += yield number
        calls += 1
    return taken / calls


def threaded(function: Function, size: float, on_copies: Callable[[Function], Sequence[Tensor]]) -> Function:
    """The function, run with a number of threads that suits it; see the module.

    Args:
        function: compiled for any number of threads, on a processor.
        size: multiplications in its products.
        on_copies: calls a function with copies of its arguments and returns all that it returns and changes.
    """
    if torch.get_num_threads() == 1:
        return function
    if _same_bits(function, on_copies):
        return Timed(function)
    return _with_one(function) if size < _SMALL else function


def _same_bits(function: Function, on_copies: Callable[[Function], Sequence[Tensor]]) -> bool:
    """Whether one thread comes to the very numbers that all come to."""
    found = []
    for each in (function, _with_one(function)):
        with preserved(torch.device("cpu")):
            torch.manual_seed(0)
            found.append(on_copies(each))
    return all(map(same_numbers, *found))


def _with_one(function: Function) -> Function:
    def run(*arguments: Tensor) -> tuple[Tensor, ...]:
        with threads(1):
            return function(*arguments)

    return run
