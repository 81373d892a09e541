"""What takes long shows that it goes on: a bar where it is asked for, lines of the log where there is no terminal."""

import logging
import os
import pty
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ppl_vae.data import Dataset
from ppl_vae.diagnostics import evaluate
from ppl_vae.evaluation import GapsConfig, gaps_by_family
from ppl_vae.guides import Diagonal
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.runtime import progress
from ppl_vae.runtime.progress import bar
from tests.pairs import optimal, oracle, simulate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[float]:
    """What the clock says, to be set."""
    now = [0.0]
    monkeypatch.setattr(progress, "FIRST_LINE", 10.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "ppl_vae")
    return now


def test_lines_come_each_after_twice_the_time(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    with bar(1000, "datapoint", "fitting") as done:
        for second in range(1, 101):
            clock[0] = float(second)
            done.update(10 if second > 50 else 0)
    assert caplog.messages == [
        "fitting  0 of 1,000 datapoints after 10 s",
        "fitting  0 of 1,000 datapoints after 20 s",
        "fitting  0 of 1,000 datapoints after 40 s",
        "fitting  300 of 1,000 datapoints after 80 s",
    ]


@pytest.mark.parametrize("seconds", [9.0, 139.4])
@pytest.mark.parametrize("num", [9, 10])
def test_what_is_done_and_took_long_says_how_long(
    clock: list[float], caplog: pytest.LogCaptureFixture, seconds: float, num: int
) -> None:
    with bar(10, "datapoint", "fitting") as done:
        done.update(num)
        clock[0] = seconds
    done.close()
    assert caplog.messages == ["fitting  10 datapoints took 139 s"] * (num == 10 and seconds > 10)


@pytest.mark.parametrize("shown", [True, False])
def test_who_asks_for_a_bar_or_for_none_has_no_lines(
    clock: list[float], shown: bool, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with bar(10, "step", "training", shown) as done:
        clock[0] = 99.0
        done.update(10)
    assert caplog.messages == []
    assert ("training" in capsys.readouterr().err) == shown


class Output:
    """What a cell of a notebook shows: each state of its one output."""

    def __init__(self) -> None:
        self.shown = list[dict[str, str]]()

    def display(self, data: dict[str, str], **_: Any) -> "Output":
        assert not self.shown, "a second output"
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], **_: Any) -> None:
        self.shown.append(data)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Output:
    output = Output()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=output.display))
    return output


def test_in_a_notebook_it_is_one_output_without_widgets_and_without_a_terminal(
    notebook: Output, clock: list[float], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.Bar(1000, "step", "training", mininterval=0) as done:
        for step in range(1000):
            done.set_postfix_str(f"epoch {step // 100}, bound < 0", refresh=False)
            done.update()
    assert 2 <= len(notebook.shown) < 100
    first, last = notebook.shown[0], notebook.shown[-1]
    assert first["text/plain"] == "training: 0 of 1,000 steps, 00:00"
    assert last["text/plain"] == "training: 1,000 of 1,000 steps, 00:00, epoch 9, bound < 0"
    assert '<progress value="1000" max="1000"' in last["text/html"]
    assert "bound &lt; 0" in last["text/html"]
    assert (caplog.messages, *capsys.readouterr()) == ([], "", "")


def test_in_a_notebook_what_is_to_go_is_gone_and_what_is_not_asked_for_not_there(notebook: Output) -> None:
    with bar(10, "step", "training", shown=False) as done:
        done.update(10)
    assert notebook.shown == []
    with bar(10, "step", "training", delay=60) as done:
        done.update(10)
    assert notebook.shown == []
    with bar(10, "step", "training") as done:
        done.update(10)
    assert notebook.shown[-1] == {"text/html": "", "text/plain": ""}


def test_a_terminal_without_a_width_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()  # nobody has said how wide it is
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with bar(10, "step", "training") as done:
            done.update(10)
        assert b"training" in os.read(ours, 4096)
    os.close(ours)


def test_what_evaluates_and_what_takes_gaps_apart_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    caplog.set_level(logging.INFO, "ppl_vae")
    model = oracle(size=3, latent_dim=2)
    data, guide = Dataset(simulate(model, 4)), optimal(model, Diagonal)
    evaluate(model, guide, data, diagnosed=False)
    short = InferConfig(infer_starts=1, infer_steps=4, infer_window=2)
    few = GapsConfig(
        elbo_samples=5, num_samples=5, chains=2, temperatures=2, prior_temperatures=2, leapfrog=1, engine="eager"
    )
    gaps_by_family(model, guide, {"diagonal": Diagonal(2)}, data, few, short)
    told = [words.split()[0] for words in caplog.messages if "after" in words]
    assert list(dict.fromkeys(told)) == ["evaluating", "fitting", "annealing"]
