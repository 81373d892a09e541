"""Settings of a user's own that are hard to name, to write or to keep apart."""

import shlex

import numpy as np
import pytest
import yaml

from ppl_vae.cli.main import _parse
from ppl_vae.data import load
from ppl_vae.registry.build import settled
from ppl_vae.registry.suited import suited
from ppl_vae.runs.command_line import train_command
from ppl_vae.runs.run import Run

CLASS = """
import enum
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from ppl_vae.models import LinearGaussian
from tests.cli.own_parts import Fixed

Colour = enum.Enum("Colour", "red blue")

class Mine(Fixed):
    def __init__(self, event_shape, *, {parameters}):
        super().__init__(event_shape)
        self.found = dict(locals())
"""
TINY = ["--epochs", "1", "--hidden", "3", "--device", "cpu"]


@pytest.fixture
def mine(tmp_path):
    """A user's file with a model of these settings, as flags name it."""

    def written(parameters):
        file = tmp_path / "mine.py"
        file.write_text(CLASS.replace("{parameters}", parameters))
        return ["--model", f"{file}:Mine"]

    return written


@pytest.fixture
def few(npz):
    return ["--data", npz(x=np.random.default_rng(0).random((20, 3, 3)) > 0.5), "--binarization", "none"]


TAKEN = {
    "a command's": ("epochs: int = 3", "epochs"),
    "what says no of a command's": ("no_film: bool = True", "no_film"),
    "the help's": ("help: int = 3", "help"),
    "of two of one's own": ("loud: bool = True, no_loud: int = 3", "loud"),
    "of two in other words": ("loud: Annotated[bool, Field()] = True, no_loud: bool = False", "loud"),
}


@pytest.mark.parametrize("row", TAKEN)
def test_settings_whose_flags_are_spelt_alike_are_refused(cli, mine, row):
    parameters, name = TAKEN[row]
    status, out, err = cli("train", *mine(parameters))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"its setting '{name}' has the name of a flag that is there already; rename it." in err


@pytest.mark.parametrize("command", [["train", "--colour", "blue"], ["compare", "--colour", "blue"]])
@pytest.mark.parametrize("parameters", ["colour: Colour = Colour.red", "colour=Colour.red", "colour: object = None"])
def test_of_a_parameter_that_no_flag_can_give_the_types_are_told_that_can_be(cli, mine, parameters, command):
    status, out, err = cli(*command, *mine(parameters))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "mine.py:Mine takes it, but a setting's type is a number, a word, yes or no, a choice (Literal)" in err


def test_a_parameter_that_nobody_can_give_is_refused(cli, mine, few):
    status, _, err = cli("train", *few, *mine("colour: Colour"))
    assert (status, err.count("\n")) == (2, 1)
    assert "asks for 'colour', which is not available" in err
    assert "(A setting stands after *, its type or default a number, a word or a choice.)" in err


@pytest.mark.parametrize("name", ["lambda_", "_inner", "a_b_"])
def test_what_is_said_of_a_setting_has_its_flag_as_it_is_typed(cli, mine, name):
    flag = "--" + {"a_b_": "a-b_"}.get(name, name)
    status, _, err = cli("train", *mine(f"{name}: Annotated[float, Field(gt=0)] = 1.0"), flag, "-1")
    assert (status, err) == (2, f"ppl-vae: {flag}: must be greater than 0, got -1.0.\n")


KINDS = {
    "a pair of kinds": ("a: tuple[int, str] = (1, 'x')", [2, "y"]),
    "pairs": ("a: tuple[tuple[int, int], ...] = ((1, 2),)", [[3, 4], [5, 6]]),
    "none": ("a: tuple[int, ...] = ()", [7]),
    "whole and broken": ("a: list[float] = [1, 2.5]", [2.0, 3.5]),
    "perhaps none": ("a: int | None = None", 3),
    "a choice of numbers": ("a: Literal[1, 2] = 1", 2),
    "number or word": ("a: int | str = 3", "b"),
    "perhaps yes": ("a: bool | None = None", True),
    "a choice of yes and no": ("a: Literal[True, False] = True", False),
    "yes or no": ("a: bool = False", True),
    "a name of pydantic's": ("a: int = 3, model_config: int = 3, copy: int = 2, json: str = 'x'", 4),
    "words": ("a: Sequence[str] = ('a',)", ["b c", "None"]),
}


@pytest.mark.parametrize("row", KINDS)
def test_settings_of_every_kind_are_recorded_and_a_run_goes_on_with_them(cli, mine, few, tmp_path, row, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    parameters, value = KINDS[row]
    words = ["--a"] if row == "yes or no" else ["--a", *_flat([value])]
    for given, number in ([], 0), (words, 1):
        run = tmp_path / f"run{number}"
        status, _, err = cli("train", *few, *TINY, *mine(parameters), *given, "--out", run)
        assert status == 0, err
        recorded = yaml.safe_load((run / "config.yaml").read_text())
        status, _, err = cli("train", "--resume", run, "--epochs", "2")
        assert status == 0, err
        assert yaml.safe_load((run / "config.yaml").read_text())["config"]["pair"] == recorded["config"]["pair"]
    assert recorded["config"]["pair"]["settings"]["a"] == value
    # The command that its report shows makes the same.
    record = Run.open(run).record
    again = _parse(shlex.split(train_command(record.asked, run))[1:])
    pair = suited(again.settings.pair, load(again.settings.data)).pair
    assert settled(pair, record.info) == record.config.pair


def _flat(value):
    return [each for part in value for each in (_flat(part) if isinstance(part, list) else [part])]
