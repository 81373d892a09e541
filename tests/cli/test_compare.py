"""``ppl-vae compare``: the table and the figure, going on, and what it refuses to lay side by side."""

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import yaml

from ppl_vae import UserError
from ppl_vae.cli.main import main
from ppl_vae.registry.pair_config import split_guide
from ppl_vae.reports.comparison_table import as_csv, as_markdown, as_terminal, summarise
from ppl_vae.runs.comparison import Result
from ppl_vae.runtime.shown import with_error
from ppl_vae.runtime.workers import WorkerKilledError
from tests.runtime.test_workers import alive
from tests.workers import without_workers

GUIDES = ["amortized", "mean-field"]
SEEDS = [5, 6]
TERMS = [
    *["--guides", *GUIDES, "--seed", "5", "--seeds", "2", "--epochs", "1", "--hidden", "16", "--latent-dim", "2"],
    *["--limit", "20", "--num-samples", "10", "--infer-steps", "20", "--workers", "1"],
]
COLUMNS = ["elbo", "log_px", "reconstruction", "kl", "seconds", "parameters"]


def refused(result, *parts):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in err


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A finished comparison; it is changed by no test. (Workers of their own have those that go on with it.)"""
    path = tmp_path_factory.mktemp("compare") / "out"
    with without_workers():
        assert main(["compare", *TERMS, "--out", str(path)]) == 0
    return path


def results(path):
    return {file.parent.name: json.loads(file.read_text()) for file in path.glob("*/result.json")}


# --- What it writes ---------------------------------------------------------------------------------------------------


def test_writes_a_run_for_each_guide_and_seed(compared):
    names = {f"{guide}-seed{seed}" for guide in GUIDES for seed in SEEDS}
    assert {path.name for path in compared.iterdir() if path.is_dir()} == names
    written = {path.name for path in compared.iterdir() if path.is_file()}
    tables = {"compare.yaml", "table.csv", "table.json", "table.md"}
    assert written == tables | {"comparison.png", "comparison.svg", "report.html"}
    assert (compared / "comparison.png").stat().st_size > 5000
    for name in names:
        config = yaml.safe_load((compared / name / "config.yaml").read_text())["config"]
        assert config["fit"]["seed"] == int(name[-1])
        assert name.startswith(config["pair"]["guide"])
        assert config["data"]["binarization"] == "static"


def test_tables_agree_with_the_runs_and_with_each_other(compared):
    found = results(compared)
    report = json.loads((compared / "table.json").read_text())
    with (compared / "table.csv").open() as file:
        lines = {line["guide"]: line for line in csv.DictReader(file)}
    markdown = (compared / "table.md").read_text()
    assert [row["guide"] for row in report["rows"]] == list(lines)
    assert set(lines) == set(GUIDES)
    for row in report["rows"]:
        seeds = [found[f"{row['guide']}-seed{seed}"]["figures"] for seed in SEEDS]
        line = lines[row["guide"]]
        assert row["seeds"] == int(line["seeds"]) == 2
        for name in COLUMNS:
            values = [seed[name] for seed in seeds]
            mean, stderr = sum(values) / 2, abs(values[0] - values[1]) / 2
            assert row["figures"][name]["mean"] == pytest.approx(mean)
            assert row["figures"][name]["stderr"] == pytest.approx(stderr, abs=1e-9)
            assert row["figures"][name]["margin"] == pytest.approx(12.7062 * stderr, rel=1e-5, abs=1e-9)  # t, 1 degree
            assert float(line[name]) == row["figures"][name]["mean"]
            assert float(line[f"{name}_stderr"]) == row["figures"][name]["stderr"]
            assert float(line[f"{name}_margin"]) == row["figures"][name]["margin"]
        assert row["rank"] == [int(line["best_rank"]), int(line["worst_rank"])]
        elbo, rank = row["figures"]["elbo"], "–".join(map(str, dict.fromkeys(row["rank"])))
        assert f"| {row['guide']} | {rank} | {with_error(elbo['mean'], elbo['margin'], 2)} |" in markdown
    bounds = [row["figures"]["log_px"]["mean"] for row in report["rows"]]
    assert bounds == sorted(bounds, reverse=True)
    assert report["protocol"]["num_datapoints"] == 20
    assert f"fingerprint {report['protocol']['fingerprint']}" in markdown


def test_ranks_are_of_paired_differences(compared):
    """Seed by seed and datapoint by datapoint; ± by hand, of t with 1 and with 19 degrees of freedom."""
    found = results(compared)
    bounds = {guide: np.array([found[f"{guide}-seed{seed}"]["log_px"] for seed in SEEDS]) for guide in GUIDES}
    ranking = json.loads((compared / "table.json").read_text())["ranking"]
    (difference,) = ranking["differences"]
    between = bounds[difference["better"]] - bounds[difference["worse"]]
    over_trainings = 12.7062 * between.mean(1).std(ddof=1) / 2**0.5
    over_datapoints = 2.09302 * between.mean(0).std(ddof=1) / 20**0.5
    assert difference["mean"] == pytest.approx(between.mean())
    assert difference["over_trainings"] == pytest.approx(over_trainings, rel=1e-4)
    assert difference["over_datapoints"] == pytest.approx(over_datapoints, rel=1e-4)
    assert difference["margin"] == pytest.approx(math.hypot(over_trainings, over_datapoints), rel=1e-4)
    assert difference["tied"] == bool(difference["mean"] <= difference["margin"])
    assert (ranking["by"], ranking["comparisons"], ranking["level"]) == ("log_px", 1, 0.95)
    markdown = (compared / "table.md").read_text()
    assert f"| {difference['better']} − {difference['worse']} | {between.mean():.2f}"[:-3] in markdown
    assert "from 1 comparison on the same datapoints and bits, at 95 %." in markdown
    assert "± is the 95 % interval over 2 trainings (Student's t, 1 degree of freedom)" in markdown


def test_the_report_has_the_table_the_figure_and_the_command(compared, open_page):
    page = open_page(compared / "report.html", java_script_enabled=False)
    words = page.inner_text("body")
    markdown = (compared / "table.md").read_text()
    for line in [line for line in markdown.splitlines() if line.startswith(("| amor", "| mean"))]:
        for cell in line.strip("| ").split(" | "):
            assert cell in words
    assert "Warning" not in words
    assert words.index("log p(x) ≥") < words.index("Differences") < words.index("How it was made")  # the table first
    assert "ppl-vae compare --guides amortized mean-field --seeds 2" in words
    assert "--seed 5" in words
    assert page.locator("img").count() == 1
    assert page.locator("img").evaluate("image => image.naturalWidth") > 500


def test_figures_are_what_they_say(compared):
    for name, result in results(compared).items():
        figures = result["figures"]
        assert figures["elbo"] == pytest.approx(figures["reconstruction"] - figures["kl"])
        noise = figures["log_px_monte_carlo"] * 11**0.5  # ten draws for the bound, one for the ELBO
        assert 0 < noise < 0.5
        assert -80 < figures["elbo"] < figures["log_px"] + 5 * noise < -15
        assert figures["seconds"] > 0
        rows = 1797 - 359 - 144  # training datapoints, each with 2 · 2 numbers
        encoder = 64 * 16 + 16 + 16 * 4 + 4
        assert figures["parameters"] == (encoder if name.startswith("amortized") else 4 * rows)


def test_seeds_differ(compared):
    """In training and in the draws of evaluation, which are in the spread over seeds thereby."""
    found = results(compared)
    for guide in GUIDES:
        assert found[f"{guide}-seed5"]["figures"]["elbo"] != found[f"{guide}-seed6"]["figures"]["elbo"]
    for name, result in found.items():
        assert result["protocol"]["seed"] == int(name[-1])
        assert len(result["log_px"]) == 20
        assert np.mean(result["log_px"]) == pytest.approx(result["figures"]["log_px"])


def test_all_runs_share_their_protocol(compared):
    """All but their seeds and the hashes of their weights, which the table keeps for all and for each run."""
    found = results(compared)
    report = json.loads((compared / "table.json").read_text())
    for name in ("model", "guide"):
        hashes = {folder: result["protocol"].pop(name) for folder, result in found.items()}
        assert len(set(hashes.values())) == 4
        assert {folder: weights[name] for folder, weights in report["weights"].items()} == hashes
    assert report["protocol"].pop("seeds") == SEEDS
    for result in found.values():
        assert result["protocol"].pop("seed") in SEEDS
        assert result["protocol"] == report["protocol"]


# --- Going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_half_finished_goes_on_and_finished_is_left(cli, compared, tmp_path):
    """Three of four runs are kept to the byte and the clock tick; the fourth comes out as it was."""
    half = tmp_path / "half"
    shutil.copytree(compared, half)
    before = results(half)
    shutil.rmtree(half / "mean-field-seed6")
    for name in ("table.csv", "table.json", "table.md", "comparison.png", "comparison.svg"):
        (half / name).unlink()
    kept = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in half.glob("*/*") if path.is_file()}
    status, out, err = cli("compare", *TERMS, "--out", half)
    assert status == 0, err
    assert all(guide in out for guide in GUIDES)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept} == kept
    again, first = results(half)["mean-field-seed6"]["figures"], before["mean-field-seed6"]["figures"]
    assert {name: again[name] for name in ("elbo", "log_px", "kl")} == pytest.approx(
        {name: first[name] for name in ("elbo", "log_px", "kl")}, rel=1e-6
    )
    assert (half / "table.csv").is_file()
    assert (half / "comparison.png").is_file()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda found: found["protocol"].update(seed=6), "it is of seed 6"),
        (lambda found: found["log_px"].pop(), "datapoints are missing"),
        (lambda found: found.update(log_px=["1"] * 20), "a bound is no number"),
        (lambda found: found.pop("log_px"), "missing 1 required positional argument: 'log_px'"),
    ],
)
def test_a_result_that_is_not_of_its_run_is_in_no_table(cli, compared, tmp_path, in_this_process, change, why):
    """Nor is one from before values were kept for each datapoint."""
    out = tmp_path / "out"
    shutil.copytree(compared, out)
    file = out / "amortized-seed5" / "result.json"
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))
    status, _, err = cli("compare", *TERMS, "--out", out)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"ppl-vae: {file}: damaged (")
    assert f"{why}); delete it and repeat the command." in err


def test_a_run_of_another_seed_does_not_go_on(cli, compared, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared, out)
    shutil.rmtree(out / "amortized-seed5")
    (out / "amortized-seed6").rename(out / "amortized-seed5")
    refused(cli("compare", *TERMS, "--out", out), "amortized-seed5 was trained with seed 6", "delete it and repeat")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_one_line(cli, tmp_path, monkeypatch, workers):
    def killed(function, calls, count, advance):
        assert count == workers
        raise WorkerKilledError

    monkeypatch.setattr("ppl_vae.runs.comparison.work_off", killed)
    out = tmp_path / "out"
    status, _, err = cli("compare", *TERMS, "--workers", workers, "--out", out)
    assert status == 2
    what = ", with fewer --workers than 2." if workers == 2 else " on a machine with more memory."
    assert err == (
        "ppl-vae: the system has killed a worker, most often because memory ran out; the same command with "
        f"--out {out} goes on{what}\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "parent", "all by Ctrl-C"])
def test_killed_in_the_middle_goes_on(tmp_path, victim):
    """Nobody is left, one line is said, and the same command ends what was begun."""
    out = tmp_path / "out"
    terms = [*TERMS, "--guides", "amortized", "amortized:point", "--workers", "2", "--epochs", "300", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "ppl_vae", "compare", *terms],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list(out.glob("*/metrics.csv"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True)
    workers = [int(word) for word in found.stdout.split()]
    assert len(workers) == 2
    if victim == "all by Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(workers[0] if victim == "worker" else process.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    lines = {"worker": "ppl-vae: the system has killed a worker", "all by Ctrl-C": "ppl-vae: stopped; the same command"}
    if victim != "parent":
        assert err.startswith(lines[victim])
        assert err.count("\n") == 1
        assert str(out) in err
    assert process.returncode == {"worker": 2, "parent": -signal.SIGKILL, "all by Ctrl-C": 130}[victim]
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert main(["compare", *terms]) == 0
    assert (out / "report.html").exists()


def test_other_terms_are_refused(cli, compared):
    before = {path: path.read_bytes() for path in compared.rglob("*") if path.is_file()}
    for change in (["--epochs", "2"], ["--limit", "30"], ["--guides", "amortized"], ["--seeds", "3"], ["--seed", "6"]):
        refused(cli("compare", *TERMS, *change, "--out", compared), "on other terms", "another --out")
    assert {path: path.read_bytes() for path in compared.rglob("*") if path.is_file()} == before


# --- What it refuses --------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown guide": (["--guides", "amortized", "amortised"], ["unknown guide 'amortised'", "did you mean"]),
    "unknown family": (["--guides", "amortized:iff"], ["unknown family 'iff'"]),
    "family of mean-field": (["--guides", "mean-field:iaf"], ["mean-field means the diagonal family"]),
    "twice": (["--guides", "amortized", "mean-field", "amortized"], ["name each guide once"]),
    "a guide by its own flag": (["--guide", "mean-field"], ["name what to compare by --guides"]),
    "a family by its own flag": (["--family", "iaf"], ["name what to compare by --guides"]),
    "no seeds": (["--seeds", "0"], ["--seeds", "greater than 0"]),
    "seeds beyond the last": (["--seed", str(2**63 - 2)], ["--seed", "3 seeds counted up from there"]),
    "no workers": (["--workers", "0"], ["--workers", "greater than 0"]),
    "unknown data": (["--data", "digit"], ["unknown data set 'digit'"]),
    "iwae of a point": (["--guides", "amortized", "amortized:point", "--objective", "iwae"], ["site 'z'", "density"]),
    "rows of none": (["--guides", "amortized", "--row-learning-rate", "0.1"], ["--row-learning-rate: nothing here"]),
    "analytic KL of a flow": (["--guides", "amortized:iaf", "--objective", "elbo-analytic-kl"], ["no closed form"]),
}


@pytest.mark.parametrize("row", REFUSED)
def test_refuses(cli, tmp_path, row):
    arguments, parts = REFUSED[row]
    refused(cli("compare", *arguments, "--out", tmp_path / "out"), *parts)


@pytest.mark.parametrize("row", ["twice", "a guide by its own flag", "no seeds", "iwae of a point"])
def test_refuses_before_anything_is_written(cli, tmp_path, row):
    refused(cli("compare", *REFUSED[row][0], "--out", tmp_path / "out"))
    assert not list(tmp_path.iterdir())


def test_refuses_a_folder_of_something_else(cli, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused(cli("compare", *TERMS, "--out", tmp_path), "holds no comparison")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# --- The table --------------------------------------------------------------------------------------------------------


def result(guide, elbo, log_px=None, seed=0, **protocol):
    figures = {
        "elbo": elbo,
        "log_px": log_px,
        "reconstruction": elbo + 5.0,
        "kl": 5.0,
        "log_px_monte_carlo": None if log_px is None else 0.0123,
        "seconds": 2.0,
        "parameters": 1234.0,
    }
    values = None if log_px is None else [log_px - 1, log_px + 1]
    return Result(guide, figures, values, {"data": "digits", "likelihood": "proper", "seed": seed, **protocol})


def test_margins_over_seeds():
    """s / √n with n − 1 below the root of s, times Student's t of 2 degrees of freedom."""
    values = [-20.0, -22.0, -27.0]
    table = summarise([result("amortized", value, value + 1, seed) for seed, value in enumerate(values)])
    (row,) = table.rows
    mean, stderr, margin = row.figures["elbo"]
    assert mean == pytest.approx(-23.0)
    assert stderr == pytest.approx(np.std(values, ddof=1) / 3**0.5)
    assert margin == pytest.approx(4.302653 * stderr)
    assert (row.seeds, row.rank) == (3, (1, 1))
    assert row.figures["kl"] == (5.0, 0.0, 0.0)
    assert table.protocol["seeds"] == [0, 1, 2]
    assert "seed" not in table.protocol
    assert f"-23.0 ± {margin:.1f}" in as_terminal(table)
    assert (
        "in one training log p(x) has a standard error of 1.0 over datapoints, 0.012 of the estimate on these"
        in as_terminal(table)
    )


