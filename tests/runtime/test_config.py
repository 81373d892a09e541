"""Configurations: checked in one place, one line to an error, and the same after a trip through YAML."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
import yaml
from pydantic import Field, PositiveInt, TypeAdapter

from ppl_vae import FitConfig, UserError
from ppl_vae.cli.main import COMMANDS
from ppl_vae.data import DataConfig
from ppl_vae.evaluation import AnnealingConfig
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.runtime.config import changed, checked, config, from_plain, to_plain
from ppl_vae.svi import OptimizerConfig


@config
class Inner:
    rate: Annotated[float, Field(gt=0)] = 0.5
    limit: PositiveInt | None = None


@config
class Outer:
    name: str
    kind: Literal["a", "b"] = "a"
    sizes: tuple[PositiveInt, ...] = (1, 2)
    where: Path = Path("here")
    inner: Inner = Inner()


def test_plain_is_plain_and_comes_back() -> None:
    outer = Outer("x", "b", (3,), Path("there"), Inner(0.25, 7))
    plain = to_plain(outer)
    assert plain == {
        "name": "x",
        "kind": "b",
        "sizes": [3],
        "where": "there",
        "inner": {"rate": 0.25, "limit": 7},
    }
    assert from_plain(Outer, yaml.safe_load(yaml.safe_dump(plain))) == outer
    assert checked(outer) == outer


@pytest.mark.parametrize("settings", [FitConfig(), DataConfig(), OptimizerConfig(clip_norm=2.0, schedule="cosine")])
def test_the_projects_own_come_back(settings: Any) -> None:
    assert from_plain(type(settings), yaml.safe_load(yaml.safe_dump(to_plain(settings)))) == settings


def test_scalars_of_numpy_and_torch_and_a_device_are_taken_for_what_they_are() -> None:
    given = FitConfig(
        epochs=np.int64(3),
        kl_weight=np.float32(0.5),
        seed=torch.tensor(7),
        device=torch.device("cpu"),
        optimizer=OptimizerConfig(learning_rate=np.float64(0.25)),
    )
    expected = FitConfig(epochs=3, kl_weight=0.5, seed=7, device="cpu", optimizer=OptimizerConfig(learning_rate=0.25))
    taken = checked(given)
    assert taken == expected
    assert type(taken.epochs) is int
    assert checked(DataConfig(data_seed=np.uint8(4))).data_seed == 4


@pytest.mark.parametrize("odd", [np.ones(2), object(), {1: 2}, torch.ones(2), b"x"])
def test_what_is_no_number_is_refused_by_the_fields_name(odd: Any) -> None:
    with pytest.raises(UserError, match="epochs"):
        checked(FitConfig(epochs=odd))


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Outer("x").name = "y"


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, r"`name`: Field required"),
        ({"name": "x", "kind": "c"}, r"`kind`: must be 'a' or 'b', got 'c'\."),
        ({"name": "x", "kind": "bb"}, r"`kind`: must be 'a' or 'b', got 'bb'; did you mean 'b'\?$"),
        ({"name": "x", "colour": 1}, r"there is no setting `colour`; "),
        ({"name": "x", "inner": {"rate": 0}}, r"`rate`: must be greater than 0, got 0\."),
        ({"name": "x", "inner": {"rate": float("nan")}}, r"`rate`: must be a finite number"),
        ({"name": "x", "inner": {"rate": "fast"}}, r"`rate`: must be a valid number.*got 'fast'"),
        ({"name": "x", "inner": {"limit": 0}}, r"`limit`: must be greater than 0, got 0\."),
        ({"name": "x", "inner": {"limit": 1.5}}, r"`limit`: must be a valid integer"),
        ({"name": "x", "sizes": [1, 0]}, r"`sizes`: must be greater than 0, got 0\."),
        ({"name": "x", "inner": 3}, r"`inner`: must be a dictionary"),
        ([], r"the configuration: "),
        (None, r"the configuration: "),
    ],
)
def test_bad_values_name_the_setting_in_one_line(plain: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_plain(Outer, plain)
    assert "\n" not in str(caught.value)


def test_a_setting_is_named_as_python_names_it() -> None:
    with pytest.raises(UserError, match=r"^`batch_size`: must be greater than or equal to 1, got -1\.$"):
        checked(FitConfig(batch_size=-1))


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        (DataConfig, "binarisation", "binarization"),
        (FitConfig, "epoch", "epochs"),
        (OptimizerConfig, "learning_rat", "learning_rate"),
        (AnnealingConfig, "temperature", "temperatures"),
        (InferConfig, "infer_step", "infer_steps"),
    ],
)
def test_a_field_of_a_name_that_there_is_not_is_told_with_the_nearest(kind: type, name: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"^unknown setting '{name}' \(known: .*\); did you mean '{near}'\?$"):
        kind(**{name: 1})


@pytest.mark.parametrize("changes", [{"epochs": 1.5}, {"epochs": "many"}, {"device": 3}])
def test_a_wrong_type_is_an_error_without_a_warning(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^`{next(iter(changes))}`: must be a valid"):
        checked(FitConfig(**changes))


def unbounded(schema: object, at: str = "") -> list[str]:
    """Where a JSON schema has a number without an upper end."""
    if isinstance(schema, list):
        return [found for number, part in enumerate(schema) for found in unbounded(part, f"{at}/{number}")]
    if not isinstance(schema, dict):
        return []
    numeric = schema.get("type") in ("integer", "number")
    here = [at] if numeric and not {"maximum", "exclusiveMaximum"} & set(schema) else []
    return here + [found for name, part in schema.items() for found in unbounded(part, f"{at}/{name}")]


def test_the_guard_sees_a_number_without_an_end() -> None:
    assert unbounded(TypeAdapter(Inner).json_schema()) == ["/properties/rate", "/properties/limit/anyOf/0"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_on_the_command_line_has_an_upper_end(command: str) -> None:
    """So that 10^400 is refused by the flag's name, and is no traceback deep in torch."""
    module, _, name = COMMANDS[command][0].partition(":")
    assert unbounded(TypeAdapter(getattr(import_module(module), name)).json_schema()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (InferConfig(infer_rate=1e300), r"^`infer_rate`: must be less than or equal to 10, got 1e\+300\.$"),
        (InferConfig(infer_rate=1e-320), r"^`infer_rate`: must be greater than or equal to 0.000001, got 1e-320\.$"),
        (InferConfig(infer_halvings=10**400), r"^`infer_halvings`: must be less than or equal to 60, got 1"),
        (AnnealingConfig(temperatures=10**400), r"^`temperatures`: must be less than or equal to 10000000, got 1"),
        (FitConfig(epochs=10**20), r"^`epochs`: must be less than 2147483648, got 1"),
        (OptimizerConfig(learning_rate=1e300), r"^`learning_rate`: must be less than or equal to 1.*, got 1e\+300\.$"),
    ],
)
def test_absurd_numbers_name_setting_and_limit_in_one_line(settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        checked(settings)
    assert len(str(caught.value)) < 150


def test_a_setting_is_changed_by_its_name_wherever_it_stands() -> None:
    before = FitConfig(batch_size=7)
    after = changed(before, {"epochs": 3, "learning_rate": 0.5})
    assert (after.epochs, after.batch_size, after.optimizer.learning_rate) == (3, 7, 0.5)
    assert (before.epochs, before.optimizer.learning_rate) == (100, 0.001)
    assert changed(before, {}) is before
    with pytest.raises(UserError, match=r"^unknown setting 'epoch' \(known: .*\); did you mean 'epochs'\?$"):
        changed(before, {"epoch": 3})
