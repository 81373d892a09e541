"""``ppl-vae evaluate`` by every estimator: what it prints, what it draws by default, whom it refuses."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from ppl_vae import UserError, diagnostics
from ppl_vae.cli.main import main
from ppl_vae.diagnostics import calibration, evaluation
from ppl_vae.estimates import Estimate, Protocol
from ppl_vae.estimates.fingerprint import fingerprint_of
from ppl_vae.estimates.significance import still_rising
from ppl_vae.evaluation import EvaluateConfig, estimators, named
from ppl_vae.models import ConditionalVAE
from ppl_vae.reports.next_steps import not_collapsed
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.run import Run
from ppl_vae.runtime.shown import error_alone, with_error

TINY = ["--latent-dim", "2", "--hidden", "16", "--epochs", "1"]
SHORT = ["--temperatures", 3, "--leapfrog", 2, "--num-samples", 3]
BRIEF = ["--infer-steps", 20, "--infer-window", 10]


def refused(result, *parts):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


def train(tmp_path_factory, name, *arguments):
    path = tmp_path_factory.mktemp("runs") / name
    assert main(["train", *TINY, "--out", str(path), *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return train(tmp_path_factory, "conditional", "--model", "conditional")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return train(tmp_path_factory, "local", "--guide", "per-datapoint", "--binarization", "static")


@pytest.fixture(scope="module")
def point(tmp_path_factory):
    return train(tmp_path_factory, "point", "--family", "point")


@pytest.fixture
def own(trained, tmp_path):
    """A copy of the run: calibration draws into its folder, and other tests look at what is in there."""
    return shutil.copytree(trained, tmp_path / "own")


@pytest.fixture
def plain(cli):
    """Run ``evaluate --json`` and read it."""

    def run(*arguments):
        status, out, err = cli("evaluate", *arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    return run


# --- Annealing --------------------------------------------------------------------------------------------------------


def test_ais(plain, trained):
    """Close to the importance bound, which has no trouble in two dimensions."""
    flags = ["--estimator", "ais", "--limit", 20, "--temperatures", 30, "--leapfrog", 4, "--num-samples", 8]
    found = plain(trained, *flags)
    bound = plain(trained, "--estimator", "iwae", "--limit", 20, "--num-samples", 1000)
    assert list(found) == ["log_px", "stderr", "monte_carlo_stderr", "unit", "protocol", "rise", "acceptance"]
    assert 0 < found["monte_carlo_stderr"] < found["stderr"]
    assert 0 <= found["rise"]["mean"] < 1
    assert 0 < found["acceptance"] <= 1
    assert found["log_px"] == pytest.approx(bound["log_px"], abs=0.3)
    assert 0 < found["stderr"] < 3
    protocol = found["protocol"]
    assert (protocol["estimator"], protocol["split"], protocol["num_datapoints"]) == ("ais", "test", 20)
    assert protocol["num_samples"] == 8
    expected = {"temperatures": 30, "leapfrog": 4, "schedule": "sigmoid", "start": "prior"}
    assert expected.items() <= protocol["details"].items()


def test_ais_from_the_guide_is_another_estimate(plain, trained):
    flags = ["--estimator", "ais", "--limit", 20, *SHORT]
    prior, guide = plain(trained, *flags), plain(trained, *flags, "--start", "guide")
    assert guide["log_px"] != prior["log_px"]
    assert prior["protocol"]["details"]["start"] == "prior"
    assert guide["protocol"]["details"]["start"] == "guide"


@pytest.mark.slow
def test_bdmc(plain, trained):
    found = plain(trained, "--estimator", "bdmc", "--limit", 30, "--temperatures", 20, "--num-samples", 4)
    assert list(found) == [
        *["bdmc_gap", "stderr", "monte_carlo_stderr"],
        *["log_px_lower", "log_px_lower_stderr", "log_px_lower_monte_carlo_stderr"],
        *["log_px_upper", "log_px_upper_stderr", "log_px_upper_monte_carlo_stderr"],
        *["unit", "protocol", "acceptance"],
    ]
    assert found["bdmc_gap"] == pytest.approx(found["log_px_upper"] - found["log_px_lower"])
    assert -5 * found["stderr"] < found["bdmc_gap"] < 2
    assert (found["protocol"]["split"], found["protocol"]["num_datapoints"]) == ("simulated", 30)
    short = plain(trained, "--estimator", "bdmc", "--limit", 30, *SHORT)
    assert short["bdmc_gap"] > found["bdmc_gap"] + 5 * found["stderr"]


def test_annealing_has_no_diagnostics(cli, trained):
    status, out, _ = cli("evaluate", trained, "--estimator", "ais", "--limit", 5, *SHORT)
    assert status == 0
    assert "log_px" in out
    assert "temperatures 3" in out
    assert "effective sample size" not in out


# --- Calibration ------------------------------------------------------------------------------------------------------


def test_sbc(plain, cli, own):
    flags = ["--estimator", "sbc", "--limit", 40, "--num-samples", 15]
    before = set(own.rglob("*"))
    found = plain(own, *flags)
    assert found["num_simulations"] == 40
    assert found["num_samples"] == 15
    assert found["names"] == ["z1", "z2", calibration.LIKELIHOOD]
    assert isinstance(found["passed"], bool)
    assert 0 <= found["p_value"] <= 1
    assert (found["protocol"]["split"], found["protocol"]["num_datapoints"]) == ("simulated", 40)
    picture, drawing = sorted(set(own.rglob("*")) - before)
    assert str(picture) == found["picture"]
    assert drawing == picture.with_suffix(".svg")
    assert picture.stat().st_size > 1000
    status, out, _ = cli("evaluate", own, *flags)
    assert status == 0
    assert out.startswith(found["verdict"])
    assert "calibration-2.png" in out


# --- Defaults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("estimator", "draws"), [("elbo", 10), ("iwae", 500), ("ais", 16), ("bdmc", 16), ("sbc", 63)])
def test_draws_by_default(estimator, draws):
    assert EvaluateConfig(estimator=estimator).draws == draws
    assert EvaluateConfig(estimator=estimator, num_samples=7).draws == 7


@pytest.mark.slow
def test_simulated_datapoints_by_default(plain, own):
    assert plain(own, "--estimator", "bdmc", *SHORT)["protocol"]["num_datapoints"] == 100
    assert plain(own, "--estimator", "sbc", "--num-samples", 7)["protocol"]["num_datapoints"] == 1000


def test_default_draws_are_in_the_protocol(plain, trained):
    assert plain(trained, "--limit", 5)["protocol"]["num_samples"] == 10
    assert plain(trained, "--limit", 5, "--estimator", "iwae")["protocol"]["num_samples"] == 500


# --- Diagnostics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["elbo", "iwae"])
def test_diagnostics_come_with_the_guides_own_bounds(plain, cli, trained, estimator):
    flags = [trained, "--estimator", estimator, "--limit", 20, "--num-samples", 5]
    found = plain(*flags)
    assert found["diagnostics"]["num_datapoints"] == 20
    without = plain(*flags, "--no-diagnose")
    assert "diagnostics" not in without
    assert without == {name: value for name, value in found.items() if name != "diagnostics"}
    assert "active units" in cli("evaluate", *flags)[1]
    assert "active units" not in cli("evaluate", *flags, "--no-diagnose")[1]


def test_diagnostics_are_of_as_many_as_were_asked_for(plain, trained, monkeypatch):
    monkeypatch.setattr(evaluation, "_DIAGNOSED", 15)
    monkeypatch.setattr(evaluation, "_DRAWS", 100)
    assert plain(trained, "--limit", 20)["diagnostics"]["num_datapoints"] == 20
    found = plain(trained)["diagnostics"]
    assert found["num_datapoints"] == 15
    assert found["aggregate"]["num_datapoints"] == 359  # all of them tell more of the mutual information


def test_python_says_what_the_command_says(cli, plain, trained):
    opened = open_run(trained, "cpu")
    settings = {"origin": opened.origin("test"), "limit": 20, "num_samples": 4, "seed": 3}
    settings["unfinished"] = not_collapsed(opened.run, opened.history)
    assert settings["unfinished"] == "4 epochs of training, 44 steps, are few; train longer, then look again"
    found = diagnostics.evaluate(*opened.pair, opened.split("test"), **settings)
    flags = [trained, "--limit", 20, "--num-samples", 4, "--seed", 3]
    lines = cli("evaluate", *flags)[1].splitlines()
    assert lines[:-2] == str(found).splitlines()
    elbo = with_error(found.results["elbo"].mean, found.results["elbo"].stderr)
    total = len(opened.split("test"))
    where = f"nats per datapoint on the first 20 of {total} test datapoints; higher is better"
    assert lines[-2] == f"result   the ELBO is a lower bound: log p(x) ≥ {elbo} {where}"
    assert lines[-1].startswith(
        f"next     ppl-vae train --resume {trained} --epochs 46   (4 epochs of training, 44 steps"
    )
    every = cli("evaluate", trained, "--limit", 10_000, "--num-samples", 1, "--no-diagnose")[1]
    assert f"on all {total} test datapoints" in every
    assert plain(*flags) == found.to_dict()
    with pytest.raises(UserError, match="unknown setting 'num_sample'"):
        diagnostics.evaluate(*opened.pair, opened.split("test"), num_sample=4)


# --- Errors and warnings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["elbo", "--num-samples", 4], ["iwae"], ["ais", *SHORT]])
def test_both_errors_are_printed(cli, plain, trained, flags):
    flags = [trained, "--estimator", *flags, "--limit", 20]
    out, found = cli("evaluate", *flags)[1], plain(*flags)
    *_, headline, result, _ = out.splitlines()
    assert result.startswith("result   ")
    assert headline.endswith(f" ± {error_alone(found['stderr'])} (± {error_alone(found['monte_carlo_stderr'])})")
    assert "± 0.00 " not in out
    assert "± standard error over datapoints, (±) of the estimate on these datapoints" in out


def test_what_half_of_the_draws_lack_is_said(cli, plain, trained):
    flags = [trained, "--estimator", "iwae", "--limit", 20, "--no-diagnose", "--num-samples"]
    assert "with half of the 64 draws this bound is 0." in cli("evaluate", *flags, 64)[1]
    few, many = plain(*flags, 8)["rise"], plain(*flags, 512)["rise"]
    assert few["mean"] > many["mean"] > 0
    assert "rise" not in plain(*flags, 1)
    assert "rise" not in plain(trained, "--limit", 20, "--no-diagnose")  # the ELBO's expectation does not depend on it


def test_a_bound_that_rises_beyond_its_error_is_warned_of(cli, trained, monkeypatch):
    flags = [trained, "--estimator", "iwae", "--limit", 20, "--no-diagnose"]
    warned = "warning: that is more than its error: with more of them it would be higher still; raise --num-samples, or"
    assert warned not in cli("evaluate", *flags)[1]
    rising = Estimate(-torch.arange(4.0), torch.zeros(16, 4), Estimate(torch.full((4,), 2.0), torch.full((16, 4), 0.1)))
    assert still_rising(rising)
    monkeypatch.setattr(named, "importance_bound", lambda *_: rising)
    assert warned in cli("evaluate", *flags)[1]


# --- A row for each datapoint -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["elbo"], ["iwae"], ["ais", *SHORT], ["elbo", "--no-diagnose"]])
def test_a_table_of_datapoints(cli, plain, trained, tmp_path, monkeypatch, flags):
    monkeypatch.setattr(evaluation, "_DRAWS", 100)
    flags = [trained, "--estimator", *flags, "--limit", 20]
    found = plain(*flags, "--per-datapoint", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    nats = ["elbo", "reconstruction", "kl", "log_px"]
    both = [each for name in nats for each in (name, f"{name}_stderr")]
    assert [name for name in rows[0] if name != "label"] == ["index", *both, "k_hat", "ess"]
    assert [int(row["index"]) for row in rows] == list(range(20))
    table = {name: np.array([float(row[name]) for row in rows]) for name in [*nats, "k_hat", "ess"]}
    headline = next(iter(found))
    assert table[headline].mean() == pytest.approx(found[headline], abs=1e-4)
    np.testing.assert_allclose(table["elbo"], table["reconstruction"] - table["kl"], atol=1e-3)
    assert (table["log_px"] - table["elbo"]).mean() > 0
    assert ((table["ess"] >= 1) & (table["ess"] <= 100)).all()
    if "diagnostics" in found:
        weights = found["diagnostics"]["weights"]
        assert (table["k_hat"] > 0.7).mean() == pytest.approx(weights["khat_above_threshold"])
        assert table["ess"].mean() == pytest.approx(weights["ess"]["mean"], rel=1e-6)


def test_a_table_of_a_guide_without_density_or_rows(cli, plain, point, local, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "_DRAWS", 100)
    plain(point, "--limit", 3, "--per-datapoint", tmp_path / "point.csv")
    with (tmp_path / "point.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [[row[name] for name in ("log_px", "log_px_stderr", "k_hat", "ess")] for row in rows] == [[""] * 4] * 3
    # Annealing from the prior looks at no guide; the table does.
    plain(local, "--estimator", "ais", *SHORT, *BRIEF, "--limit", 3, "--per-datapoint", tmp_path / "local.csv")
    _, *rows = (tmp_path / "local.csv").read_text().splitlines()
    assert all(all(row.split(",")) for row in rows)


def test_a_table_that_cannot_be_written_is_refused_first(cli, trained, tmp_path):
    taken = tmp_path / "taken.csv"
    taken.write_text("mine")
    refused(cli("evaluate", trained, "--per-datapoint", taken), "exists; choose another --per-datapoint")
    assert taken.read_text() == "mine"
    refused(cli("evaluate", trained, "--per-datapoint", tmp_path / "no" / "table.csv"), "another --per-datapoint")
    for estimator in ("bdmc", "sbc"):
        flags = ["--estimator", estimator, "--per-datapoint", tmp_path / "table.csv"]
        refused(cli("evaluate", trained, *flags), f"is for elbo, iwae and ais, not for {estimator}")


def test_one_datapoint_has_no_diagnostics(plain, trained):
    assert "diagnostics" not in plain(trained, "--limit", 1)


def test_warnings_are_in_words(cli, plain, trained, monkeypatch):
    diagnose = evaluation.diagnose
    wrong = {"warnings": ("the proposal misses half of it",), "bound_warnings": ("the bound is too low",)}
    monkeypatch.setattr(evaluation, "diagnose", lambda *arguments: replace(diagnose(*arguments), **wrong))
    out = cli("evaluate", trained, "--limit", 20)[1]
    assert "warning: the proposal misses half of it" in out
    assert plain(trained, "--limit", 20)["diagnostics"]["warnings"] == ["the proposal misses half of it"]
    # What is wrong with the importance bound is no warning of the ELBO.
    assert "warning: the bound is too low" not in out
    assert "warning: the bound is too low" in cli("evaluate", trained, "--limit", 20, "--estimator", "iwae")[1]


# --- Runs of every kind -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["ais", *SHORT], ["bdmc", *SHORT], ["sbc", "--num-samples", 7]])
def test_conditional_runs_are_given_labels(plain, conditional, monkeypatch, flags):
    """The split's own, over and over: more simulations than it has labels can be asked for."""
    seen = []
    forward = ConditionalVAE.forward

    def spy(model, batch):
        seen.append(batch.y)
        return forward(model, batch)

    monkeypatch.setattr(ConditionalVAE, "forward", spy)
    found = plain(conditional, "--estimator", *flags, "--limit", 400)
    assert found["protocol"]["num_datapoints"] == (359 if flags[0] == "ais" else 400)
    assert all(y is not None for y in seen)
    assert len(torch.cat(seen).unique()) == 10


