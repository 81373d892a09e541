"""The clock, on contenders that take known times."""

import time

import pytest

from ppl_vae.bench.measure import interleave
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.timing import Timing, ratio


class Sleeper:
    def __init__(self, name, seconds, calls):
        self.name, self.seconds, self.calls = name, seconds, calls

    def run(self, steps):
        self.calls.append((self.name, steps))
        time.sleep(self.seconds * steps)
        return 0.0


def test_everybody_takes_one_turn_in_every_round():
    calls, said = [], []
    clock = Clock("cpu", repeats=5, seconds=1.0, steps=3, report=said.append)
    timings = interleave({name: Sleeper(name, 0, calls) for name in "abc"}, clock, "digits")
    rounds = [calls[begin : begin + 3] for begin in range(3, len(calls), 3)]  # after the first steps of all
    assert [sorted(turn) for turn in rounds] == [[("a", 3), ("b", 3), ("c", 3)]] * 5
    assert len({tuple(turn) for turn in rounds}) > 1  # in another order
    assert said == ["digits: first steps", *(f"digits: round {number} of 5" for number in range(1, 6))]
    assert all(len(timing.milliseconds) == 5 for timing in timings.values())


def test_steps_fill_the_time():
    clock = Clock("cpu", repeats=2, seconds=0.1, steps=None, report=lambda what: None)
    timings = interleave({"slow": Sleeper("slow", 4e-3, []), "fast": Sleeper("fast", 1e-3, [])}, clock, "")
    assert timings["slow"].median >= 4
    assert timings["fast"].median >= 1
    assert timings["slow"].steps < timings["fast"].steps <= 100


def test_times_and_ratios():
    assert Timing(10, [3.0, 1.0, 2.0]).to_dict() == {
        "ms": 2.0,
        "min": 1.0,
        "max": 3.0,
        "steps": 10,
        "repetitions": [3.0, 1.0, 2.0],
    }
    # A disturbance of the whole second round leaves the ratios alone.
    assert ratio([1.0, 10.0, 1.2], [2.0, 20.0, 2.0]) == pytest.approx((0.5, 0.5, 0.6))
