"""``ppl-vae gaps`` on small runs: what it writes, whose guide it measures, what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import load
from ppl_vae.estimates.fingerprint import fingerprint_of
from ppl_vae.evaluation import elbo
from ppl_vae.inference.fitting import infer
from ppl_vae.runs.run import Run

MINE = Path(__file__).resolve().parents[2] / "examples" / "mine.py"
# Local fits far short of convergence, and estimates of few draws.
BRIEF = [
    *["--limit", 6, "--infer-steps", 20, "--infer-window", 10, "--elbo-samples", 5, "--num-samples", 10],
    *["--chains", 2, "--temperatures", 2, "--prior-temperatures", 2, "--leapfrog", 2],
]
TINY = ["--latent-dim", "2", "--hidden", "16", "--epochs", "1"]


def refused(result, *parts):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def train(tmp_path_factory, name, *arguments):
    path = tmp_path_factory.mktemp("runs") / name
    assert main(["train", *TINY, "--out", str(path), *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return train(tmp_path_factory, "local", "--guide", "per-datapoint", "--binarization", "static")


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    """A report by three families; its folder, and what was printed."""
    out = tmp_path_factory.mktemp("gaps") / "deep" / "out"
    arguments = ["gaps", trained, *BRIEF, "--families", "diagonal", "full-rank", "planar", "--out", out]
    assert main([str(argument) for argument in arguments]) == 0
    return out


def report(folder):
    return json.loads((folder / "gaps.json").read_text())


def rows(folder):
    return list(csv.DictReader((folder / "gaps.csv").read_text().splitlines()))


# --- What it writes ---------------------------------------------------------------------------------------------------


def test_numbers_add_up(measured):
    splits = report(measured)["splits"]
    assert list(splits) == ["train", "test"]
    for split in splits.values():
        assert list(split["families"]) == ["diagonal", "full-rank", "planar"]
        inference = split["inference"]["mean"]
        assert inference == pytest.approx(split["log_px"]["mean"] - split["guide"]["mean"])
        for family in split["families"].values():
            assert family["approximation"]["mean"] + family["amortization"]["mean"] == pytest.approx(inference)
            assert all(part["stderr"] > 0 for part in family.values())
        best = split["log_px"]["estimator"]
        assert split["log_px"]["mean"] == max(bound["mean"] for bound in split["bounds"].values())
        assert split["log_px"]["mean"] == split["bounds"][best]["mean"]


def test_the_last_lines_name_the_data_the_guide_and_the_direction(cli, trained, tmp_path):
    lines = cli("gaps", trained, *BRIEF, "--out", tmp_path / "gaps")[1].splitlines()
    train, test, *_, step = lines[lines.index(next(line for line in lines if line.startswith("result"))) :]
    for line, data in ((train, "training data"), (test, "test data")):
        assert line.startswith(f"result   {data}, 6 datapoints: the ELBO of the run's guide (amortized × diagonal) is ")
        assert " nats below log p(x) (smaller is better): " in line
        assert any(each.startswith(f"  {data}: family ") for each in lines)
    assert sum("diagonal (the guide's family)" in line for line in lines) == 2
    assert step.startswith(f"next     ppl-vae train --resume {trained} --epochs 46   (")


def test_a_row_for_each_datapoint(measured):
    table = rows(measured)
    assert [(row["split"], row["row"]) for row in table] == [
        (split, str(row)) for split in ("train", "test") for row in range(6)
    ]
    assert list(table[0]) == [
        *["split", "row", "log_px_importance", "log_px_annealed", "log_px_annealed_from_prior", "guide"],
        *["local_diagonal", "local_full-rank", "local_planar"],
    ]
    for name, split in report(measured)["splits"].items():
        own = [row for row in table if row["split"] == name]
        for column, mean in (
            ("guide", split["guide"]["mean"]),
            ("log_px_annealed", split["bounds"]["annealed"]["mean"]),
            ("local_planar", split["families"]["planar"]["local"]["mean"]),
        ):
            assert np.mean([float(row[column]) for row in own]) == pytest.approx(mean)


def test_protocol_and_picture(measured, trained):
    plain = report(measured)
    assert plain["unit"] == "nats per datapoint"
    pair = Run.open(trained).load_pair(torch.device("cpu"))
    for name, split in plain["splits"].items():
        protocol = split["protocol"]
        assert (protocol["estimator"], protocol["split"], protocol["num_datapoints"]) == ("gaps", name, 6)
        assert protocol["model"] == fingerprint_of(pair.model)
        assert protocol["guide"] == fingerprint_of(pair.guide)
        details = protocol["details"]
        assert (details["temperatures"], details["prior_temperatures"], details["infer_steps"]) == (2, 2, 20)
        assert "annealing" not in details
    assert (measured / "gaps.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert {path.name for path in measured.iterdir()} == {"gaps.json", "gaps.csv", "gaps.png", "gaps.svg"}


def test_table_and_default_folder(cli, trained):
    """By default the guide's own family and full-rank, in the next free folder of the run."""
    for number in (1, 2):
        status, out, err = cli("gaps", trained, *BRIEF, "--splits", "test")
        assert status == 0, err
        assert f"gaps-{number}" in out
    for part in ("test data, 6 datapoints", "(used)", "inference gap", "diagonal", "full-rank", "nats per datapoint"):
        assert part in out
    assert "training data" not in out
    folder = trained / "gaps-2"
    assert list(report(folder)["splits"]["test"]["families"]) == ["diagonal", "full-rank"]
    assert report(folder) == report(trained / "gaps-1")  # the same seeds, the same numbers