@pytest.mark.parametrize("start", ["prior", "guide"])
def test_per_datapoint_runs(plain, local, monkeypatch, start):
    """Rows are fitted to unseen data, but only where the guide is looked at."""
    fits = []
    fitted_for = estimators.fitted_for
    monkeypatch.setattr(
        estimators, "fitted_for", lambda model, guide, *rest: fits.append(guide) or fitted_for(model, guide, *rest)
    )
    for estimator in ("ais", "bdmc"):
        found = plain(local, "--estimator", estimator, "--limit", 6, *SHORT, "--start", start, *BRIEF)
        assert found["protocol"]["num_datapoints"] == 6
    assert len(fits) == (2 if start == "guide" else 0)


def test_the_guide_of_the_estimate_is_named(plain, local):
    """Fitted rows are part of the guide that an estimate was made with."""
    found = [
        plain(local, "--estimator", "ais", "--limit", 6, *SHORT, "--start", start, *BRIEF)["protocol"]["guide"]
        for start in ("prior", "guide")
    ]
    assert found[0] == fingerprint_of(Run.open(local).load_pair(torch.device("cpu")).guide)
    assert found[0] != found[1]


def test_a_point_has_no_density(cli, plain, point):
    from_the_guide = ["--start", "guide"]
    refused(cli("evaluate", point, "--estimator", "sbc"), "no spread that could be calibrated", "another --family")
    for flags in (["iwae"], ["ais", *from_the_guide], ["bdmc", *from_the_guide]):
        refused(
            cli("evaluate", point, "--estimator", *flags),
            "at one point, which has no density",
            "use --estimator elbo, or ais",
        )
    assert not list((point / "figures").glob("calibration-*"))
    assert -60 < plain(point, "--estimator", "ais", "--limit", 6, *SHORT)["log_px"] < -15
    assert plain(point, "--estimator", "bdmc", "--limit", 6, *SHORT)["bdmc_gap"] > -1
    found = plain(point, "--limit", 6)
    assert not {"elbo", "kl"} & found.keys()
    assert found["protocol"]["estimator"] == next(iter(found)) == "reconstruction"


