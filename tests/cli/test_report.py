"""The report of a run: a whole page, fetching nothing, with the numbers that the commands give."""

import base64
import json
import shlex
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import DataConfig, load
from ppl_vae.diagnostics import diagnose
from ppl_vae.reports import pictures
from ppl_vae.reports import report as module
from ppl_vae.runs.command_line import train_command
from ppl_vae.runs.run import Run, TrainConfig
from ppl_vae.runtime.shown import error_alone, with_error
from ppl_vae.training import FitConfig

pytestmark = pytest.mark.usefixtures("one_picture")

TINY = ["--hidden", "16", "--latent-dim", "2", "--epochs", "1"]
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Tags that are balanced, cells by their row's heading, list entries, pictures and code."""

    def __init__(self, path):
        super().__init__()
        self.open, self.attributes, self.texts = [], [], []
        self.rows, self.entries = {}, []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *attribute) for attribute in attributes]
        if tag == "tr":
            self.row = []  # of a cell before its row's heading: the corner of a table
        if tag not in VOID:
            self.open.append(tag)
            self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        text = self.texts.pop()
        if tag == "th":
            self.row = self.rows.setdefault(text, [])
        elif tag == "td":
            self.row.append(text)
        elif tag == "li":
            self.entries.append(text)
        elif tag == "pre":
            self.commands = text.splitlines()
        elif tag == "title":
            self.title = text

    @property
    def pictures(self):
        return [value for tag, name, value in self.attributes if (tag, name) == ("img", "src")]

    @property
    def warnings(self):
        return [entry for entry in self.entries if entry.startswith("Warning: ")]


@pytest.fixture
def train(cli, tmp_path):
    """Train into a fresh folder and read the report."""

    def run(*arguments, name="run"):
        path = tmp_path / name
        status, out, err = cli("train", *TINY, *arguments, "--out", path)
        assert status == 0, err
        assert err == ""
        assert f"report   {path / 'report.html'} (its pictures: {path / 'figures'})\n" in out
        return path, Page(path / "report.html")

    return run


def test_fetches_and_runs_nothing(trained):
    page = Page(trained / "report.html")
    assert {tag for tag, *_ in page.attributes}.isdisjoint({"script", "link", "iframe", "a", "object"})
    for _, name, target in page.attributes:
        assert name not in ("href", "srcset", "style")
        assert not name.startswith("on")
        if name == "src":
            assert target.startswith("data:image/png;base64,")
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert ("meta", "name", "viewport") in page.attributes


@pytest.mark.parametrize("scripts", [True, False])
def test_opens_in_a_browser_that_runs_no_scripts_and_has_no_network(trained, open_page, scripts):
    page = open_page(trained / "report.html", java_script_enabled=scripts, viewport={"width": 360, "height": 740})
    pictures = page.locator("img")
    assert pictures.count() == len(Page(trained / "report.html").pictures) >= 6
    for number in range(pictures.count()):
        assert pictures.nth(number).evaluate("image => image.complete && image.naturalWidth") > 300
    assert page.evaluate("document.documentElement.scrollWidth") <= 360  # of a phone


def test_holds_every_picture_with_words(trained):
    page = Page(trained / "report.html")
    held = {base64.b64decode(source.partition(",")[2]) for source in page.pictures}
    assert held == {path.read_bytes() for path in (trained / "figures").glob("*.png")}
    assert len(held) == 10
    alts = [text for tag, name, text in page.attributes if (tag, name) == ("img", "alt")]
    assert len(set(alts)) == 10
    assert all(len(text) > 20 for text in alts)


BOUND = "importance bound on log p(x) on the first 20, K = 500"


def shown(mean, stderr, of_draws):
    return [with_error(mean, stderr), f"± {error_alone(of_draws)}"]


def all_of(diagnostics):
    return diagnostics["warnings"] + diagnostics["bound_warnings"]


