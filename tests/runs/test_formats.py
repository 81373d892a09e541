"""A stored run of every format opens, evaluates to what its own version gave, and goes on as that version did."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import yaml

import ppl_vae
from ppl_vae import UserError
from ppl_vae.evaluation import EvaluateConfig
from ppl_vae.runs.evaluating import evaluate_run
from ppl_vae.runs.migration import FORMAT, migrated
from ppl_vae.runs.run import Run
from ppl_vae.runs.training import continued, train_run
from tests.fits import assert_same
from tests.runtime.test_weights import named

STORED = Path(__file__).parent / "formats"
FORMATS = sorted(int(folder.name) for folder in STORED.iterdir() if folder.is_dir())


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[Path, dict[str, Any]]]:
    """A copy of a stored run, and what its version made of it."""

    def copied(number: int) -> tuple[Path, dict[str, Any]]:
        run = Path(shutil.copytree(STORED / str(number), tmp_path / "run"))
        monkeypatch.chdir(run)  # where the data of the first is
        return run, json.loads((run / "numbers.json").read_text())

    return copied


def test_there_is_a_small_one_of_each() -> None:
    assert list(range(1, FORMAT + 1)) == FORMATS
    assert all(sum(file.stat().st_size for file in (STORED / str(each)).iterdir()) < 100_000 for each in FORMATS)


@pytest.mark.parametrize("number", FORMATS)
def test_it_evaluates_to_the_same_numbers(number: int, stored: Any) -> None:
    path, numbers = stored(number)
    run = ppl_vae.open(path, "cpu")
    for estimator, name in (("elbo", "elbo"), ("iwae", "log_px")):
        settings = EvaluateConfig(estimator=estimator, num_samples=20, limit=40, seed=1)
        found = evaluate_run(run, settings, numbers["split"]).results[name].mean
        assert found == pytest.approx(numbers[name], rel=1e-5)


@pytest.mark.parametrize("number", FORMATS)
def test_it_goes_on_and_is_of_this_format_then(number: int, stored: Any) -> None:
    path, numbers = stored(number)
    wanted = {int(epoch): bound for epoch, bound in numbers["bounds"].items()}
    settings = Run.open(path).record.config
    with continued(path, replace(settings, fit=replace(settings.fit, epochs=max(wanted)))) as training:
        history = train_run(training, progress=False)
    assert {row.epoch: row.bound for row in history if row.epoch in wanted} == pytest.approx(wanted, rel=1e-4)
    record = yaml.safe_load((path / "config.yaml").read_text())
    assert (next(iter(record)), record["format"]) == ("format", FORMAT)
    now = ppl_vae.open(path, "cpu")
    assert len(now.history) == max(wanted)
    assert_same(dict(safetensors.torch.load_file(path / "model.safetensors")), named(now.model, now.guide))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (FORMAT + 1, f"is of format {FORMAT + 1}, and this version reads those up to {FORMAT}; take a later version"),
        (0, "its format is 0, which is no number from 1 on"),
        ("three", "its format is 'three'"),
        (True, "its format is True"),
    ],
)
def test_a_format_that_is_not_known_is_refused_in_one_line(number: object, words: str, stored: Any) -> None:
    path, _ = stored(FORMAT)
    record = yaml.safe_load((path / "config.yaml").read_text())
    assert record["format"] == FORMAT
    (path / "config.yaml").write_text(yaml.safe_dump({**record, "format": number}))
    with pytest.raises(UserError, match=r"config\.yaml: not a configuration of this version of ppl_vae") as caught:
        ppl_vae.open(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_format_takes_its_own_steps_alone() -> None:
    flat = {"config": {"pair": {"model": "vae", "hidden": [3]}}}
    nested = {"config": {"pair": {"model": "vae", "settings": {"hidden": [3]}}}}
    assert migrated(flat) == migrated({"format": 1, **flat}) == nested
    assert migrated({"format": 2, **nested}) == migrated(nested) == nested
    for number in (2, FORMAT):
        assert migrated({"format": number, **flat}) == flat  # no step leads there, and whoever reads it refuses it


@pytest.mark.parametrize("place", ["settings", "pair", "fit", "record"])
def test_a_key_that_is_not_known_is_named(place: str, stored: Any) -> None:
    path, _ = stored(FORMAT)
    record = yaml.safe_load((path / "config.yaml").read_text())
    pair = record["config"]["pair"]
    where = {"settings": pair["settings"], "pair": pair, "fit": record["config"]["fit"], "record": record}[place]
    where["hiddn"] = [5]
    (path / "config.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(UserError, match=r"config\.yaml: .*there is no setting `hiddn`; ") as caught:
        ppl_vae.open(path, "cpu")
    assert place != "settings" or "did you mean `hidden`?" in str(caught.value)
    assert "\n" not in str(caught.value)