def test_doubts_about_local_fits_are_said():
    """Of each training that has any, and kept in the row."""
    fits = {"num": 9, "notes": ["on 2 of 9 datapoints they differ."], "warnings": ["on 1 of 9 one start alone."]}
    mine = [replace(result("mean-field", -20.0, -19.0, seed), local_fits=fits) for seed in (0, 1)]
    table = summarise([*mine, *(result("amortized", -20.0, -19.0, seed) for seed in (0, 1))])
    for number in (1, 2):
        assert f"\nmean-field, training {number}: on 2 of 9 datapoints they differ." in as_terminal(table)
        assert f"\n- warning: mean-field, training {number}: on 1 of 9 one start alone." in as_markdown(table)
    kept = {row["guide"]: row["local_fits"] for row in table.to_dict()["rows"]}
    assert kept == {"mean-field": [fits, fits], "amortized": None}


def test_one_seed_has_no_interval():
    table = summarise([result("amortized", -20.0, -19.0)])
    assert math.isnan(table.rows[0].figures["elbo"][1])
    assert "±" not in as_terminal(table).splitlines()[1]
    assert "one seed, so no interval over trainings" in as_terminal(table)
    two = as_terminal(summarise([result("amortized", -20.0, -19.0), result("iaf", -18.0, -17.0)]))
    assert "One seed: what is said to be better is so of these trainings; with other seeds the order may differ." in two