def test_numbers_are_those_of_its_commands(cli, trained):
    """The commands at its end give the numbers in it."""
    page = Page(trained / "report.html")
    _, *evaluations = page.commands
    elbo, bound = (json.loads(cli(*shlex.split(line)[1:], "--json")[1]) for line in evaluations)
    assert page.rows["elbo"][:2] == shown(elbo["elbo"], elbo["stderr"], elbo["monte_carlo_stderr"])
    for name in ("reconstruction", "kl"):
        errors = (elbo[f"{name}_{error}"] for error in ("stderr", "monte_carlo_stderr"))
        assert page.rows[name][:2] == shown(elbo[name], *errors)
    assert page.rows[BOUND] == shown(bound["log_px"], bound["stderr"], bound["monte_carlo_stderr"])
    assert page.rows["higher than with half as many draws, K = 250 by"] == shown(*list(bound["rise"].values())[:3])
    for name, expected in elbo["protocol"].items():
        if name not in ("estimator", "details"):
            assert page.rows[name][:2] == [str(expected), str(bound["protocol"][name])], name
    assert page.rows["num_datapoints"][-2:] == ["359", "20"]
    ess = bound["diagnostics"]["weights"]["ess"]
    assert f"effective sample size {with_error(ess['mean'], ess['stderr'], 1)} of 1000 draws" in page.entries
    assert f"active units {bound['diagnostics']['units']['num_active']} of 2" in page.entries
    # The aggregate posterior is of all the datapoints, as for the first command, the rest of as many as for the second.
    said = [f"Warning: {each}" for found in (bound, elbo) for each in all_of(found["diagnostics"])]
    assert len(page.warnings) == len(all_of(bound["diagnostics"]))
    assert set(page.warnings) <= set(said)


def test_says_what_was_run_and_learned(trained):
    page, run = Page(trained / "report.html"), Run.open(trained)
    last = run.history()[-1]
    assert page.title == f"vae, amortized × diagonal on digits ({trained.name})"
    assert page.rows["epoch"] == ["4 of 4"]
    assert "bound (elbo)" not in page.rows  # it is the elbo
    assert page.rows["elbo"][-1] == f"{last.elbo:.2f}"
    assert page.rows["validation bound"] == [f"{last.validation_bound:.2f}"]
    assert page.rows["versions"] == [", ".join(f"{name} {number}" for name, number in run.record.versions.items())]
    assert page.rows["data"][-1] == "digits, 1,294 training datapoints of shape 8 × 8"
    assert "Does the model reproduce the data?" not in page.source  # which is asked of tables


@pytest.mark.slow
def test_its_command_makes_the_same_run(cli, train, tmp_path):
    path, page = train(
        "--epochs", "2", "--activation", "tanh", "--kl-warmup", "1", "--learning-rate", "0.003", "--seed", "3"
    )
    words = shlex.split(page.commands[0])
    assert words[-2:] == ["--out", str(path)]
    assert cli(*words[1:-1], tmp_path / "again")[0] == 0
    assert Run.open(tmp_path / "again").record == Run.open(path).record
    assert Page(tmp_path / "again" / "report.html").rows["elbo"] == page.rows["elbo"]


def test_command_quotes_and_leaves_out_defaults(tmp_path):
    assert shlex.split(train_command(TrainConfig(), tmp_path)) == ["ppl-vae", "train", "--out", str(tmp_path)]
    pair = replace(TrainConfig().pair, settings={"hidden": ()})
    settings = TrainConfig(DataConfig(data="my $data.npz"), pair, FitConfig(epochs=3))
    words = shlex.split(train_command(settings, tmp_path))
    assert words[2] == "--data"
    assert words[3].endswith("/my $data.npz")
    assert words[4:7] == ["--hidden", "--epochs", "3"]
    mnist = train_command(TrainConfig(DataConfig(data="mnist", data_root=tmp_path / "of mine")), tmp_path)
    assert f"--data-root '{tmp_path}/of mine'" in mnist


