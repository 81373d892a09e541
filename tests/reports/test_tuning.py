"""A study: what it searches, that it goes on as if it had not stopped, and what it says of the best."""

import csv
import re
import shutil
import signal
import sys
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ppl_vae
from ppl_vae import UserError
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.reports.tuning import TuneConfig, trials
from ppl_vae.reports.tuning.importance import enough_for, importance, shared
from ppl_vae.reports.tuning.result import Tuning
from ppl_vae.reports.tuning.searched import Searched
from ppl_vae.reports.tuning.suitable import refuse_unsuitable
from ppl_vae.reports.tuning.terms import in_words, searched_by, with_values
from ppl_vae.reports.tuning.trial import Elbos, Trial
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.files import CannotWriteError
from ppl_vae.training import FitConfig

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
    freedom, steps = searched_by(searching("degrees-of-freedom=3..9", "refinement-steps=2.0..9.0"))  # of parts likewise
    assert [type(end) for end in (*freedom.ends, *steps.ends)] == [float, float, int, int]
    assert schedule.ends == ["constant", "cosine"]


def test_what_is_drawn_is_in_its_range_and_told_apart_from_its_neighbours() -> None:
    short = Searched("weight_average", {}, 0.99, 0.9996)
    assert short.valued(0.99958) == 0.99958  # three digits would make 1 of it, which the setting cannot be
    assert short.valued(0.9995999) == 0.9996
    assert Searched("learning_rate", {}, 1.239e-4, 1e-2).valued(1.2395e-4) == 1.24e-4
    assert Searched("learning_rate", {}, 1.234e-4, 1e-2).valued(1.2341e-4) == 1.234e-4
    assert Searched("kl_weight", {}, 1.0, 4.0).valued(2.34567) == 2.346


def test_numbers_of_a_search_may_be_numpys() -> None:
    ends = (np.float32(1e-3), np.float64(1e-2))
    search = in_words({"learning_rate": ends, "latent_dim": (np.int64(2), np.int32(9)), "hidden": [[np.int64(8)]]})
    assert search == ("learning_rate=0.001..0.01", "latent_dim=2..9", "hidden=8")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (["learning_rate"], "`search` is a list; give a dictionary from the name of each setting"),
        ("learning-rate=1e-3..1e-2", "`search` is a str; give a dictionary"),
        ({"latent_dim": (False, True)}, "`search`: `latent_dim` is (False, True); give a tuple of two numbers"),
        ({"settings": [1]}, "unknown setting 'settings'"),
    ],
)
def test_a_search_that_is_none_is_refused_in_words(search: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(words)}"):
        ppl_vae.tune(search, "digits", trials=2, **SMALL)


def test_several_of_several_and_a_guide_with_its_family() -> None:
    (hidden,) = searched_by(searching("hidden=256 256,64"))
    assert hidden.ends == [[256, 256], [64]]
    found = with_values(TrainConfig(), {"guide": "amortized:full-rank", "hidden": [64, 64], "learning_rate": 0.1})
    assert (found.pair.guide, found.pair.family, found.fit.optimizer.learning_rate) == ("amortized", "full-rank", 0.1)
    assert found.pair.settings == {"hidden": [64, 64]}


def test_guide_and_family_can_be_searched_apart() -> None:
    found = with_values(TrainConfig(), {"guide": "semi-amortized", "family": "full-rank"})
    assert (found.pair.guide, found.pair.family) == ("semi-amortized", "full-rank")
    assert with_values(found, {"guide": "amortized"}).pair.family == "diagonal"


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("learning-rate", "'learning-rate' is no NAME=LOW..HIGH or NAME=VALUE,VALUE"),
        ("learning-rate=3..1", "is no range from a number to a greater one"),
        ("learning-rate=small..big", "is no range from a number to a greater one"),
        ("learning-rate=0..1", "`learning_rate`: must be greater than 0"),
        ("schedule=linear", "`schedule`: must be 'constant', 'cosine' or 'plateau'"),
        ("learning-rat=1e-3,1e-2", "unknown setting 'learning_rat'"),
        ("hidden=16..512", "`hidden` takes one number or several; name the choices"),
        ("latent-dim=0..9", "`latent_dim`: must be greater than 0"),
        ("activation=relu,sine", "`activation`: must be"),
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
    first = next(row for row in rows if row["trial"] == "0")
    given = {"learning_rate": "0.001", "latent_dim": "10", "guide": "amortized"}
    assert {name: first[name] for name in given} == given  # what it had, though nothing was searched there
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


