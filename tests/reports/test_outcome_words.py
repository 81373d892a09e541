"""The last lines say what the result is, which way is better, and what to do next."""

import pytest
import torch

from ppl_vae.evaluation.comparison import ranking_of
from ppl_vae.reports.comparison_table import Table
from ppl_vae.training.metrics import EpochMetrics, History


def history(bounds, **settings):
    epochs = [EpochMetrics(n, b, b, b, 0.0, 1.0, b, 1.0, b, 0.0) for n, b in enumerate(bounds, start=1)]
    return History(epochs, **settings)


@pytest.mark.parametrize(
    ("bounds", "rising"),
    [
        ([-100.0], True),  # one epoch
        ([-100.0, -50.0, -40.0], True),
        ([-100.0 / n for n in range(1, 9)], True),
        ([-100.0 * 0.5**n for n in range(40)], False),
        ([-100.0 + min(n, 10) + 0.3 * (-1) ** n for n in range(60)], False),  # noise alone at the end
        ([-90.0, -95.0, -99.0, -120.0], False),
        ([-100.0 + 0.5 * n + 0.3 * (-1) ** n for n in range(60)], True),  # a climb through the same noise
        ([-100.0 + 10 * min(n, 10) + 0.01 * n for n in range(60)], False),  # a climb that is little of the whole
    ],
)
def test_whether_training_has_ended(bounds, rising):
    assert history(bounds).still_rising is rising


def test_what_rose_in_the_warm_up_alone_has_not_risen():
    bounds = [-200.0 + 10 * n for n in range(10)] + [-100.0 + 0.001 * n for n in range(10)]
    assert not history(bounds, kl_warmup=10).still_rising


def table(values):
    return Table([], ranking_of({name: torch.tensor(rows) for name, rows in values.items()}), {}, {}, {})


def test_the_best_guide_is_named_with_what_it_is_better_by():
    clear = {"a": [[-90.0, -80.0], [-90.1, -80.1]], "b": [[-100.0, -90.0], [-100.1, -90.1]]}
    assert table(clear).result.startswith("a is the best: its bound on log p(x) is 10.0")
    assert table(clear).result.endswith("nats per datapoint above that of b, the next (higher is better)")


def test_a_tie_is_called_one_first():
    tied = {"a": [[-90.0, -80.0], [-95.0, -70.0]], "b": [[-80.0, -91.0], [-90.0, -80.0]], "c": [[-990.0, -980.0]] * 2}
    said = table(tied).result
    assert said.startswith("a tie: no guide is known to be the best. a has the highest bound on log p(x) here")
    assert table({"a": [[-1.0, -2.0]]}).result == ""