def test_best_bound_first_whatever_the_order():
    table = summarise([result("a", -20.0, -19.0), result("b", -21.0, -17.0), result("c", -25.0, -18.0)])
    assert [row.guide for row in table.rows] == ["b", "c", "a"]


def test_ties_are_shown_as_ties():
    """Two alike, one clearly worse: in the table, in words, in JSON and in CSV."""
    bounds = {"a": [-20.00, -20.01, -20.02], "b": [-20.01, -20.02, -20.00], "c": [-30.01, -30.0, -30.0]}
    made = [result(guide, -40.0, each, seed) for guide, values in bounds.items() for seed, each in enumerate(values)]
    table = summarise(made)
    assert [row.rank_in_words for row in table.rows] == ["1–2", "1–2", "3"]
    lines = as_terminal(table).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["a", "1–2"], ["b", "1–2"], ["c", "3"]]
    verdicts = [line.split("  ")[-1] for line in lines if " − " in line][1:]
    assert [each.strip() for each in verdicts] == ["a tie", "a is better", "b is better"]
    assert lines[-1].startswith("result   a tie: no guide is known to be the best. a has the highest bound on log p(x)")
    assert lines[-1].endswith("; clearly behind: c")
    said = "from 3 comparisons on the same datapoints and bits, 95 % for all together (Bonferroni)."
    assert said in as_terminal(table)
    assert said in as_markdown(table)
    plain = table.to_dict()
    assert [row["rank"] for row in plain["rows"]] == [(1, 2), (1, 2), (3, 3)]
    assert [row["tied_with"] for row in plain["rows"]] == [["b"], ["a"], []]
    assert plain["ranking"]["comparisons"] == len(plain["ranking"]["differences"]) == 3
    read = [(line["best_rank"], line["worst_rank"]) for line in csv.DictReader(as_csv(table).splitlines())]
    assert read == [("1", "2"), ("1", "2"), ("3", "3")]