def test_a_trial_that_is_stopped_at_a_prompt_stops_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was taken for a whole training would be ranked with the others by the bound of its first epoch."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    kept, steps = trials.fit, []

    def stopping(*args: Any, **named: Any) -> Any:
        named["on_epoch"] = lambda metrics: steps.append(metrics) or signal.raise_signal(signal.SIGINT)
        return kept(*args, **named)

    monkeypatch.setattr(trials, "fit", stopping)
    with pytest.raises(KeyboardInterrupt, match="goes on"):
        ppl_vae.tune(SEARCH, "digits", out=tmp_path / "study", trials=2, **SMALL)
    assert len(steps) == 1
    monkeypatch.setattr(trials, "fit", kept)
    found = ppl_vae.tune(SEARCH, "digits", out=tmp_path / "study", trials=1, **SMALL)
    assert [each.epochs for each in found.trials] == [2]


def test_a_folder_of_other_terms_is_refused(study: tuple[Path, Tuning], tmp_path: Path) -> None:
    out = Path(shutil.copytree(study[0], tmp_path / "copy"))
    with pytest.raises(UserError, match=r"holds a study on other terms \(`epochs`\)"):
        ppl_vae.tune(SEARCH, "digits", out=out, trials=4, **{**SMALL, "epochs": 3})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    with pytest.raises(UserError, match="holds no study"):
        ppl_vae.tune(SEARCH, "digits", out=tmp_path / "mine", trials=4, **SMALL)


def test_parts_without_a_validation_bound_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    out = tmp_path / "rows"
    with pytest.raises(UserError, match="`guide` mean-field: a study chooses by the bound on validation data"):
        ppl_vae.tune({"guide": ["amortized", "mean-field"]}, "digits", out=out, trials=2, **SMALL)
    with pytest.raises(UserError, match="`family` point: a study chooses by a bound on log p"):
        ppl_vae.tune({"family": ["diagonal", "point"]}, "digits", out=out, trials=2, **SMALL)
    with pytest.raises(UserError, match=r"^a study chooses by the bound on validation data"):
        ppl_vae.tune({"latent_dim": [2, 3]}, "digits", out=out, guide="mean-field", trials=2, **SMALL)
    assert not out.exists()


def test_a_value_that_cannot_be_trained_with_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    table = tmp_path / "table.npz"
    np.savez(table, x=np.random.default_rng(0).normal(size=(50, 4)))
    for search, data, words in (
        ({"optimizer": ["Adam", "adam"]}, "digits", "`optimizer` adam: unknown optimizer 'adam'"),
        ({"net": ["mlp", "conv"]}, table, "`net` conv: "),
    ):
        with pytest.raises(UserError, match=f"^{words}"):
            ppl_vae.tune(search, data, out=tmp_path / "study", trials=2, **SMALL)
    assert not (tmp_path / "study").exists()


def test_a_value_that_needs_another_beside_it_is_searched() -> None:
    settings = TrainConfig(pair=PairConfig(settings={"hidden": [8]}), fit=FitConfig(batch_size=647))
    splits = ppl_vae.load("digits")
    searched = searched_by(searching("model=vae,hierarchical", "family=diagonal,bottom-up"))
    refuse_unsuitable(settings, searched, splits)
    with pytest.raises(UserError, match=r"^`family` bottom-up: "):
        refuse_unsuitable(settings, searched[1:], splits)