def test_json_alone_is_printed(cli, trained, tmp_path):
    out = tmp_path / "out"
    status, text, _ = cli("gaps", trained, *BRIEF, "--splits", "validation", "--limit", 1, "--json", "--out", out)
    assert status == 0
    assert json.loads(text) == report(out)
    assert json.loads(text)["splits"]["validation"]["inference"]["stderr"] is None  # of one datapoint


# --- Runs of every kind -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pair_of_ones_own(cli, tmp_path):
    """Its family is nobody's, so it is taken apart by ours."""
    run = tmp_path / "run"
    arguments = ["--model", f"{MINE}:Mine", "--guide", f"{MINE}:Guide"]
    assert cli("train", *TINY, *arguments, "--out", run)[0] == 0
    status, out, err = cli("gaps", run, *BRIEF, "--splits", "test", "--json")
    assert status == 0, err
    assert list(json.loads(out)["splits"]["test"]["families"]) == ["diagonal", "full-rank"]


@pytest.mark.slow
def test_rows_of_its_own_on_what_it_was_trained_on(cli, local, tmp_path):
    """And rows fitted there and then on the rest: the guide that is measured is named in the protocol."""
    status, _, err = cli("gaps", local, *BRIEF, "--out", tmp_path / "out")
    assert status == 0, err
    splits = report(tmp_path / "out")["splits"]
    opened = Run.open(local)
    pair = opened.load_pair(torch.device("cpu"))
    assert splits["train"]["protocol"]["guide"] == fingerprint_of(pair.guide) != splits["test"]["protocol"]["guide"]
    data = load(opened.record.config.data).train.head(6)
    own = elbo(*pair, data, 5).elbo
    assert splits["train"]["guide"]["mean"] == pytest.approx(own.mean)
    assert pair.guide.table.weight[:6].abs().min() > 0  # they have been trained


@pytest.mark.slow
def test_the_guides_own_family_is_fitted_with_what_it_has_learned(cli, tmp_path):
    """Here an iaf, which nobody else can be asked by, in a conditional run: the labels are passed on."""
    run = tmp_path / "run"
    assert cli("train", *TINY, "--family", "iaf", "--model", "conditional", "--out", run)[0] == 0
    status, out, err = cli("gaps", run, *BRIEF, "--splits", "test", "--json")
    assert status == 0, err
    assert list(json.loads(out)["splits"]["test"]["families"]) == ["iaf", "full-rank"]


# --- What it refuses --------------------------------------------------------------------------------------------------