# --- Local fits -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fits_that_had_not_converged_are_told(cli, plain, local):
    """In words before what they spoil, in JSON as counts; a finished fit needs no word."""
    out = cli("evaluate", local, "--limit", 6, *BRIEF)[1]
    told = "warning: 6 of 6 local fits had not converged; raise --infer-steps or lower --infer-rate."
    assert told in out.splitlines()
    assert out.index(told) < out.index("active units")
    fits = plain(local, "--limit", 6, *BRIEF)["local_fits"]
    assert (fits["num"], fits["converged"], fits["infer_steps"]) == (6, 0, 20)
    assert "local fits" not in cli("evaluate", local, "--limit", 6)[1]
    assert plain(local, "--limit", 6)["local_fits"]["converged"] == 6


def test_calibration_tells_too(cli, plain, local):
    flags = [local, "--estimator", "sbc", "--limit", 20, "--num-samples", 7, *BRIEF]
    out = cli("evaluate", *flags)[1]
    assert "\nwarning: 20 of 20 local fits had not converged; raise --infer-steps or lower --infer-rate.\n" in out
    assert plain(*flags)["local_fits"]["converged"] == 0


def test_a_rate_already_low_is_not_to_be_lowered(cli, local):
    out = cli("evaluate", local, "--limit", 6, *BRIEF, "--infer-rate", 1e-4)[1]
    assert "warning: 6 of 6 local fits had not converged; raise --infer-steps or --infer-rate." in out


