"""A training's history: a list of epochs that prints, draws and tabulates itself."""

import pickle

import pytest

from ppl_vae.training.metrics import EpochMetrics, History


def epoch(number: int, elbo: float, validation: float | None = None, bound: float | None = None) -> EpochMetrics:
    return EpochMetrics(number, elbo, elbo if bound is None else bound, elbo + 3, 3.0, 1.0, validation, 0.5)


VALIDATED = [epoch(1, -9.0, -8.0), epoch(2, -7.0, -5.0), epoch(3, -6.0, -5.5)]


def test_it_is_the_list_that_it_was() -> None:
    history = History(VALIDATED)
    assert history == VALIDATED
    assert (len(history), history[-1], list(history)) == (3, VALIDATED[2], VALIDATED)
    assert pickle.loads(pickle.dumps(History(VALIDATED, kl_warmup=2))).best == VALIDATED[2]


def test_it_prints_the_first_the_best_and_the_last_epoch() -> None:
    lines = str(History(VALIDATED)).split("\n")
    assert lines[0].split() == ["epoch", "elbo", "reconstruction", "kl", "validation", "bound", "seconds"]
    assert [line.split() for line in lines[1:4]] == [
        ["first", "1", "-9.00", "-6.00", "3.00", "-8.00", "0.50"],
        ["best", "2", "-7.00", "-4.00", "3.00", "-5.00", "0.50"],
        ["last", "3", "-6.00", "-3.00", "3.00", "-5.50", "0.50"],
    ]
    assert lines[4:] == ["nats per datapoint, bigger is better"]
    assert "best, last  3" in str(History(VALIDATED, kl_warmup=2))
    assert str(History()) == "no epoch yet"


def test_without_validation_no_epoch_is_the_best_and_a_bound_is_named_beside_the_elbo() -> None:
    text = str(History([epoch(1, -9.0, bound=-8.5), epoch(2, -7.0, bound=-6.5)]))
    assert "best" not in text
    assert "validation" not in text
    assert text.split("\n")[0].split() == ["epoch", "elbo", "bound", "reconstruction", "kl", "seconds"]
    assert text.split("\n")[1].split() == ["first", "1", "-9.00", "-8.50", "-6.00", "3.00", "0.50"]


@pytest.mark.parametrize(
    ("elbo", "bound", "same"),
    [(-9.0, -9.0, True), (-9.0, -9.00005, True), (-2e4, -2e4 - 0.01, True), (-9.0, -8.99, False), (-9.0, -9.3, False)],
)
def test_a_bound_is_the_elbo_where_they_differ_by_rounding_alone(elbo: float, bound: float, same: bool) -> None:
    history = History([epoch(1, -9.0), epoch(2, elbo, bound=bound)])
    assert history.of_elbo is same
    assert ("bound" in str(history)) is not same


def test_it_is_a_table_and_a_picture() -> None:
    history = History(VALIDATED)
    assert [row["validation_bound"] for row in history.rows()] == [-8.0, -5.0, -5.5]
    assert history._repr_html_().count("<tr>") == 4
    assert {axes.get_label() for axes in history.figure("three epochs").axes} == {"bound", "reconstruction", "kl"}
    with pytest.raises(ValueError, match="history is empty"):
        History().figure()