ROWS = {
    "unknown family": (["--families", "planer"], ["unknown family 'planer'", "did you mean 'planar'"]),
    "an iaf without its networks": (["--families", "iaf"], ["family 'iaf' has networks", "name another"]),
    "a point": (["--families", "point"], ["family 'point' is a point", "name another"]),
    "family twice": (["--families", "planar", "planar"], ["--families", "once"]),
    "split twice": (["--splits", "test", "test"], ["--splits", "once"]),
    "no split": (["--splits"], ["--splits", "at least one"]),
    "unknown split": (["--splits", "tests"], ["invalid choice 'tests'"]),
    "no datapoints": (["--limit", "0"], ["--limit", "greater than 0"]),
    "no draws": (["--num-samples", "0"], ["--num-samples", "greater than 0"]),
    "no chains": (["--chains", "0"], ["--chains", "greater than 0"]),
    "no temperature": (["--temperatures", "0"], ["--temperatures", "greater than 0"]),
    "no such device": (["--device", "cuda:99"], ["cuda:99"]),
}


@pytest.mark.parametrize("row", ROWS)
def test_refuses(cli, trained, tmp_path, row):
    arguments, parts = ROWS[row]
    before = set(trained.rglob("*"))
    refused(cli("gaps", trained, "--out", tmp_path / "out", *arguments), *parts)
    assert list(tmp_path.iterdir()) == []
    assert set(trained.rglob("*")) == before


def test_refuses_to_overwrite(cli, trained, measured, tmp_path):
    before = report(measured)
    refused(cli("gaps", trained, *BRIEF, "--out", measured), "exists", "--out")
    assert report(measured) == before
    (tmp_path / "file").write_text("keep")
    refused(cli("gaps", trained, *BRIEF, "--out", tmp_path / "file"), "exists", "--out")
    refused(cli("gaps", trained, *BRIEF, "--out", tmp_path / "file" / "out"), "file", "--out")
    assert (tmp_path / "file").read_text() == "keep"


def test_refuses_what_is_no_run(cli, tmp_path):
    refused(cli("gaps", tmp_path / "nowhere"), "does not exist", "ppl-vae train")
    assert list(tmp_path.iterdir()) == []


def test_a_point_has_no_gap(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", *TINY, "--family", "point", "--out", run)[0] == 0
    for flags in ([], ["--families", "full-rank"]):
        refused(cli("gaps", run, *BRIEF, *flags), "at one point, which has no density", "--family")
    assert not list(run.glob("gaps-*"))


def test_a_missing_split(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", *TINY, "--guide", "semi-amortized", "--test-fraction", "0", "--out", run)[0] == 0
    refused(cli("gaps", run, *BRIEF), "no test split", "train")
    assert not list(run.glob("gaps-*"))
    assert cli("gaps", run, *BRIEF, "--splits", "train")[0] == 0


def test_a_fit_that_failed_is_named_and_nothing_is_written(cli, trained, tmp_path, monkeypatch):
    def broken(*arguments):
        found = infer(*arguments)
        found.params[0] = torch.nan
        return found

    monkeypatch.setattr("ppl_vae.guides.unseen.infer", broken)
    refused(cli("gaps", trained, *BRIEF, "--out", tmp_path / "out"), "family 'diagonal'", "not finite on 1 of 6")
    assert list(tmp_path.iterdir()) == []


def test_fits_that_were_stopped_early_are_doubted_in_words(cli, trained, tmp_path):
    """Two steps from the neutral start are no optimum of anything."""
    out = tmp_path / "few"
    few = ["--splits", "test", "--infer-steps", 2, "--infer-window", 2, "--elbo-samples", 100]
    status, text, err = cli("gaps", trained, *BRIEF, *few, "--out", out)
    assert status == 0, err
    warnings = report(out)["splits"]["test"]["warnings"]
    assert any("'full-rank': 6 of 6 local fits had not converged" in warning for warning in warnings)
    flags = text.replace("--infer-steps", "`infer_steps`").replace("--infer-rate", "`infer_rate`")
    assert "raise --infer-steps" in text
    assert all(f"warning: {warning}" in flags for warning in warnings)


def test_its_table_is_written_for_a_paper(cli, trained, tmp_path):
    flags = [*BRIEF, "--families", "diagonal", "--splits", "test", "--out", tmp_path / "gaps"]
    status, _, err = cli("gaps", trained, *flags, "--table", tmp_path / "gaps.tex")
    assert status == 0, err
    text = (tmp_path / "gaps.tex").read_text()
    assert text.startswith("% nats per datapoint, ± standard error over datapoints")
    assert r"data & family & local & approximation & amortization \\" in text
    assert text.count(r" \pm ") == 3
    refused(cli("gaps", trained, *flags, "--table", tmp_path / "gaps.tex"), "gaps.tex exists", "--table")