def test_fits_that_only_the_rows_need_are_told_too(cli, local, tmp_path):
    """Annealing from the prior looks at no guide, the table's k̂ and ess are of one."""
    flags = [local, "--estimator", "ais", *SHORT, "--limit", 6, *BRIEF]
    told = "warning: 6 of 6 local fits had not converged; raise --infer-steps or lower --infer-rate."
    assert told not in cli("evaluate", *flags)[1]
    assert told in cli("evaluate", *flags, "--per-datapoint", tmp_path / "rows.csv")[1]


@pytest.mark.parametrize("flags", [["elbo"], ["iwae"], ["ais", *SHORT, "--start", "guide"]])
def test_how_a_guide_was_fitted_is_no_part_of_the_protocol(plain, local, trained, flags):
    """Under the same flags a guide that needs local fits can be ranked with one that needs none."""
    flags = ["--estimator", *flags, "--limit", 6, *BRIEF]
    with_fits, without = plain(local, *flags), plain(trained, *flags)
    assert with_fits["protocol"]["details"] == without["protocol"]["details"]
    assert "local_fits" in with_fits
    assert "local_fits" not in without


# --- What can go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [["elbo"], ["iwae"], ["ais", *SHORT], ["bdmc", *SHORT]])
def test_one_datapoint_has_no_error(cli, trained, flags):
    status, out, _ = cli("evaluate", trained, "--estimator", *flags, "--limit", 1)
    assert status == 0
    assert "nan" not in out
    assert " ± " not in out
    assert "(± 0." in out  # its draws have
    assert "of one, so no error over datapoints, (±) of the estimate on these datapoints" in out
    assert " ± " in cli("evaluate", trained, "--estimator", *flags, "--limit", 2)[1]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_verdict_survives_a_picture_that_cannot_be_saved(cli, own, flags):
    shutil.rmtree(own / "figures")
    (own / "figures").write_text("in the way")
    status, out, err = cli("evaluate", own, "--estimator", "sbc", "--limit", 20, "--num-samples", 7, *flags)
    assert status == 2
    assert err.count("\n") == 1
    assert "figures" in err
    verdict = json.loads(out)["verdict"] if flags else out.splitlines()[0]
    assert "calibrated" in verdict
    assert "20 simulations" in verdict
    assert "picture  " not in out


