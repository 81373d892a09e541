"""Conditions of data: read from files, known by name, said in words; what cannot be one is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

import ppl_vae as pv
from ppl_vae import UserError
from ppl_vae.data.conditions import Condition, chosen, known_conditions, said_as
from ppl_vae.data.info import DataInfo
from ppl_vae.data.inputs import read_input
from ppl_vae.runtime.config import from_plain, to_plain
from ppl_vae.training import FitConfig, fit

KNOWN = (
    Condition("age", 50.0, 10.0, 20.0, 80.0),
    Condition("dose", 1.5, 1.0, 0.0, 3.0),
    Condition("city=Bonn", 0.25, 0.4, 0.0, 1.0),
    Condition("city=Rome", 0.75, 0.4, 0.0, 1.0),
)


def saved(path: Path, num: int = 60, **changes: object) -> Path:
    """Rows whose first number is their own, and whose first condition is ten times that."""
    row = np.arange(num, dtype=np.float32)
    x = np.stack([row, np.sin(row), np.cos(row)], axis=1)
    arrays = {
        "x": x,
        "c": np.stack([10 * row, row % 3], axis=1),
        "condition_names": np.array(["age", "dose"]),
    } | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_they_go_with_their_rows(tmp_path: Path) -> None:
    splits = pv.load(saved(tmp_path / "data.npz"))
    for part in (splits.train, splits.validation, splits.test):
        assert part is not None
        assert part.c is not None
        torch.testing.assert_close(part.c[:, 0], 10 * part.x[:, 0])
        batch = part.take(torch.tensor([2, 0])).head(1).batch(torch.tensor([0]))
        assert float(batch.c[0, 0]) == 10 * float(batch.x[0, 0])  # type: ignore[index]
    info = DataInfo.of(splits)
    assert [each.name for each in info.conditions] == ["age", "dose"]
    assert info.conditions[0].mean == pytest.approx(float(splits.train.c[:, 0].mean()))  # type: ignore[index]
    assert info.conditions[0].spread == pytest.approx(float(splits.train.c[:, 0].std(correction=0)))  # type: ignore[index]
    assert from_plain(DataInfo, to_plain(info)) == info


def test_they_are_of_the_data(tmp_path: Path) -> None:
    """Another condition is other data; without any the fingerprint is what it was."""
    there, changed = (pv.load(saved(tmp_path / f"{name}.npz")) for name in ("a", "b"))
    assert there.fingerprint() == changed.fingerprint()
    other = np.stack([np.arange(60.0), np.arange(60.0)], axis=1)
    assert pv.load(saved(tmp_path / "c.npz", c=other)).fingerprint() != there.fingerprint()


def test_they_stay_in_memory_where_x_does_not(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.random((3000, 200), dtype=np.float32)
    path = saved(tmp_path / "large.npz", x=x, c=x[:, :2].astype(np.float64))
    splits = pv.load(path, data_memory=1)
    assert type(splits.train).__name__ == "Streamed"
    batch = splits.train.batch(torch.tensor([7, 2000, 3]))
    torch.testing.assert_close(batch.c, batch.x[:, :2])
    config = FitConfig(epochs=1, batch_size=100, device="cpu", engine="eager")
    model = pv.build_model("conditional", splits, latent_dim=2, hidden=(4,), likelihood="normal")
    seen: list[bool] = []
    model.register_forward_pre_hook(lambda _, given: seen.append(torch.equal(given[0].c, given[0].x[:, :2])))
    fit(model, pv.build_guide("amortized", model, splits), splits.train, settings=config)
    assert len(seen) > 20
    assert all(seen[-20:])  # the first are trials of no particular rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"c": np.where(np.arange(120).reshape(60, 2) == 9, np.nan, 1.0)}, "condition 'dose' is missing .* in row 4;"),
        ({"c": np.ones(60)}, r"c is float64, shape \(60,\); it must be numbers \(60, C\)"),
        ({"c": np.ones((59, 2))}, r"it must be numbers \(60, C\)"),
        ({"c": np.full((60, 2), "red")}, "of a category a column of 0 and 1"),
        ({"condition_names": np.array(["age"])}, "1 conditions are named, and c has 2; name each"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, changes: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(UserError, match=said):
        pv.load(saved(tmp_path / "data.npz", **changes))


def test_chosen_ones_and_the_rest_at_its_mean() -> None:
    found = chosen(KNOWN, said_as(["age=40", "city=Rome"]))
    assert found.c.tolist() == [40.0, 1.5, 0.0, 1.0]
    assert (found.given, found.rest, found.warnings) == ("age = 40, city = Rome", "dose = 1.5, the training mean", ())
    assert chosen(KNOWN, {}).rest == "age = 50, dose = 1.5, city=Bonn = 0.25 and city=Rome = 0.75, the training mean"
    far = chosen(KNOWN, {"age": 81})
    assert far.warnings == ("age = 81 is outside of what training saw, 20 to 80: what is drawn for it is a guess.",)
    assert chosen(KNOWN, {"age": 80.00001}).warnings == ()  # float32's rounding


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["agee=40"], "there is no condition 'agee'; this run's are age, dose, city; did you mean 'age'?"),
        (["age=old"], "'age' is 'old', which is no number; write age=40."),
        (["age=nan"], "'age' is 'nan', which is no number"),
        (["city=Paris"], "'city' is 'Paris', and training saw Bonn, Rome; name one of them."),
        (["age"], "'age' is no NAME=VALUE; write age=40 dose=1."),
        (["age=1", "age=2"], "'age' is there twice; say it once."),
    ],
)
def test_what_nobody_can_choose(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(KNOWN, said_as(words))
    assert str(caught.value).startswith(f"`at`: {said}")


def test_new_data_has_them_in_any_order() -> None:
    c = torch.tensor([[1.0, 40.0]])
    found = known_conditions("new", c, ("dose", "age"), KNOWN[:2])
    assert found is not None
    assert found.tolist() == [[40.0, 1.0]]
    assert known_conditions("new", c, ("dose", "age"), ()) is None
    with pytest.raises(UserError, match="new: there is no condition 'age'; the run was trained on age, dose"):
        known_conditions("new", c, ("dose", "size"), KNOWN[:2])


PEOPLE = "id,age,city,weight,height,plan\n" + "\n".join(
    f"{row},{20 + row % 50},{('Bonn', 'Rome', 'Oslo')[row % 3]},{60.5 + row % 7},{1.5 + row % 9 / 20},{'ab'[row % 2]}"
    for row in range(80)
)


def people(path: Path, text: str = PEOPLE) -> Path:
    path.write_text(text)
    return path


def test_columns_of_a_table_are_conditions(tmp_path: Path) -> None:
    """They leave x; a category is one for each of its values, and one column the label."""
    flags = {"condition_columns": "age, city", "label_column": "plan", "columns": {"id": "drop"}}
    splits = pv.load(people(tmp_path / "people.csv"), **flags)
    assert splits.columns == ("weight", "height")
    assert splits.condition_names == ("age", "city=Bonn", "city=Oslo", "city=Rome")
    assert splits.train.c is not None
    assert splits.train.c[:, 1:].sum(1).eq(1).all()
    assert any("a condition" in note and note.split()[0] == "city" for note in splits.notes)
    info = DataInfo.of(splits)
    found = read_input(people(tmp_path / "new.csv", "city,weight,height,age\nRome,61.5,1.6,33\n"), info)
    assert found.condition_names == splits.condition_names
    assert found.c is not None
    assert found.c.tolist() == [[33.0, 0.0, 0.0, 1.0]]
    assert read_input(people(tmp_path / "bare.csv", "weight,height\n61.5,1.6\n"), info).c is None
    with pytest.raises(UserError, match=r"column 'city' holds 'Paris' in line 2, which training never saw"):
        read_input(people(tmp_path / "new.csv", "city,weight,height,age\nParis,61.5,1.6,33\n"), info)


@pytest.mark.parametrize(
    ("flags", "text", "said"),
    [
        ({"condition_columns": "agee"}, PEOPLE, "names 'agee', and there is no such column; did you mean 'age'"),
        ({"condition_columns": "plan", "label_column": "plan"}, PEOPLE, "names 'plan', which is the label column"),
        ({"condition_columns": "age", "columns": {"age": "drop"}}, PEOPLE, "which is to be left out by `columns`"),
        ({"condition_columns": "age"}, PEOPLE.replace("\n3,23,", "\n3,,"), "'age' is empty in line 5; a condition has"),
        ({"condition_columns": "city"}, PEOPLE.replace("4,24,Rome", "4,24,"), "'city' is empty in line 6; a condition"),
    ],
)
def test_columns_that_are_no_conditions(tmp_path: Path, flags: dict[str, object], text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        pv.load(people(tmp_path / "people.csv", text), **flags)


def test_an_npz_has_no_columns_of_conditions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`condition_columns`: nothing in .* reads it; it is for tables; an .npz has"):
        pv.load(saved(tmp_path / "data.npz"), condition_columns="age")
