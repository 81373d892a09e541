"""What the environment says of other processes is believed only where it makes sense, and all of them have to agree."""

import os
from typing import Any

import pytest
import torch.distributed as dist

from ppl_vae import UserError
from ppl_vae.runtime.processes import Group, joined

TOLD = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
LOCAL = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    def tell(**words: str) -> None:
        for name in {*TOLD, *LOCAL} & os.environ.keys():
            monkeypatch.delenv(name)
        for name, word in words.items():
            monkeypatch.setenv(name, word)

    return tell


MALFORMED = {
    "rank is a word": ({"RANK": "first"}, "RANK='first' is no whole number from 0 to 1"),
    "rank is negative": ({"RANK": "-1"}, "RANK='-1' is no whole number from 0 to 1"),
    "rank of another": ({"RANK": "2"}, "RANK='2' is no whole number from 0 to 1"),
    "rank is empty": ({"RANK": ""}, "RANK='' is no whole number"),
    "size is a fraction": ({"WORLD_SIZE": "1.5"}, "WORLD_SIZE='1.5' is no whole number from 1"),
    "size is nothing": ({"WORLD_SIZE": "0"}, "WORLD_SIZE='0' is no whole number from 1"),
    "port is a word": ({"MASTER_PORT": "http"}, "MASTER_PORT='http' is no whole number from 1 to 65535"),
    "port is out of range": ({"MASTER_PORT": "99999"}, "MASTER_PORT='99999' is no whole number from 1 to 65535"),
    "no port": ({"MASTER_PORT": ""}, "no MASTER_PORT"),
    "no address": ({"MASTER_ADDR": ""}, "no MASTER_ADDR"),
    "nobody's address": ({"MASTER_ADDR": "nowhere.invalid"}, "MASTER_ADDR=nowhere.invalid: no machine of that name"),
    "local rank is a word": ({"LOCAL_RANK": "x"}, "LOCAL_RANK='x' is no whole number from 0 to 1"),
    "local rank of another": (
        {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "1"},
        "LOCAL_RANK='1' is no whole number from 0 to 0",
    ),
    "more here than anywhere": ({"LOCAL_WORLD_SIZE": "3"}, "LOCAL_WORLD_SIZE='3' is no whole number from 1 to 2"),
}


@pytest.mark.parametrize("row", MALFORMED)
def test_what_makes_no_sense_is_refused(told: Any, row: str) -> None:
    words, message = MALFORMED[row]
    told(**{**TOLD, **LOCAL, **words})
    with pytest.raises(UserError, match="start all processes by torchrun, or unset RANK") as caught, joined():
        pass
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not dist.is_initialized()


def test_the_command_line_says_it_in_one_line(told: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from ppl_vae.cli.main import main

    told(**{**TOLD, "MASTER_PORT": "http"})
    assert main(["train", "--out", "nowhere/run"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ppl-vae: MASTER_PORT='http' is no whole number")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [{}, {"RANK": "3"}, {"WORLD_SIZE": "many"}, {"MASTER_PORT": "x"}, {"LOCAL_RANK": "7"}, {**TOLD, "WORLD_SIZE": "1"}],
)
def test_left_over_words_leave_a_process_alone(told: Any, words: dict[str, str]) -> None:
    told(**words)
    with joined() as group:
        assert group == Group()


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"epochs": 3, "optimizer": {"learning_rate": 0.1}}, r"do not agree on epochs \(2 and 3\)"),
        ({"epochs": 2, "optimizer": {"learning_rate": 0.2}}, r"do not agree on learning_rate \(0.1 and 0.2\)"),
        ({"epochs": 2, "optimizer": {"learning_rate": 0.1}, "film": True}, r"do not agree on film \(None and True\)"),
        ({"epochs": 2, "optimizer": {"learning_rate": 0.1}}, None),
    ],
)
def test_processes_agree_or_say_on_what_not(
    monkeypatch: pytest.MonkeyPatch, theirs: dict[str, Any], message: str | None
) -> None:
    def gathered(everyone: list[Any], mine: Any) -> None:
        flat = {"epochs": theirs["epochs"], "optimizer.learning_rate": theirs["optimizer"]["learning_rate"]}
        everyone[:] = [mine, flat | {name: theirs[name] for name in theirs.keys() & {"film"}}]

    monkeypatch.setattr(dist, "all_gather_object", gathered)
    group = Group(0, 2)
    if message is None:
        group.agree(epochs=2, optimizer={"learning_rate": 0.1})
        return
    with pytest.raises(UserError, match=message):
        group.agree(epochs=2, optimizer={"learning_rate": 0.1})