HUGE = 10**400
ABSURD = [
    ("--infer-rate", 1e300),
    ("--infer-rate", 1e30),
    ("--infer-rate", "1e-320"),
    ("--infer-halvings", HUGE),
    ("--infer-steps", HUGE),
    ("--temperatures", HUGE),
    ("--leapfrog", HUGE),
    ("--num-samples", HUGE),
    ("--limit", 99999999999999999999),
    ("--limit", HUGE),
]


@pytest.mark.parametrize("estimator", ["elbo", "bdmc", "sbc"])
@pytest.mark.parametrize(("flag", "value"), ABSURD)
def test_absurd_numbers_are_refused_by_name(cli, trained, estimator, flag, value):
    refused(cli("evaluate", trained, "--estimator", estimator, flag, value), f"{flag}: must be ", " than ")


@pytest.mark.slow
def test_gaps_of_one_datapoint_have_no_error(cli, trained, tmp_path):
    flags = [*BRIEF, *SHORT[:4], "--prior-temperatures", 3, "--num-samples", 10, "--elbo-samples", 5, "--chains", 2]
    tables = []
    for limit in (1, 2):
        status, out, err = cli("gaps", trained, "--limit", limit, *flags, "--out", tmp_path / str(limit))
        assert status == 0, err
        assert ("of one, so no error over datapoints, (±) of the estimate" in out) is (limit == 1)
        tables.append("\n".join(line for line in out.splitlines() if line.startswith("  ")))
    assert "nan" not in tables[0]
    # In brackets stands the error of the estimate on these datapoints, outside of them that over datapoints.
    assert all("(±" in table for table in tables)
    assert [len(re.findall(r"[^(]±", table)) > 0 for table in tables] == [False, True]


