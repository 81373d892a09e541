"""The card of a run says what it is, and no estimate without its error."""

import re

import numpy as np
import pytest
import safetensors.torch
import yaml

import ppl_vae
from ppl_vae.reports.ending import card

SMALLEST = ["--hidden", "8", "--latent-dim", "2", "--epochs", "1"]
NUMBER = r"-?\d+\.\d+"


def parts_of(text):
    """Its front matter, and its sections by heading."""
    _, front, rest = text.split("---\n", 2)
    _, *sections = re.split(r"^## (.*)\n", rest, flags=re.MULTILINE)
    return yaml.safe_load(front), dict(zip(sections[::2], sections[1::2], strict=True))


def rows_in(section):
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"]
    return {name: values for name, *values in rows[2:]}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], {"elbo", "reconstruction", "kl"}),
        (["--guide", "per-datapoint"], {"elbo", "reconstruction", "kl"}),
        (["--family", "point"], {"reconstruction"}),
    ],
    ids=["amortized", "per-datapoint", "point"],
)
def test_a_run_without_a_report_has_one(cli, tmp_path, flags, names):
    assert cli("train", *SMALLEST, *flags, "--no-report", "--out", tmp_path / "run")[0] == 0
    text = (tmp_path / "run" / "README.md").read_text()
    front, sections = parts_of(text)
    assert front["library_name"] == "ppl_vae"
    found = rows_in(sections["Estimates"])
    assert found.keys() == names
    for value, _ in found.values():
        assert re.fullmatch(rf"{NUMBER} ± {NUMBER}", value)
    assert re.search(
        r"^- estimator (elbo|reconstruction), num_samples \d+, on \d+ datapoints of digits", text, re.MULTILINE
    )
    assert "(split train)" in text or "per-datapoint" not in flags
    assert "1 epoch of training" in sections["Warnings"]
    assert "Nothing was diagnosed: 'ppl-vae report " in sections["Warnings"]
    assert "it needs nothing but this folder" in sections["How to load it"]


def test_what_it_says_of_loading_runs(trained, monkeypatch):
    _, sections = parts_of((trained / "README.md").read_text())
    monkeypatch.chdir(trained.parent)
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", sections["How to load it"], flags=re.DOTALL):
        exec(block, scope)
    assert isinstance(scope["run"], type(ppl_vae.open(trained)))
    assert scope["weights"].keys() == safetensors.torch.load_file(trained / "model.safetensors").keys()


def test_a_report_s_card_has_all_its_estimates_and_a_picture(trained):
    text = (trained / "README.md").read_text()
    _, sections = parts_of(text)
    found = rows_in(sections["Estimates"])
    assert {name.partition(" on ")[0] for name in found} >= {"elbo", "importance bound"}
    assert all("±" in value for value, _ in found.values())
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert (trained / picture).is_file()
    assert "this report" not in text
    report = (trained / "report.html").read_text()
    assert found["elbo"][0] in report


def test_a_card_of_somebodys_own_stays_and_ours_is_made_anew(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", *SMALLEST, "--no-report", "--out", run)[0] == 0
    ours = (run / "README.md").read_text()
    assert cli("train", "--resume", run, "--epochs", 2, "--no-report")[0] == 0
    again = (run / "README.md").read_text()
    assert (" in 1 epoch." in ours, " in 2 epochs." in again) == (True, True)
    (run / "README.md").write_text(again.replace(card._MADE, "Mine."))
    assert cli("train", "--resume", run, "--epochs", 3, "--no-report")[0] == 0
    assert (run / "README.md").read_text() == again.replace(card._MADE, "Mine.")


def test_of_a_single_datapoint_there_is_no_number(cli, npz, tmp_path):
    """It has no error."""
    x = np.random.default_rng(0).random((20, 3, 3)) > 0.5
    data = ["--data", npz(x=x), "--binarization", "none", "--test-fraction", "0.05", "--validation-fraction", "0"]
    assert cli("train", *SMALLEST, *data, "--no-report", "--out", tmp_path / "run")[0] == 0
    _, sections = parts_of((tmp_path / "run" / "README.md").read_text())
    assert (
        sections["Estimates"].strip()
        == "None: they could not be had, or are of a single datapoint, which has no error."
    )
    needs = sections["How to load it"]
    assert re.search(r"Beside ppl_vae and this folder it needs:\n\n- its data, .*\.npz, for what looks at data", needs)
    assert not re.search(NUMBER, sections["Estimates"] + sections["Warnings"])


def test_what_stands_in_a_cell_is_one_cell():
    table = card._table(["", ""], [("a | b", "two\nlines")])
    assert table.splitlines()[2] == r"| a \| b | two lines |"
