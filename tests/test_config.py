"""Configurations: checked in one place, one line to an error, and the same after a trip through YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field, PositiveInt

from ppl_vae import FitConfig, UserError
from ppl_vae.config import checked, config, from_plain, to_plain
from ppl_vae.data import DataConfig
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


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Outer("x").name = "y"


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, r"--name: Field required"),
        ({"name": "x", "kind": "c"}, r"--kind: must be 'a' or 'b', got 'c'\."),
        ({"name": "x", "colour": 1}, r"--colour: "),
        ({"name": "x", "inner": {"rate": 0}}, r"--rate: must be greater than 0, got 0\."),
        ({"name": "x", "inner": {"rate": float("nan")}}, r"--rate: must be a finite number"),
        ({"name": "x", "inner": {"rate": "fast"}}, r"--rate: must be a valid number.*got 'fast'"),
        ({"name": "x", "inner": {"limit": 0}}, r"--limit: must be greater than 0, got 0\."),
        ({"name": "x", "inner": {"limit": 1.5}}, r"--limit: must be a valid integer"),
        ({"name": "x", "sizes": [1, 0]}, r"--sizes: must be greater than 0, got 0\."),
        ({"name": "x", "inner": 3}, r"--inner: must be a dictionary"),
        ([], r"--configuration: "),
        (None, r"--configuration: "),
    ],
)
def test_bad_values_name_the_flag_in_one_line(plain: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_plain(Outer, plain)
    assert "\n" not in str(caught.value)


def test_underscores_become_dashes() -> None:
    with pytest.raises(UserError, match=r"^--batch-size: must be greater than or equal to 1, got -1\.$"):
        checked(FitConfig(batch_size=-1))


@pytest.mark.parametrize("changes", [{"epochs": 1.5}, {"epochs": "many"}, {"device": 3}])
def test_a_wrong_type_is_an_error_without_a_warning(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^--{next(iter(changes))}: must be a valid"):
        checked(FitConfig(**changes))