def test_text_from_outside_is_text(train, tmp_path):
    data = tmp_path / "<b>&$x.npz"
    np.savez(data, x=np.random.default_rng(0).random((40, 3, 3), dtype=np.float32))
    _, page = train("--data", data, name="<i>run")
    assert "<b>&$x.npz" in page.title
    assert page.rows["data"][-1].startswith(f"{data}, 29 training datapoints")
    assert shlex.quote(str(data)) in page.commands[0]
    assert "<b>" not in page.source
    assert "<i>" not in page.source


@pytest.mark.slow
def test_written_anew_when_a_run_goes_on(cli, train):
    path, page = train()
    assert page.rows["epoch"] == ["1 of 1"]
    assert cli("train", "--resume", path, "--epochs", "2")[0] == 0
    again = Page(path / "report.html")
    assert again.rows["epoch"] == ["2 of 2"]
    assert again.rows["elbo"] != page.rows["elbo"]
    assert "--epochs 2" in again.commands[0]
    assert not list(path.glob("*.partial"))


@pytest.mark.slow
def test_a_row_for_each_datapoint_is_looked_at_on_training_data(cli, train):
    path, page = train("--guide", "per-datapoint", "--binarization", "static")
    assert "the guide has a q for each of them and for no others" in page.source
    assert page.rows["split"] == ["train", "train"]
    pair, data = Run.open(path).load_pair(torch.device("cpu")), load(DataConfig(binarization="static")).train
    found = diagnose(*pair, data, num_datapoints=20).aggregate.mutual_information
    told = f"mutual information I(x; z) {with_error(found.mean, found.stderr)} nats (of 1,294 datapoints)"
    assert told in page.entries
    again = json.loads(cli(*shlex.split(page.commands[2])[1:], "--json")[1])
    assert page.rows[BOUND] == shown(again["log_px"], again["stderr"], again["monte_carlo_stderr"])


def test_a_point_has_no_bound_and_says_so(train):
    path, page = train("--family", "point")
    assert any("a reconstruction but no ELBO" in warning for warning in page.warnings)
    assert "reconstruction" in page.rows
    assert not {"elbo", "kl", "validation bound"} & page.rows.keys()
    assert page.rows["loss"] == ["minus the reconstruction, minus log p(z)"]
    assert not [name for name in page.rows if name.startswith("importance bound")]
    assert not (path / "figures" / "kl-by-unit.png").exists()
    assert len(page.commands) == 2


@pytest.mark.slow
def test_conditional(every_picture, train):
    path, page = train("--model", "conditional")
    drawn = {file.stem for file in (path / "figures").glob("*.png")}
    assert drawn == {*pictures._PICTURES, "kl-by-unit"} - {"grid"}  # a plane for each label would be needed
    assert len(page.pictures) == len(drawn)
    assert not [warning for warning in page.warnings if "left out" in warning]


@pytest.mark.slow
def test_grey_levels_are_warned_of(cli, tmp_path):
    flags = ["--binarization", "none", "--likelihood", "bernoulli"]
    assert cli("train", *TINY, *flags, "--out", tmp_path / "run")[0] == 0
    assert any("not log-likelihoods" in warning for warning in Page(tmp_path / "run" / "report.html").warnings)


def test_best_epoch_is_what_it_shows(train):
    path, page = train("--epochs", "3", "--patience", "2", "--learning-rate", "0.3")
    best = max(Run.open(path).history(), key=lambda row: row.validation_bound)
    assert page.rows["validation bound"] == [f"{best.validation_bound:.2f}"]
    assert page.rows["epoch"] == [f"{best.epoch} of 3, the best by validation"]


@pytest.mark.slow
def test_without_a_test_split(train):
    _, page = train("--test-fraction", "0")
    assert page.rows["split"] == ["train", "train"]
    assert page.commands[1].endswith("--split train")


