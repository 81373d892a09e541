"""What trackers are told of a fit."""

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ppl_vae import UserError, fit
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.training.metrics import EpochMetrics
from ppl_vae.training.tracking import TensorBoard
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import vae_pair


class Listening:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def begin(self, settings: Mapping[str, Any]) -> None:
        self.heard.append(("begin", settings["epochs"], settings["optimizer"]["learning_rate"]))

    def epoch(self, metrics: EpochMetrics) -> None:
        self.heard.append(metrics)

    def end(self, history: Sequence[EpochMetrics]) -> None:
        self.heard.append(("end", [row.epoch for row in history]))


def test_it_is_told_of_the_settings_each_epoch_and_the_end_and_changes_nothing() -> None:
    trackers, pair, alone = [Listening(), Listening()], vae_pair(), vae_pair()
    history = fit(*pair, TRAIN, VALIDATION, settings(epochs=3), trackers=trackers)
    fit(*alone, TRAIN, VALIDATION, settings(epochs=3))
    for tracker in trackers:
        assert tracker.heard == [("begin", 3, 0.01), *history, ("end", [1, 2, 3])]
    assert_same(weights(*pair), weights(*alone))


def test_it_is_told_of_an_end_before_the_last_epoch_and_of_going_on(tmp_path: Path) -> None:
    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    first, second, path = Listening(), Listening(), tmp_path / "a.pt"
    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, settings(), checkpoint_path=path, on_epoch=stop, trackers=[first])
    assert first.heard[-1] == ("end", [1, 2])
    fit(*vae_pair(), TRAIN, VALIDATION, settings(), checkpoint_path=path, resume=True, trackers=[second])
    assert [row.epoch for row in second.heard[1:-1]] == [3, 4, 5]
    assert second.heard[-1] == ("end", [1, 2, 3, 4, 5])


def test_those_that_have_begun_are_told_of_the_end_where_another_cannot_begin() -> None:
    class Failing(Listening):
        def begin(self, settings: Mapping[str, Any]) -> None:
            raise UserError("no network")

    first = Listening()
    with pytest.raises(UserError, match="no network"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), trackers=[first, Failing()])
    assert [heard[0] for heard in first.heard] == ["begin", "end"]


def test_tensorboard_writes_its_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(*vae_pair(), TRAIN, VALIDATION, settings(epochs=2), trackers=[TensorBoard(tmp_path / "events")])
    (events,) = (tmp_path / "events").iterdir()
    assert events.stat().st_size > 500


class Losing(Listening):
    """What a tracker is without a network."""

    def epoch(self, metrics: EpochMetrics) -> None:
        super().epoch(metrics)
        raise ConnectionError("no route to host")

    def end(self, history: Sequence[EpochMetrics]) -> None:
        super().end(history)
        raise ConnectionError("no route to host")


def test_training_outlives_what_looks_on() -> None:
    losing, other, said = Losing(), Listening(), list[str]()
    pair, alone = vae_pair(), vae_pair()
    history = fit(*pair, TRAIN, VALIDATION, settings(epochs=3), trackers=[losing, other], warn=said.append)
    fit(*alone, TRAIN, VALIDATION, settings(epochs=3))
    assert said == ["Losing has failed at epoch 1 (ConnectionError: no route to host); training goes on without it."]
    assert losing.heard == [("begin", 3, 0.01), history[0], ("end", [1, 2, 3])]
    assert other.heard == [("begin", 3, 0.01), *history, ("end", [1, 2, 3])]
    assert_same(weights(*pair), weights(*alone))


@pytest.mark.parametrize(
    ("trackers", "what"),
    [
        (Listening(), "`trackers` is a Listening; give a list of trackers, if only of one."),
        ([Listening], "`trackers` holds the class Listening; a tracker is an object with begin, epoch, end."),
        ([print], "`trackers` holds a builtin_function_or_method; a tracker is an object with begin, epoch, end."),
    ],
)
def test_what_is_no_tracker_is_refused(trackers: Any, what: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(what)}$"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), trackers=trackers)
