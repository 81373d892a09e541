"""A study: what it searches, that it goes on as if it had not stopped, and what it says of the best."""

import csv
import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

import ppl_vae
from ppl_vae import UserError
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.reports.tuning import TuneConfig, trials
from ppl_vae.reports.tuning.result import Trial, Tuning
from ppl_vae.reports.tuning.terms import searched_by, with_values
from ppl_vae.runs.run import TrainConfig

SMALL = {"epochs": 2, "batch_size": 647, "hidden": [8], "engine": "eager", "num_samples": 5, "device": "cpu"}
SEARCH = {"learning_rate": (1e-3, 1e-1), "latent_dim": (2, 5), "guide": ["amortized", "amortized:full-rank"]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tuning]:
    """A study of four trials; it is changed by no test."""
    out = tmp_path_factory.mktemp("tune") / "study"
    return out, ppl_vae.tune(SEARCH, "digits", out=out, trials=4, **SMALL)


def searching(*search: str) -> TuneConfig:
    return TuneConfig(search=search)


# --- What is searched -------------------------------------------------------------------------------------------------


def test_ranges_and_choices_are_read() -> None:
    terms = searching("learning-rate=1e-4..1e-2", "latent-dim=2..9", "kl_weight=1..4", "schedule=constant,cosine")
    rate, size, weight, schedule = searched_by(terms)
    assert (rate.name, rate.low, rate.high, rate.in_logarithm) == ("learning_rate", 1e-4, 1e-2, True)
    assert [type(end) for end in size.ends] == [int, int]
    assert [type(end) for end in weight.ends] == [float, float]  # it is no whole number by default
    assert not size.in_logarithm
    assert schedule.ends == ["constant", "cosine"]


