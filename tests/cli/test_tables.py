"""A table from the command line: what it says, what it refuses, and that a run reads its data again."""

import numpy as np
import pandas as pd
import pytest

from tests.cli.test_bad_input import refused, snapshot


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Sixty people: reals, counts, bits and categories, with holes."""
    draw, num = np.random.default_rng(0), 60
    frame = pd.DataFrame(
        {
            "id": draw.permutation(num),
            "height": draw.normal(170, 9, num),
            "visits": draw.poisson(2.0, num),
            "smoker": draw.random(num) < 0.3,
            "city": draw.choice(["Oslo", "Rome"], num),
            "plan": draw.choice(["basic", "gold"], num),
        }
    )
    frame = frame.mask(draw.random(frame.shape) < np.array([0, 0.2, 0.2, 0, 0.2, 0]))
    path = tmp_path_factory.mktemp("tables") / "people.csv"
    frame.to_csv(path, index=False)
    return path


BRIEF = ["--label-column", "plan", "--latent-dim", "2", "--epochs", "1", "--hidden", "8"]


def test_train_says_what_it_takes_columns_for(cli, table, tmp_path):
    status, out, err = cli("train", "--data", table, *BRIEF, "--columns", "visits=real", "--out", tmp_path / "run")
    assert status == 0, err
    said = [" ".join(line.split()) for line in out.splitlines() if line.startswith("data ")]
    assert "(--columns NAME=KIND says otherwise)" in said[0]
    for line in ("id left out an identifier", "visits real", "smoker bit", "city category 2 values: Oslo, Rome"):
        assert any(each.startswith(f"data {line}") for each in said), said
    status, out, err = cli("evaluate", tmp_path / "run", "--num-samples", "5", "--engine", "eager")
    assert status == 0, err


BAD = {
    "a label column that is not there": (
        [*BRIEF[2:], "--label-column", "plam"],
        "`",
        ["--label-column names 'plam'", "did"],
    ),
    "a column that is not there": (["--columns", "hieght=real"], "`", ["--columns names 'hieght'", "mean 'height'?"]),
    "a kind that there is not": (["--columns", "height=number"], "`", ["--columns: 'height' is to be 'number'"]),
    "words as numbers": (["--columns", "city=real"], "`", ["column 'city' holds '", "in line 2"]),
}


@pytest.mark.parametrize("case", BAD)
def test_train_refuses_by_flag_line_and_column(cli, table, tmp_path, case):
    arguments, never, parts = BAD[case]
    result = cli("train", "--data", table, *arguments, "--out", tmp_path / "run")
    refused(result, *parts)
    assert never not in result[2]
    assert snapshot(tmp_path) == {}


def test_infer_reads_a_table_like_that_of_the_run(cli, table, tmp_path):
    assert cli("train", "--data", table, *BRIEF, "--out", tmp_path / "run")[0] == 0
    new = pd.read_csv(table).head(4).drop(columns=["plan", "id"])
    new.to_parquet(tmp_path / "new.parquet", index=False)
    arguments = "infer", tmp_path / "run", "--input", tmp_path / "new.parquet", "--out", tmp_path / "latents.npz"
    status, _, err = cli(*arguments)
    assert status == 0, err
    with np.load(tmp_path / "latents.npz") as latents:
        assert latents["z_mean"].shape == (4, 2)
    new.assign(city="Bergen").to_parquet(tmp_path / "new.parquet", index=False)
    refused(
        cli(*arguments[:-1], tmp_path / "other.npz"), "column 'city' holds 'Bergen' in row 1, which training never saw"
    )


def test_impute_fills_a_split_or_a_file(cli, table, tmp_path):
    assert cli("train", "--data", table, *BRIEF, "--out", tmp_path / "run")[0] == 0
    brief = ["--num-samples", "20", "--num-draws", "2"]
    status, out, err = cli("sample", tmp_path / "run", "impute", *brief)
    assert status == 0, err
    assert "with 90% intervals" in out
    made = tmp_path / "run" / "samples"
    assert {file.name for file in made.iterdir()} == {
        f"impute-1{end}" for end in (".npz", ".png", ".svg", ".csv", "-holes.csv")
    }
    out = tmp_path / "filled.npz"
    status, said, err = cli("sample", tmp_path / "run", "impute", *brief, "--input", table, "--out", out)
    assert status == 0, err
    assert "data     people.csv: left out, as the run does not know them: id" in said
    before, filled = pd.read_csv(table), pd.read_csv(tmp_path / "filled.csv")
    assert list(filled) == ["height", "visits", "smoker", "city"]
    assert not filled.isna().any().any()
    there = before["height"].notna()
    np.testing.assert_allclose(filled["height"][there], before["height"][there], rtol=1e-6)
    assert (filled["city"] == before["city"])[before["city"].notna()].all()
    holes = pd.read_csv(tmp_path / "filled-holes.csv")
    assert len(holes) == before[list(filled)].isna().sum().sum()
    height = holes[holes["column"] == "height"]
    assert (height["lower"] < height["value"].astype(float)).all()


def test_impute_refuses_what_has_no_holes(cli, table, tmp_path):
    assert cli("train", "--data", table, *BRIEF, "--out", tmp_path / "run")[0] == 0
    pd.read_csv(table).dropna().to_csv(tmp_path / "whole.csv", index=False)
    before = snapshot(tmp_path)
    result = cli("sample", tmp_path / "run", "impute", "--input", tmp_path / "whole.csv", "--out", tmp_path / "x.npz")
    refused(result, "nothing is missing from this data")
    assert snapshot(tmp_path) == before


def test_a_run_that_has_seen_no_holes_is_warned_of_them(cli, table, tmp_path):
    pd.read_csv(table).dropna().to_csv(tmp_path / "whole.csv", index=False)
    assert cli("train", "--data", tmp_path / "whole.csv", *BRIEF[2:], "--out", tmp_path / "run")[0] == 0
    arguments = ["--num-samples", "20", "--input", table, "--out", tmp_path / "x.npz"]
    status, out, err = cli("sample", tmp_path / "run", "impute", *arguments)
    assert status == 0, err
    assert "warning  the guide was trained without holes and takes the medians that stand in them for data" in out
    arguments = ["--infer-steps", "5", "--infer-starts", "1", "--input", table, "--out", tmp_path / "z.npz"]
    status, _, err = cli("infer", tmp_path / "run", *arguments)
    assert status == 0, err
    assert "warning: the guide has no input for what is missing" in err


def test_a_model_that_reads_labels_is_given_them(cli, table, tmp_path):
    assert cli("train", "--data", table, *BRIEF, "--model", "conditional", "--out", tmp_path / "run")[0] == 0
    pd.read_csv(table).drop(columns="plan").to_csv(tmp_path / "new.csv", index=False)
    for what in (["infer"], ["sample", "impute"]):
        words = [what[0], tmp_path / "run", *what[1:], "--input", tmp_path / "new.csv", "--out", tmp_path / "x.npz"]
        refused(cli(*words), "there is no column 'plan', and this run's model reads the labels in it")


def test_codes_are_not_averaged_in_the_report(cli, tmp_path):
    """With holes, under which a categorical distribution is masked."""
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "codes.npz", x=draw.integers(0, 4, (60, 3)), mask=draw.random((60, 3)) > 0.2)
    arguments = ["--data", tmp_path / "codes.npz", "--likelihood", "categorical", *BRIEF[2:]]
    assert cli("train", *arguments, "--out", tmp_path / "run")[0] == 0
    status, _, err = cli("report", tmp_path / "run")
    assert (status, "left out" in err) == (0, False)
    assert "the code that is drawn most often in" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.usefixtures("one_picture")
def test_the_report_says_what_the_model_does_not_reproduce(cli, table, tmp_path):
    status, _, err = cli("train", "--data", table, *BRIEF, "--out", tmp_path / "run")
    assert status == 0, err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "How the data was read" in page
    assert "what its columns are taken for" in page
    assert page.count("Does the model reproduce the data?</h2>") == 1
    section = page.partition("Does the model reproduce the data?</h2>")[2].partition("</section>")[0]
    for words in ("rows rests on too few", "z ~ q(z | x)", "z ~ p(z)", "correlation", "height", "95 % of draws"):
        assert words in section, words
    pictures = tmp_path / "run" / "figures"
    assert (pictures / "predictive-checks.png").exists()
    assert not (pictures / "predictive-checks-prior.png").exists()  # the full report has it
    assert cli("report", tmp_path / "run")[0] == 0
    assert (pictures / "predictive-checks-prior.png").exists()
