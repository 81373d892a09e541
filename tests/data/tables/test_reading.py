"""Tables: the same numbers from every kind of file and frame; what cannot be used is refused by line and column."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from ppl_vae import UserError, load
from ppl_vae.data.files.how import Reading
from ppl_vae.data.info import DataInfo
from ppl_vae.data.inputs import read_input
from ppl_vae.data.tables.reading import SUFFIXES, read_known_table
from ppl_vae.data.tables.schema import Schema, decoded


def people(num: int = 60) -> pd.DataFrame:
    """All kinds of columns, with holes, and some that are no data."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer": rng.permutation(num) + 100,
            "height": rng.normal(170, 9, num),
            "income": rng.lognormal(10, 1, num),
            "visits": rng.poisson(2.0, num).astype(float),
            "smoker": rng.random(num) < 0.3,
            "city": rng.choice(["Oslo", "Rome, Lazio", 'the "Hague"'], num),
            "joined": pd.date_range("2020-01-01", periods=num).strftime("%Y-%m-%d"),
            "country": "EU",
            "plan": rng.choice(["basic", "gold"], num),
        }
    )
    for name in ("height", "visits", "city"):
        frame.loc[rng.random(num) < 0.2, name] = None
    return frame


def saved(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


class Polars:
    """What of a polars frame is asked for: its columns, and the same in Arrow, with the types that it has there."""

    def __init__(self, frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        for place, field in enumerate(table.schema):
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
                table = table.set_column(place, field.name, table[place].cast(pa.string_view()))
        self.table = table

    @property
    def columns(self) -> list[str]:
        return list(self.table.column_names)

    def to_arrow(self) -> pa.Table:
        return self.table


def test_every_kind_of_file_and_frame_gives_the_same_bits(tmp_path: Path) -> None:
    frame = people()
    categorical = frame.assign(city=frame["city"].astype("category"), visits=frame["visits"].astype("Int64"))
    sources = [saved(frame, tmp_path / f"people{suffix}") for suffix in SUFFIXES]
    sources += [frame, categorical, Polars(frame), pa.Table.from_pandas(frame, preserve_index=False)]
    first, *others = [load(source, label_column="plan") for source in sources]
    assert first.kinds == ("reals", "reals", "counts", "bits", *["category"] * 3)
    assert first.class_names == ("basic", "gold")
    for other in others:
        told, as_told = (
            each._replace(train=None, validation=None, test=None, notes=(), settings=None) for each in (other, first)
        )
        assert told == as_told
        for name in ("train", "validation", "test"):
            one, two = first.get(name), other.get(name)
            assert one.kept.dtype == two.kept.dtype == torch.float32
            for tensor in ("x", "y", "mask"):
                assert torch.equal(one.tensors[tensor], two.tensors[tensor])


def test_numbers_are_as_they_are_and_a_category_is_one_of_its_block() -> None:
    frame = people()
    found = load(frame, test_fraction=0.0, validation_fraction=0.0)
    order = torch.randperm(len(frame), generator=torch.Generator().manual_seed(0)).numpy()
    frame, x = frame.iloc[order], found.train.x.numpy()
    mask = found.train.mask
    assert mask is not None
    assert found.columns == (
        *("height", "income", "visits", "smoker"),
        *("city=Oslo", "city=Rome, Lazio", 'city=the "Hague"', "plan=basic", "plan=gold"),
    )
    for place, name in enumerate(("height", "income", "visits", "smoker")):
        there = frame[name].notna().to_numpy()
        assert (mask[:, place].numpy() == there).all()
        assert (x[there, place] == frame[name][there].to_numpy(dtype=np.float32)).all()
    assert (x[:, 4:7].sum(1) == 1).all()
    assert (mask[:, 4:7].numpy() == frame["city"].notna().to_numpy()[:, None]).all()
    assert (x[:, 4] == 1)[frame["city"].notna()].tolist() == (frame["city"].dropna() == "Oslo").tolist()
    assert DataInfo.of(found).blocks == (1, 1, 1, 1, 3, 2)


def test_blocks_of_rows_are_the_table() -> None:
    table = pa.Table.from_pandas(people(), preserve_index=False)
    found = load(table, label_column="plan", test_fraction=0.0, validation_fraction=0.0)
    info = DataInfo.of(found)
    schema = Schema.of_names(info.columns, info.kinds, "plan", info.by_name)
    parts = [decoded("here", table.slice(start, 7), schema, str) for start in range(0, 60, 7)]
    blocks = [part[:3] for part in parts]
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    x, mask, y = (torch.from_numpy(np.concatenate(each))[order] for each in zip(*blocks, strict=True))
    assert found.train.mask is not None
    assert torch.equal(mask, found.train.mask)
    assert torch.equal(x[mask], found.train.x[mask])
    assert found.train.y is not None
    assert torch.equal(y, found.train.y)


GUESSES = {
    "real": ([1.5, 2.5, -3.0], "real -3 to 2.5"),
    "whole, far from 0": ([30, 41, 55, 60], "real 30 to 60"),
    "count": ([0, 3, 1, 0, 12], "count 0 to 12"),
    "count beyond what is counted": ([0, 30, 0, 12_000], "real 0 to 12000"),
    "bit": ([0, 1, 1], "bit 66.7% are 1"),
    "true and false as text": (["true", "False", "TRUE"], "bit 66.7% are 1"),
    "numbers as text, and holes": ([" 1.5", "+2e1", "NA", "", None, "nan"], "real 1.5 to 20, 66.7% empty"),
    "category": (["b", "a", "b", "a"], "category 2 values: a, b"),
    "category of numbers and words": (["10", "x", "y"] * 2, "category 3 values: 10, x, y"),
    "never changes": ([3, 3, 3], "left out always 3"),
    "never changes where it is there": (["a", "a", None], "left out always 'a'"),
    "numbers the rows": (list(range(7, 37)), "left out an identifier"),
    "each once": ([f"user {number}" for number in range(30)], "left out an identifier or free text: 30 texts"),
    "many texts": ([f"{number % 51}th" for number in range(200)], "left out 51 different texts, more than 50"),
    "dates": (["2020-01-31", "2020-02-01"], "left out dates or times; make numbers of them"),
    "dates of their own type": (pd.to_datetime(["2020-01-31", "2020-02-01"]), "left out dates or times"),
    "lists": ([[1], [2, 3]], "left out list<"),
}


@pytest.mark.parametrize("case", GUESSES)
def test_what_a_column_is_taken_for_is_guessed_and_said(case: str) -> None:
    values, words = GUESSES[case]
    frame = pd.DataFrame({"it": values, "beside": np.linspace(0, 1, len(values))})
    found = load(frame, test_fraction=0.0, validation_fraction=0.0)
    line = next(" ".join(note.split()) for note in found.notes if note.startswith("  it "))
    assert line.startswith(f"it {words}"), line


def test_an_identifier_is_told_by_its_name_where_its_numbers_have_gaps() -> None:
    values = np.random.default_rng(0).permutation(900)[:30] + 1000
    frame = pd.DataFrame({"user_id": values, "userId": values, "paid": values})
    notes = "\n".join(load(frame).notes)
    assert notes.count("an identifier") == 2
    assert "paid     real" in notes


def test_whole_numbers_that_may_be_names_or_codes_are_told() -> None:
    """In a table of many columns too, whose kinds stand in a line each."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "receipt": draw.permutation(400)[:200] + 5000,
            "record_no": draw.permutation(400)[:200] + 5000,
            "town": draw.choice([1067, 10115, 80331], 200),
            "score": draw.choice([1, 2, 3, 4, 5], 200),
            "pay": draw.permutation(90_000)[:200] + 5000,
        }
    )
    for more in (0, 30):
        wide = frame.assign(**{f"x{number}": draw.normal(size=200) for number in range(more)})
        notes = [" ".join(note.split()) for note in load(wide).notes]
        assert any(note.startswith("receipt real") and "rows, receipt=drop" in note for note in notes)
        assert "record_no left out an identifier: whole numbers, each of them once" in notes
        assert any(note.endswith("only 3 different numbers: if they are codes, town=category") for note in notes)
        assert not any("=drop" in note or "=category" in note for note in notes if "pay" in note or "score" in note)


def test_a_file_of_decimal_commas_is_the_file_of_points(tmp_path: Path) -> None:
    """One number tells it of all: 1,250 alone could be thousands."""
    (tmp_path / "points.csv").write_text("a,b,c,word\n1.250,-0.5,3,x\n2.125,7,4,y\n3.375,NA,5,x\n4.5e-3,1,6,y\n")
    (tmp_path / "commas.csv").write_text("a;b;c;word\n1,250;-0,5;3;x\n2,125;7;4;y\n3,375;NA;5;x\n4,5e-3;1;6;y\n")
    points, commas = (load(tmp_path / f"{name}.csv", validation_fraction=0.0) for name in ("points", "commas"))
    assert commas.fingerprint() == points.fingerprint()
    assert "decimal comma, as in 4,5e-3" in commas.notes[0]
    assert not any("comma" in note for note in points.notes)


def test_long_names_and_values_are_cut_where_they_are_told() -> None:
    long = "How much do you agree with " * 3
    frame = pd.DataFrame({long: [f"{long} {letter}" for letter in "ab"] * 5, "y": np.linspace(0, 1, 10)})
    found = load(frame)
    assert found.notes[1] == (
        "  How much do you agree with How much do …  category  2 values: How much do you agr…, How much do you agr…"
    )


def test_what_is_said_of_columns_holds() -> None:
    frame = people()
    found = load(frame, columns={"visits": "real", "customer": "category", "city": "drop", "plan": "drop"})
    assert found.columns[:2] == ("customer=100", "customer=101")
    assert set(found.kinds[60:]) == {"reals", "bits"}
    assert load(frame, columns="visits=real,customer=category,city=drop,plan=drop").fingerprint() == found.fingerprint()


def test_many_columns_are_told_by_their_kinds() -> None:
    x = np.random.default_rng(0).normal(size=(30, 40))
    frame = pd.DataFrame(x, columns=[f"m{number}" for number in range(40)]).assign(same=1, word=["a", "b"] * 15)
    assert load(frame).notes[1:] == (
        "  real: m0, m1, m2, m3, m4, m5, m6, m7, ... (40 in all)",
        "  category: word",
        "  same  left out  always 1",
    )


@pytest.mark.parametrize(
    ("values", "names", "labels"),
    [
        (["gold", "basic", "gold"], ("basic", "gold"), [1, 0, 1]),
        ([3, 5, 3], (), [3, 5, 3]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (["5", "3", "5"], (), [5, 3, 5]),
    ],
)
def test_labels_are_classes_with_names_or_their_numbers(
    tmp_path: Path, values: list[Any], names: tuple[str, ...], labels: list[int]
) -> None:
    frame = pd.DataFrame({"a": [0.5, 1.5, 2.5], "kind": values})
    for source in (frame, saved(frame, tmp_path / "it.csv")):
        found = load(source, label_column="kind", test_fraction=0.0, validation_fraction=0.0)
        assert found.columns == ("a",)
        assert found.class_names == names
        assert found.train.y is not None
        given = [found.classes[number] for number in found.train.y.tolist()]
        assert sorted(zip(found.train.x[:, 0].tolist(), given, strict=True)) == list(
            zip([0.5, 1.5, 2.5], labels, strict=True)
        )


# --- Refused ----------------------------------------------------------------------------------------------------------

HEAD = "age,city\n"
TEXTS: dict[str, tuple[str | bytes, list[str]]] = {
    "nothing": ("", ["the file is empty"]),
    "names alone": (HEAD, ["no row below it"]),
    "too few fields": (f"{HEAD}1,a\n2\n", ["line 3 has 1 fields, and the first line 2"]),
    "too many fields": (f"{HEAD}1,a\n\n2,b,c\n", ["line 4 has 3 fields", "quotes", "comma"]),
    "a field of several lines before": (f'{HEAD}1,"a\nb"\n2\n', ["line 4 has 1 fields"]),
    "one name twice": ("a,b,a\n1,2,3\n", ["two columns are called 'a'"]),
    "Latin-1": ("age,city\n1,Oslo\n2,Tromsø\n".encode("latin-1"), ["line 3 is not UTF-8", "0xf8 after '2,Troms'"]),
    "a workbook": (b"PK\x03\x04\xff\xfe", ["a zip or a workbook, not a CSV"]),
    "an empty column": ("age,city\n1,\n2,NA\n", ["column 'city' is empty in all 2 rows", "city=drop"]),
    "infinity": ("age\n1.5\n-inf\n", ["column 'age' holds -inf in line 3", "leave it empty"]),
    "beyond float32": ("age\n1.5\n-1e16\n", ["column 'age' holds -1e+16 in line 3, and float32 has no room", "scale"]),
    "text among numbers": (
        'age,city\n1,"a\nb"\n\n2,b\nold,a\n',
        ["column 'age' holds 'old' in line 6, and numbers elsewhere", "age=category"],
    ),
    "a decimal comma beside a point": ("age;city\n1,5;a\n2.25;b\n", ["'1,5' in line 2, a number with a decimal comma"]),
    "points of thousands": (
        "age;pay\n1,5;1.200\n2,25;900\n",
        ["column 'pay' holds '1.200', and elsewhere numbers have a decimal comma, as '1,5'"],
    ),
    "thousands": ('age\n"1,234,567"\n"2,000,000"\n', ["'1,234,567' in line 2, a number with a separator of thousands"]),
    "either": ('age\n"1,234"\n"2,000"\n', ["a number with a decimal comma, or a separator of thousands"]),
    "too close": ("age\n1000000000.1\n1000000000.2\n", ["differences that float32 does not hold"]),
    "nothing to learn from": ("city\na\na\n", ["no column is left to learn from (city: always 'a')"]),
    "an '=' in a category": ("a=b,c\nx,1\ny,2\nx,0\ny,1\n", ["has '=' in its name"]),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_is_refused_by_line_and_column(tmp_path: Path, case: str) -> None:
    content, parts = TEXTS[case]
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as found:
        load(path)
    for part in (str(path), *parts):
        assert part in str(found.value), found.value
    assert "\n" not in str(found.value)


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no such column": (
        {"columns": "hieght=real"},
        "`columns` names 'hieght', and there is no such column; did you mean",
    ),
    "no such label": (
        {"label_column": "plam"},
        "`label_column` names 'plam', and there is no such column; did you mean",
    ),
    "no such kind": ({"columns": "height=reel"}, "'height' is to be 'reel', and kinds are real, count, bit, category"),
    "no kind": ({"columns": "height"}, "'height' is no NAME=KIND"),
    "twice": ({"columns": "height=real,height=bit"}, "'height' is there twice"),
    "words as real": ({"columns": "city=real"}, "column 'city' holds 'Rome, Lazio' in row 1, which is no number"),
    "halves as counts": ({"columns": "height=count"}, "in row 1, and counts are whole numbers"),
    "counts as bits": ({"columns": "visits=bit"}, ", and bits are 0 and 1"),
    "dates as real": ({"columns": "joined=real"}, "column 'joined' holds '2020-01-01' in row 1, which is no number"),
    "holes in labels": ({"label_column": "city"}, "label column 'city' is empty in row "),
    "images": ({"image_size": 8}, "`image_size`: nothing in a frame reads it"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_what_does_not_hold_of_a_table_is_refused(case: str) -> None:
    settings, words = SETTINGS[case]
    frame = people()
    frame.loc[0, ["city", "height"]] = ["Rome, Lazio", 170.5]
    with pytest.raises(UserError) as found:
        load(frame, **settings)
    assert words in str(found.value)


def test_a_column_of_several_types_is_refused_by_row() -> None:
    with pytest.raises(UserError, match=r"column 'a' holds 'x' \(str\) in row 3, and '1' \(int\) before"):
        load(pd.DataFrame({"a": [1, 2, "x"]}))


def test_only_tables_have_columns() -> None:
    with pytest.raises(UserError, match="`columns`: nothing in digits reads it; it is for tables"):
        load("digits", columns="a=real")


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"not a readable \.parquet"):
        load(path)


def test_without_pyarrow_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(people(), tmp_path / "people.csv")
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"needs pyarrow; pip install 'ppl_vae\[tables\]'"):
        load(path)


# --- Like that of a run -----------------------------------------------------------------------------------------------


def test_a_table_like_that_of_a_run_is_taken_as_that_was(tmp_path: Path) -> None:
    info = DataInfo.of(load(people(), label_column="plan"))
    new = people().head(3).assign(extra=1)[["extra", "city", "visits", "income", "height", "smoker"]]
    new["visits"] = [1.0, None, 0.0]  # by themselves they would be bits, and there would be one city less
    new["city"] = "Oslo"
    found = read_known_table(saved(new, tmp_path / "new.csv"), info, Reading(label_column="plan"))
    assert found.columns == info.columns
    assert found.kinds == info.kinds
    assert found.y is None
    assert found.x[:, 2].tolist() == [1.0, 0.0, 0.0]
    assert found.mask is not None
    assert found.mask[:, 2].tolist() == [True, False, True]
    assert found.x[:, 4:].tolist() == [[1.0, 0.0, 0.0]] * 3
    assert found.notes == ("new.csv: left out, as the run does not know them: extra",)


def test_what_a_run_never_saw_is_refused(tmp_path: Path) -> None:
    info = DataInfo.of(load(people(), label_column="plan"))
    foreign = people().assign(city="Bergen")
    with pytest.raises(UserError, match="column 'city' holds 'Bergen' in line 2, which training never saw"):
        read_known_table(saved(foreign, tmp_path / "foreign.csv"), info, Reading(label_column="plan"))
    with pytest.raises(UserError, match="there is no column 'height', which the run learned from"):
        read_known_table(
            saved(people().drop(columns="height"), tmp_path / "less.csv"), info, Reading(label_column="plan")
        )
    with pytest.raises(UserError, match="the run's data was none"):
        read_known_table(tmp_path / "less.csv", DataInfo.of(load("digits")), Reading())


def test_of_an_npz_with_named_columns_too(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, columns=["height", "income"])
    info = DataInfo.of(load(tmp_path / "x.npz"))
    assert info.kinds == ("reals",)
    frame = pd.DataFrame({"income": x[:3, 1], "height": x[:3, 0]})
    found = read_known_table(saved(frame, tmp_path / "new.csv"), info, Reading())
    np.testing.assert_allclose(found.x.numpy(), x[:3], rtol=1e-6)


def test_a_parquet_is_read_whatever_its_row_groups(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(people(), preserve_index=False)
    parquet.write_table(table, tmp_path / "groups.parquet", row_group_size=7)
    assert load(tmp_path / "groups.parquet").fingerprint() == load(table).fingerprint()


def test_a_file_without_a_line_of_names_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("1.5,2\n2.5,30\n-1,7\n")
    found = load(path, test_fraction=0.0, validation_fraction=0.0)
    assert found.columns == ("column1", "column2")
    assert len(found.train) == 3
    assert "its first line holds numbers" in found.notes[0]


@pytest.mark.parametrize(("plans", "names"), [(["a", None, "b"], ("a", "b", "who")), ([1, None, 2], ("1", "2", "who"))])
def test_rows_without_a_label_may_be_a_class_of_their_own(tmp_path: Path, plans: list, names: tuple[str, ...]) -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 30), "plan": plans * 10})
    with pytest.raises(UserError, match=r"'plan' is empty in row 2; .* `unlabelled_as` unknown"):
        load(frame, label_column="plan")
    found = load(frame, label_column="plan", unlabelled_as="who", test_fraction=0.0, validation_fraction=0.0)
    assert found.class_names == names
    assert torch.equal(found.train.y.bincount(), torch.tensor([10, 10, 10]))
    frame.iloc[1:2].to_csv(tmp_path / "new.csv", index=False)
    new = read_input(tmp_path / "new.csv", DataInfo.of(found), Reading(label_column="plan", unlabelled_as="who"))
    assert new.y.tolist() == [2]
    frame.iloc[[2, 0]].to_csv(tmp_path / "known.csv", index=False)
    known = read_input(tmp_path / "known.csv", DataInfo.of(found), Reading(label_column="plan", unlabelled_as="who"))
    assert known.y.tolist() == [1, 0]