def test_a_trial_that_cannot_be_trained_counts_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value is fine beside what was given; only drawn together there can be more columns than latents."""
    usual, trained = trials.fit, 0

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal trained
        trained += 1
        return usual(*args, **named)

    monkeypatch.setattr(trials, "fit", counted)
    search, out = {"rank": (2, 9), "latent_dim": (3, 6)}, tmp_path / "study"
    ppl_vae.tune(search, "digits", out=out, trials=4, family="low-rank", report=False, **SMALL)
    study = ppl_vae.tune(search, "digits", out=out, trials=5, family="low-rank", **SMALL)
    failed = [each for each in study.trials if each.ended == "failed"]
    wide = [each for each in study.trials[1:] if each.values["rank"] > each.values["latent_dim"]]
    assert failed == wide
    assert 0 < len(failed) < 4
    assert trained == 5 - len(failed)
    assert study.how_many.endswith(f", {len(failed)} failed")
    begins = f"Trial {failed[0].number} could not be trained: `rank` {failed[0].values['rank']}: q is of "
    (said,) = [words for words in study.warnings if words.startswith(begins)]
    assert said.partition(":")[0] in (out / "report.html").read_text()


def test_what_is_no_fault_of_the_settings_stops_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [CannotWriteError("the disk is full"), RuntimeError("a bug"), RuntimeError("CUDA out of memory")]
    usual, search, out = trials.fit, {"latent_dim": [2, 3]}, tmp_path / "study"

    def failing(model: Any, *args: Any, **named: Any) -> Any:
        if model.prior.latent_dim != 10:
            raise faults[0]
        return usual(model, *args, **named)

    monkeypatch.setattr(trials, "fit", failing)
    for words in ("the disk is full", "a bug"):
        with pytest.raises(Exception, match=words):
            ppl_vae.tune(search, "digits", out=out, trials=2, **SMALL)
        faults.pop(0)
    study = ppl_vae.tune(search, "digits", out=out, trials=2, report=False, **SMALL)
    assert study.trials[1].why.startswith("out of memory; take smaller batches")


def test_a_setting_of_one_family_is_searched_for_that_family_alone(tmp_path: Path) -> None:
    search = {"family": ["diagonal", "planar"], "num_maps": (2, 8)}
    tuning = ppl_vae.tune(search, "digits", out=tmp_path / "flows", trials=5, **SMALL)
    own = tuning.trials[1:]
    assert {each.values["family"] for each in own} == {"diagonal", "planar"}
    assert all(("num_maps" in each.values) == (each.values["family"] == "planar") for each in own)
    assert [each.name for each in shared(tuning.searched, tuning.trials)] == ["family"]
    with pytest.raises(UserError, match="`num_maps`: nothing in this pair reads it; what does: `family` planar"):
        ppl_vae.tune({"num_maps": (2, 8)}, "digits", out=tmp_path / "none", trials=2, **SMALL)
    assert not (tmp_path / "none").exists()


# --- What it says -----------------------------------------------------------------------------------------------------


def found(*made: Trial, gain: float = 0.3, **more: object) -> Tuning:
    """A study of these trials, whose best one gains so much on 100 test datapoints."""
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0))
    zero, best = Estimate(torch.zeros(100)), Estimate(gain + noise)
    number = max((each for each in made if not each.ended), key=lambda each: each.height).number
    return Tuning(TuneConfig(), made, {number: Elbos(best, best), 0: Elbos(zero, zero)}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("gain", [2.0, 0.0, -2.0])
def test_the_gain_is_beyond_chance_or_not(gain: float) -> None:
    tuning = found(Trial(0, {}, -9.0, 2), Trial(1, {"latent_dim": 3}, -8.0, 2), gain=gain)
    assert ("; that it is better there is not beyond chance" in tuning.verdict) == (gain == 0)
    assert ("; there it is worse, beyond chance" in tuning.verdict) == (gain < 0)
    assert "trial 1 less trial 0 on 100 test datapoints" in tuning.verdict
    assert "the best of 2 that ran to their end, by 100 validation datapoints" in tuning.choice
    none = found(Trial(0, {}, -8.0, 2), Trial(1, {"latent_dim": 3}, -9.0, 2))
    assert none.verdict.startswith("no trial")
    assert none.choice == ""
    assert none.lead is None


def test_a_trial_without_a_bound_is_the_last_and_words_with_commas_are_one_cell(tmp_path: Path) -> None:
    tuning = found(
        Trial(0, {}, -9.0, 2),
        Trial(1, {"guide": "a,b"}, None, 0, "diverged"),
        Trial(2, {"guide": "c"}, -8.5, 1, "early"),
        Trial(3, {"guide": "d"}, 4.0, 2),
    )
    assert tuning.best.number == 3
    assert tuning.how_many == "4 trials, 1 ended early, 1 diverged"
    assert [row["trial"] for row in tuning.rows()] == [3, 0, 2, 1]
    table = csv.DictReader(tuning.write(tmp_path)["trials"].read_text().splitlines())
    assert [row["guide"] for row in table] == ["d", "", "c", "a,b"]


def test_it_warns_of_ends_of_ranges_and_of_a_search_that_has_learned_nothing() -> None:
    searched = (Searched("learning_rate", {}, 1e-4, 1e-2), Searched("latent_dim", {}, 2, 40))
    few = [Trial(0, {}, -9.0, 2), Trial(1, {"learning_rate": 9.9e-3, "latent_dim": 20}, -8.0, 2)]
    random, end = found(*few, searched=searched).warnings
    assert "All 2 trials have settings that were given or drawn at random" in random
    assert end.startswith("The best `learning_rate`, 0.0099, is at the upper end of its range")
    many = [*few, *(Trial(number, few[1].values, -8.5, 2) for number in range(2, 8))]
    assert found(*many, searched=searched).warnings == [end]


def test_a_notebook_shows_the_trials_and_what_they_gain(study: tuple[Path, Tuning]) -> None:
    _, tuning = study
    shown = tuning._repr_html_()
    assert all(escape(line) in shown for line in tuning.footnotes())
    assert len(tuning.to_frame()) == 4
    assert [len(figure.axes) for figure in (tuning.figure(), tuning.figure_of_settings())] == [1, 3]


# --- Which setting matters --------------------------------------------------------------------------------------------


def test_shares_are_told_of_enough_trials_and_name_what_matters() -> None:
    generator = torch.Generator().manual_seed(0)
    searched = [
        Searched("rate", {}, 1e-4, 1e-2),
        Searched("size", {}, 2, 40),
        Searched("hidden", {"8 8": [8, 8], "16": 16}),
    ]
    trials = [Trial(0, {}, -9.0, 2)]
    for number in range(1, 1 + enough_for(searched)):
        share, other = torch.rand(2, generator=generator).tolist()
        values = {
            "rate": float(f"{1e-4 * 100**share:.3g}"),
            "size": 2 + int(38 * other),
            "hidden": [[8, 8], 16][number % 2],
        }
        trials.append(Trial(number, values, -8 - share, 2))
    shares = importance(searched, trials)
    assert next(iter(shares)) == "rate"
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["rate"] > 0.7
    assert importance(searched, trials[:-1]) == {}
    assert importance(searched[:1], trials) == {}
    assert importance(searched, [each._replace(bound=-8.0) for each in trials]) == {}


def test_a_setting_that_is_called_as_a_column_has_a_column_of_its_own() -> None:
    searched = (Searched("epochs", {}, 1, 300),)
    tuning = found(Trial(0, {}, -9.0, 2), Trial(1, {"epochs": 3}, -8.0, 3), searched=searched, given={"epochs": 2})
    assert [(row["trial"], row["epochs"], row["searched_epochs"]) for row in tuning.rows()] == [(1, 3, 3), (0, 2, 2)]
    assert tuning.caption.endswith("up to 300 epochs a trial")


# --- Its page ---------------------------------------------------------------------------------------------------------


def test_the_report_says_what_is_best_what_it_gains_and_how_to_go_on(study: tuple[Path, Tuning]) -> None:
    out, tuning = study
    page = (out / "report.html").read_text()
    assert page.count("<img ") == 2
    assert {"trials.png", "trials.svg", "settings.png", "settings.svg"} <= {path.name for path in out.iterdir()}
    assert escape(tuning.next_step.command) in page
    for name, value in tuning.best_settings.items():
        assert f'<th scope="row">{name.replace("_", " ")}</th><td>{value}</td>' in page
    assert "Too few trials to tell" in page
    assert "<h2>Trials</h2>\n<table>\n<tr><td></td><th" in page
    assert escape(f"--out {out}") in page
    assert tuning.files == {"trials": out / "trials.csv", "report": out / "report.html"}


def test_a_study_without_a_better_trial_has_a_report_too(tmp_path: Path) -> None:
    out = tmp_path / "wild"
    wild = ppl_vae.tune({"learning_rate": [1e25, 1e26]}, "digits", out=out, trials=2, **SMALL)
    assert wild.trials[1].ended == "diverged"
    assert wild.best.number == 0
    assert wild.gain is None
    assert "no trial had a better validation bound" in str(wild)
    page = (out / "report.html").read_text()
    assert "no trial had a better validation bound" in page
    assert wild.next_step.command.startswith("ppl-vae tune --search learning_rate=1e+25,1e+26 --trials 4")


def test_without_a_report_there_is_no_picture_and_going_on_makes_it(study: tuple[Path, Tuning], tmp_path: Path) -> None:
    out = Path(shutil.copytree(study[0], tmp_path / "copy"))
    made = [*out.glob("*.png"), *out.glob("*.svg"), out / "report.html"]
    for path in made:
        path.unlink()
    ppl_vae.tune(SEARCH, "digits", out=out, trials=4, report=False, **SMALL)
    assert not any(path.exists() for path in made)
    ppl_vae.tune(SEARCH, "digits", out=out, trials=4, **SMALL)
    assert all(path.exists() for path in made)
