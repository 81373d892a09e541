"""Rows of a table in files: the columns' own names and units, categories by name, holes empty or a line each."""

import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch

import ppl_vae as pv
from ppl_vae import predictive
from ppl_vae.data import Dataset, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.predictive.profiles import crowd_of
from ppl_vae.predictive.rendering import pairs_of
from ppl_vae.predictive.tables import TableColumn, columns_in_words, holes_written, table_columns, table_written

Filled = tuple[Splits, predictive.Samples, predictive.Samples]
NAN = float("nan")
INFO = replace(
    DataInfo.of(Dataset(torch.tensor([[1.5, 0, 1, 0, 0], [2.5, 1, 0, 1, 9]]))),
    columns=("height, cm", "city=Oslo", "city=Rome=Lazio", "city=", "visits"),
    kinds=("reals", "category", "category", "category", "counts"),
)
X = torch.tensor([[159.4, 0.2, 0.7, 0.1, 3.0], [1e9, 1.0, 0.0, 0.0, 0.123456789]])


def rows(written: bytes) -> list[list[str]]:
    return list(csv.reader(StringIO(written.decode())))


def test_a_category_is_one_column_again() -> None:
    assert table_columns(INFO) == [
        TableColumn("height, cm", slice(0, 1)),
        TableColumn("city", slice(1, 4), ("Oslo", "Rome=Lazio", "")),
        TableColumn("visits", slice(4, 5)),
    ]
    assert [column.name for column in table_columns(replace(INFO, kinds=()))] == [*INFO.columns]
    assert [column.name for column in table_columns(replace(INFO, kinds=("category",)))] == [
        *("height, cm", "city", "visits")
    ]


def test_the_kinds_of_columns_are_told_in_a_line() -> None:
    assert columns_in_words(INFO) == "real: height, cm; count: visits; category: city (3 values)"
    assert columns_in_words(replace(INFO, kinds=("reals",), holes=True)).endswith("city=, visits; with holes")
    assert columns_in_words(replace(INFO, columns=())) == ""


def test_numbers_have_the_fewest_digits_that_are_they_and_holes_are_empty() -> None:
    assert rows(table_written(INFO, {"x": X})) == [
        ["height, cm", "city", "visits"],
        ["159.4", "Rome=Lazio", "3"],
        ["1000000000", "Oslo", "0.12345679"],
    ]
    gaps = torch.where(torch.tensor([[True, False, False, False, True]]), X, NAN)
    beside = rows(table_written(INFO, {"seen": gaps, "inferred": X}))
    assert beside[:2] == [
        [f"{name}, {table}" for table in ("seen", "inferred") for name in ("height, cm", "city", "visits")],
        ["159.4", "", "3", "159.4", "Rome=Lazio", "3"],
    ]


def test_a_hole_is_a_line_with_its_interval_or_its_probability() -> None:
    mask = torch.tensor([[True, False, False, False, True], [False, True, True, True, False]])
    assert rows(holes_written(INFO, mask, X, X - 1, X + 1)) == [
        ["row", "column", "value", "lower", "upper", "probability"],
        ["1", "city", "Rome=Lazio", "", "", "0.7"],
        ["2", "height, cm", "1000000000", "1000000000", "1000000000", ""],
        ["2", "visits", "0.12345679", "-0.8765432", "1.1234568", ""],
    ]


def test_of_what_is_0_or_1_a_picture_shows_shares() -> None:
    x = torch.tensor([[1.0, 0, 1, 0, 4], [2.0, 1, 0, 0, 5], [3.0, 1, 0, 0, 6], [NAN, NAN, NAN, NAN, NAN]])
    figure = crowd_of(INFO, {"drawn": x}, "", "")
    (marks,) = figure.axes[1].get_lines()
    shown = np.asarray(marks.get_xdata(), dtype=float).reshape(4, 5)
    np.testing.assert_allclose(shown[:, 1:4], [[2 / 3, 1 / 3, 0]] * 4, rtol=1e-6)
    assert len(set(shown[:3, 4])) == 3
    pairs = pairs_of(INFO, x[:1], x[:1] / 2, "", torch.ones(1, 5))
    paths = [path for bars in pairs.axes[1].collections[2:] for path in bars.get_paths()]
    drawn = [path for path in paths if np.isfinite(np.asarray(path.vertices)).all()]
    assert len(drawn) == 2  # of a real and a count


@pytest.fixture(scope="module")
def filled() -> Filled:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "height": draw.normal(170, 9, 80),
            "visits": draw.poisson(4.0, 80),
            "smoker": draw.random(80) < 0.3,
            "city": draw.choice(["Oslo", "Rome", "Bern"], 80),
        }
    )
    data = pv.load(frame.mask(draw.random(frame.shape) < 0.3), test_fraction=0.5)
    assert data.test is not None
    model = pv.build_model(VAE, data, latent_dim=2, hidden=(8,), likelihood="columns")
    guide = pv.build_guide(Amortized, model, data)
    pair = model, guide, data.test, DataInfo.of(data)
    return data, predictive.impute(*pair, num_samples=40, num_draws=3), predictive.posterior(*pair)


def test_what_is_inferred_is_of_the_kind_of_its_column(filled: Filled) -> None:
    data, made, _ = filled
    assert data.test is not None
    mask, x = data.test.mask, data.test.x
    assert mask is not None
    for name in ("x", "lower", "upper"):
        assert torch.equal(made[name][mask], x[mask])
    counts = [made[name][..., 1] for name in ("lower", "upper", "draws")]
    assert all(torch.equal(each.round(), each) for each in counts)
    blocks = made["draws"][..., 3:]
    assert (blocks.sum(-1) == 1).all()
    assert ((blocks == 0) | (blocks == 1)).all()
    torch.testing.assert_close(made["x"][:, 3:].sum(-1), torch.ones(len(x)))
    files = made.files("it")
    assert list(files) == ["it.csv", "it-holes.csv"]
    assert len(rows(files["it.csv"])) == 1 + len(x)
    holes = int((~mask[:, :4]).sum())  # a category is one
    assert len(rows(files["it-holes.csv"])) == 1 + holes


def test_what_was_not_seen_is_shown_as_such(filled: Filled) -> None:
    data, _, made = filled
    assert data.test is not None
    assert data.test.mask is not None
    assert torch.equal(made["observations"].isnan(), ~data.test.mask)
    table = rows(made.files("it")["it.csv"])
    assert table[0][:4] == [f"{name}, observation" for name in ("height", "visits", "smoker", "city")]
    empty = [[not cell for cell in row[:4]] for row in table[1:]]
    assert empty == (~data.test.mask[:, :4]).tolist()