def test_several_of_several_and_a_guide_with_its_family() -> None:
    (hidden,) = searched_by(searching("hidden=256 256,64 64"))
    assert hidden.ends == [[256, 256], [64, 64]]
    found = with_values(TrainConfig(), {"guide": "amortized:full-rank", "hidden": [64, 64], "learning_rate": 0.1})
    assert (found.pair.guide, found.pair.family, found.fit.optimizer.learning_rate) == ("amortized", "full-rank", 0.1)
    assert found.pair.settings == {"hidden": [64, 64]}


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("learning-rate", "'learning-rate' is no NAME=LOW..HIGH or NAME=VALUE,VALUE"),
        ("learning-rate=3..1", "is no range from a number to a greater one"),
        ("learning-rate=small..big", "is no range from a number to a greater one"),
        ("learning-rate=0..1", "`learning_rate`: must be greater than 0"),
        ("schedule=linear", "`schedule`: must be 'constant', 'cosine' or 'plateau'"),
        ("learning-rat=1e-3,1e-2", "unknown setting 'learning_rat'"),
        ("seed=0..9", "validation bounds with another `seed` are not comparable"),
        ("binarization=none,static", "validation bounds with another `binarization` are not comparable"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(search: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        searched_by(searching(search))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_is_named_once() -> None:
    for search in ((), ("patience=1..3", "patience=4,5")):
        with pytest.raises(UserError, match="name each setting once"):
            searched_by(searching(*search))


# --- The study --------------------------------------------------------------------------------------------------------


def test_its_trials_are_in_their_ranges_and_the_first_is_as_given(study: tuple[Path, Tuning]) -> None:
    _, tuning = study
    first, *others = tuning.trials
    assert (first.values, len(others)) == ({}, 3)
    for each in others:
        assert each.values.keys() == SEARCH.keys()
        assert 1e-3 <= each.values["learning_rate"] <= 1e-1
        assert each.values["latent_dim"] in range(2, 6)
        assert each.values["guide"] in SEARCH["guide"]
    assert len({each.bound for each in tuning.trials}) == 4
    assert tuning.best.bound == max(each.bound for each in tuning.trials if not each.ended)


def test_the_best_is_a_run_that_has_its_bound(study: tuple[Path, Tuning]) -> None:
    out, tuning = study
    run = ppl_vae.open(out / f"trial-{tuning.best.number}", "cpu")
    assert run.history[-1].validation_bound == tuning.best.bound
    assert run.settings.fit.optimizer.learning_rate == tuning.best.values.get("learning_rate", 1e-3)
    first = ppl_vae.open(out / "trial-0", "cpu")
    elbos = [ppl_vae.elbo(r.model, r.guide, r.split("test").fixed(0), num_samples=5).elbo.mean for r in (run, first)]
    if tuning.best.number:
        assert tuning.gain.mean == pytest.approx(elbos[0] - elbos[1], abs=0.1)
        assert len(tuning.gain.values) == 359


def test_the_table_is_written_the_best_first(study: tuple[Path, Tuning]) -> None:
    out, tuning = study
    with (out / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[0]["trial"]) == tuning.best.number
    assert float(rows[0]["validation_bound"]) == tuning.best.bound
    assert str(tuning) in (out / "tune.txt").read_text()
    assert tuning.next_step.command.startswith("ppl-vae train ")


def test_going_on_is_as_if_it_had_not_stopped(
    study: tuple[Path, Tuning], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within its third trial, which is done again, and then gone on to one more than was asked for at first."""
    _, whole = study
    usual, count = trials.fit, 0

    def stopping(*args: object, **more: object) -> object:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return usual(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "fit", stopping)
        with pytest.raises(KeyboardInterrupt, match=r"the same command with `out` .* goes on"):
            ppl_vae.tune(SEARCH, "digits", out=tmp_path / "cut", trials=3, **SMALL)
    assert ppl_vae.tune(SEARCH, "digits", out=tmp_path / "cut", trials=4, **SMALL).trials == whole.trials


def test_a_folder_of_other_terms_is_refused(study: tuple[Path, Tuning], tmp_path: Path) -> None:
    out = Path(shutil.copytree(study[0], tmp_path / "copy"))
    with pytest.raises(UserError, match="holds a study on other terms"):
        ppl_vae.tune(SEARCH, "digits", out=out, trials=4, **{**SMALL, "epochs": 3})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    with pytest.raises(UserError, match="holds no study"):
        ppl_vae.tune(SEARCH, "digits", out=tmp_path / "mine", trials=4, **SMALL)


def test_what_diverges_is_told_and_counts(tmp_path: Path) -> None:
    wild = {"learning_rate": [1e25, 1e26]}
    found = ppl_vae.tune(wild, "digits", out=tmp_path / "wild", trials=2, **SMALL)
    assert found.trials[1].ended == "diverged"
    assert found.best.number == 0
    assert found.gain is None
    assert "no trial had a better validation bound" in str(found)


def test_a_guide_of_the_training_data_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a study needs guides with a q for unseen data"):
        ppl_vae.tune({"guide": ["mean-field"]}, "digits", out=tmp_path / "rows", trials=2, **SMALL)


@pytest.mark.parametrize(("shift", "beyond"), [(2.0, True), (0.0, False), (-2.0, False)])
def test_the_gain_is_beyond_chance_or_not(shift: float, beyond: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    gain = Estimate(shift + torch.randn(100, generator=generator))
    tuning = Tuning(TuneConfig(), (Trial(0, {}, -9.0, 2), Trial(1, {"latent_dim": 3}, -8.0, 2)), gain)
    assert ("is not beyond chance" not in tuning.verdict) == beyond
    assert "trial 1 less trial 0 on 100 test datapoints" in tuning.verdict
    assert dataclasses.replace(tuning, gain=None).verdict.startswith("no trial")


def test_a_trial_without_a_bound_is_the_last_and_words_with_commas_are_one_cell(tmp_path: Path) -> None:
    made = [
        Trial(0, {}, -9.0, 2),
        Trial(1, {"guide": "a,b"}, None, 0, "diverged"),
        Trial(2, {"guide": "c"}, -8.5, 1, "early"),
        Trial(3, {"guide": "d"}, 4.0, 2),
    ]
    tuning = Tuning(TuneConfig(), tuple(made), None)
    assert tuning.best.number == 3
    assert [row["trial"] for row in tuning.rows()] == [3, 0, 2, 1]
    table = csv.DictReader(tuning.write(tmp_path).read_text().splitlines())
    assert [row["guide"] for row in table] == ["d", "", "c", "a,b"]