def test_gaps_advise_their_own_flag(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", "--hidden", 8, "--epochs", 1, "--test-fraction", 0, "--out", run)[0] == 0
    refused(cli("gaps", run), "no test split", "use --splits train")
    refused(cli("evaluate", run), "no test split", "use --split train")


def test_out_of_memory_says_what_to_do(cli, trained, monkeypatch):
    def exhausted(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(evaluation, "estimates", exhausted)
    refused(
        cli("evaluate", trained),
        "out of memory; take smaller batches, fewer samples or datapoints, or a smaller model.",
    )


def test_json_holds_none_for_what_is_not_finite():
    results = {"elbo": Estimate(torch.tensor([-1.0, -torch.inf]))}
    fields = ["data", "fingerprint", "split", 2, "none", 0, "proper", "elbo", 1, 0, "", ""]
    written = json.dumps(evaluation.as_plain(results, Protocol(*fields)), allow_nan=False)
    assert json.loads(written)["elbo"] is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--estimator", "sbc", "--split", "test"], "--split: --estimator sbc simulates its own data"),
        (["--estimator", "bdmc", "--split", "train"], "--split: --estimator bdmc simulates its own data"),
        (["--estimator", "ais", "--no-diagnose"], "--no-diagnose: --estimator ais makes no diagnostics"),
        (["--estimator", "bdmc", "--no-diagnose"], "--no-diagnose: --estimator bdmc makes no diagnostics"),
        (["--estimator", "sbc", "--no-diagnose"], "--no-diagnose: --estimator sbc makes no diagnostics"),
    ],
)
def test_what_an_estimator_does_not_read_is_refused(cli, trained, flags, said):
    status, out, err = cli("evaluate", trained, *flags)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"ppl-vae: {said}")


def test_its_table_is_written_for_a_paper(cli, trained, tmp_path):
    flags = ["--estimator", "elbo", "--limit", 20, "--num-samples", 4, "--no-diagnose"]
    status, out, err = cli("evaluate", trained, *flags, "--table", tmp_path / "elbo.csv", "--json")
    assert status == 0, err
    rows = list(csv.DictReader((tmp_path / "elbo.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["elbo", "reconstruction", "kl"]
    assert float(rows[0]["mean"]) == json.loads(out)["elbo"]
    refused(cli("evaluate", trained, *flags, "--table", tmp_path / "elbo.md"), "elbo.md", ".tex or .csv")
