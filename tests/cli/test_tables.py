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