def test_unlike_protocols_are_not_ranked():
    with pytest.raises(UserError, match=r"mean-field was not evaluated like amortized \(num_samples differ\)"):
        summarise([result("amortized", -20.0), result("mean-field", -21.0, num_samples=20)])
    with pytest.raises(UserError, match="data differ"):
        summarise([result("amortized", -20.0), result("amortized", -21.0, data="mnist")])
    with pytest.raises(UserError, match="details differ"):
        summarise([result("amortized", -20.0), result("mean-field", -21.0, details={"temperatures": 9})])


def test_other_weights_are_ranked():
    made = [result("amortized", -20.0, -19.0), result("iaf", -19.0, -18.0)]
    for number, each in enumerate(made):
        each.protocol.update(model=f"{number}", guide=f"{number}")
    assert [row.guide for row in summarise(made).rows] == ["iaf", "amortized"]


def test_a_figure_that_is_not_there():
    table = summarise([result("amortized:point", -15.0), result("amortized", -20.0, -19.0)])
    assert [row.guide for row in table.rows] == ["amortized", "amortized:point"]
    point = table.rows[1]
    assert (point.figures["log_px"], point.rank) == (None, None)
    lines = list(csv.DictReader(as_csv(table).splitlines()))
    assert (lines[1]["log_px"], lines[1]["best_rank"]) == ("", "")
    assert "| amortized:point | – | -15.00 | – |" in as_markdown(table)
    assert "data digits" in as_markdown(table)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("amortized", ("amortized", "diagonal")),
        ("amortized:iaf", ("amortized", "iaf")),
        ("path/to/mine.py:Guide", ("path/to/mine.py:Guide", "diagonal")),
    ],
)
def test_split_guide(name, parts):
    assert split_guide(name) == parts


@pytest.mark.slow
def test_its_tables_are_written_for_a_paper(cli, compared, tmp_path):
    """The guides', and how far each is above each other, with standard errors and the number of comparisons."""
    again = ["compare", *TERMS, "--out", compared, "--table"]
    for name in ("table.tex", "table.csv"):
        status, _, err = cli(*again, tmp_path / name)
        assert status == 0, err
    text = (tmp_path / "table.tex").read_text()
    assert text.count(r"\begin{tabular}") == 2
    assert "± standard error over trainings" in text
    assert "of 1 comparison;" in text
    stored = json.loads((compared / "table.json").read_text())["ranking"]
    (difference,) = csv.DictReader((tmp_path / "table-differences.csv").read_text().splitlines())
    assert float(difference["difference_stderr"]) == pytest.approx(stored["differences"][0]["stderr"])
    assert difference["comparisons"] == "1" == str(stored["comparisons"])
    guides = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {row["guide"] for row in guides} == set(GUIDES)
    assert all(float(row["log_px_stderr"]) > 0 for row in guides)