def test_too_little_data_to_diagnose_leaves_that_out(train, npz):
    x = np.random.default_rng(0).random((20, 3, 3), dtype=np.float32)
    _, page = train("--data", npz(x=x), "--validation-fraction", "0", "--test-fraction", "0.05")
    assert any("left out diagnostics" in warning and "at least 2" in warning for warning in page.warnings)
    assert "±" not in page.rows["elbo"][0]  # one datapoint has no error over datapoints; its draws have


def test_a_report_that_cannot_be_made_fails_nothing(cli, tmp_path, monkeypatch):
    def fail(*_):
        raise TypeError("odd shapes\nof all kinds")

    monkeypatch.setattr(module, "has_density", fail)
    status, out, err = cli("train", *TINY, "--out", tmp_path / "run")
    assert status == 0
    assert err == "left out report: TypeError: odd shapes\n"
    assert f"report   none yet; make it by: ppl-vae report {tmp_path / 'run'}\n" in out
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_diagnosis_that_fails_is_left_out(cli, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("not <of> this pair")

    monkeypatch.setattr(module, "diagnose", fail)
    assert main(["train", *TINY, "--out", str(tmp_path / "run")]) == 0
    page = Page(tmp_path / "run" / "report.html")
    assert page.warnings == ["Warning: left out diagnostics: RuntimeError: not <of> this pair"]
    assert page.rows["elbo"][1].count("±") == 1


def test_says_what_was_changed_and_why(trained):
    page = Page(trained / "report.html")
    assert page.rows["epochs"] == ["4", "given"]
    assert page.rows["latent_dim"][:2] == ["2: size of z; of z1, in a model of two layers", "given"]
    why = "chosen, since x holds grey levels, most of them near black or white"
    assert page.rows["likelihood"][-2:] == ["bernoulli", why]
    assert "batch_size" not in page.rows  # as it is where nothing is set
    assert page.source.index("Settings") < page.source.index("All settings")


def test_begins_with_the_result_four_pictures_and_the_next_command(trained, open_page):
    """In the words of the terminal's last lines, and at the top, whatever else the page has."""
    tab = open_page(trained / "report.html", viewport={"width": 1200, "height": 900})
    words = tab.inner_text("body")
    order = ["Trained on 1,294 datapoints, 4 epochs in", "elbo ", "on all 359 test datapoints; higher is better"]
    order += [
        "What to do next",
        f"ppl-vae train --resume {trained} --epochs 46",
        "Estimates",
        "Settings",
        "Do it again",
    ]
    places = [words.index(each) for each in order]
    assert places == sorted(places)
    shown = [image for image in tab.locator("img").all() if image.is_visible()]
    assert len(shown) == 4
    assert max(image.bounding_box()["y"] + image.bounding_box()["height"] for image in shown) < 900
    assert not tab.locator("text=Shaded: observed").is_visible()


def test_rows_larger_than_memory_have_a_report_of_as_many_as_may_be_held(cli, tmp_path):
    """A guide of rows has a q for its training data only, whose bits do not stay unless they are held."""
    grey = np.random.default_rng(0).random((9000, 12, 12)) ** 4
    np.savez(tmp_path / "x.npz", x=(255 * grey).astype(np.uint8))
    how = ["--data-memory", "1", "--test-fraction", "0.005", "--validation-fraction", "0.005", "--guide", "mean-field"]
    status, out, err = cli("train", "--data", tmp_path / "x.npz", *how, *TINY, "--out", tmp_path / "run")
    assert status == 0, err
    assert "left out" not in out + err
    held = load(tmp_path / "x.npz", data_memory=1, test_fraction=0.005, validation_fraction=0.005).train.at_once
    assert f"on the first {held} of 8,910 training datapoints" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"They are of the first {held}: memory is to hold no more" in page
    assert f"--limit {held}" in page
