"""A training's history: a list of epochs that prints, draws and tabulates itself."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from ppl_vae import FitConfig, fit
from ppl_vae.guides import Point
from ppl_vae.runtime import checkpoint
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training.config import loss_in_words
from ppl_vae.training.metrics import EpochMetrics, History
from tests.fits import TRAIN, VALIDATION, settings
from tests.pairs import vae_pair


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
    assert lines[4:] == ["nats per datapoint, bigger is better, except for the KL"]
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


def test_it_says_what_the_loss_was_where_that_is_not_minus_the_bound() -> None:
    words = {
        ("nothing", 1.0, False): "",
        ("nothing", 4.0, False): "the KL has weight 4 in the loss",
        ("nothing", 0.0, False): "the loss is minus the reconstruction alone",
        ("kl", 1.0, True): "the loss is minus the reconstruction alone",
        ("nothing", 1.0, True): "the loss is minus the reconstruction, minus log p(z)",
        ("nothing", 0.5, True): "the loss is minus the reconstruction, minus 0.5 times log p(z)",
        ("reconstruction", 1.0, False): "the loss is the KL alone",
    }
    for (drop, weight, of_point), said in words.items():
        assert loss_in_words(FitConfig(drop=drop, kl_weight=weight), of_point) == said  # type: ignore[arg-type]
    assert loss_in_words(FitConfig(objective="iwae", kl_weight=0.0)) == "the KL has no part in the loss"
    history = History(VALIDATED, of_point=True, loss="the loss is minus the reconstruction alone")
    assert str(history).endswith("bigger is better; the loss is minus the reconstruction alone")
    assert "elbo" not in str(history).lower()
    assert pickle.loads(pickle.dumps(history)).loss == history.loss


def test_an_autoencoder_speaks_of_its_reconstruction(tmp_path: Path) -> None:
    """From the first fit on, and when it is resumed."""
    path = tmp_path / "run.pt"
    for epochs in (1, 2):
        chosen = settings(epochs=epochs, kl_weight=0.0, kl_warmup=0, patience=0, optimizer=OptimizerConfig())
        history = fit(*vae_pair(Point), TRAIN, VALIDATION, chosen, checkpoint_path=path, resume=path.exists())
        assert repr(history).startswith(f"History of {epochs} epoch")
        assert "reconstruction" in repr(history)
        assert history.loss == "the loss is minus the reconstruction alone"


def test_a_checkpoint_of_before_validation_had_parts_goes_on_and_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    shorter, chosen = (settings(epochs=epochs, kl_warmup=0, optimizer=OptimizerConfig()) for epochs in (2, 3))
    fit(*vae_pair(), TRAIN, VALIDATION, shorter, checkpoint_path=path)
    state = checkpoint.load(path)
    added = ("validation_reconstruction", "validation_kl")
    state["history"] = [{name: row[name] for name in row if name not in added} for row in state["history"]]
    checkpoint.save(path, state)
    history = fit(*vae_pair(), TRAIN, VALIDATION, chosen, checkpoint_path=path, resume=True)
    assert [row.validation_kl is None for row in history] == [True, True, False]
    assert {"bound", "reconstruction", "kl"} <= {axes.get_label() for axes in history.figure().axes}


def test_it_is_a_table_and_a_picture() -> None:
    history = History(VALIDATED)
    assert [row["validation_bound"] for row in history.rows()] == [-8.0, -5.0, -5.5]
    many = [replace(VALIDATED[0], epoch=number, validation_bound=-abs(number - 50.0)) for number in range(1, 101)]
    html = History(many)._repr_html_()
    assert html.count("<tr>") == 4
    assert "<td>best</td>" in html
    assert "nats per datapoint" in html
    assert History()._repr_html_() == "<p>no epoch yet</p>"
    assert {axes.get_label() for axes in history.figure("three epochs").axes} == {"bound", "reconstruction", "kl"}
    with pytest.raises(ValueError, match="history is empty"):
        History().figure()
