"""Data in memory, written so that what reads the file has the same, split alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ppl_vae as pv
from ppl_vae.data import Splits
from ppl_vae.runs.kept_data import keep, written

RANDOM = np.random.default_rng(0)
GREY = RANDOM.beta(0.1, 0.1, (40, 4, 4)).astype(np.float32)


def table() -> Any:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"size": RANDOM.normal(size=60), "count": RANDOM.poisson(4, 60) * 3, "age": np.arange(60) % 7 / 2}
    )
    frame["colour"], frame["kind"] = ["red", "green", "blue"] * 20, ["cat", "dog", "dog"] * 20
    frame.loc[3, "size"] = np.nan
    return pv.load(frame, label_column="kind", condition_columns="age", data_seed=5, test_fraction=0.3)


def same(one: Splits, other: Splits) -> None:
    for name in ("train", "validation", "test"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.tensors.keys() == theirs.tensors.keys()
        for key, tensor in mine.tensors.items():
            assert torch.equal(tensor, theirs.tensors[key]), (name, key)
        assert (mine.first, mine.dynamic, mine.names) == (theirs.first, theirs.dynamic, theirs.names)
    for name in ("classes", "class_names", "columns", "kinds", "condition_names"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(
    "make",
    [
        lambda: pv.load(GREY, np.arange(40) % 3 * 7, binarization="static", data_seed=3),
        lambda: pv.load(GREY, binarization="dynamic", validation_fraction=0.25),
        lambda: pv.load(GREY, binarization="none", test_fraction=0.33),
        lambda: pv.load(RANDOM.integers(0, 256, (30, 8, 8)).astype(np.uint8), binarization="none"),
        lambda: pv.load(RANDOM.poisson(3, (30, 5)), integer_scale=0),
        lambda: pv.load(RANDOM.normal(size=(30, 8, 8, 3)), np.array(["cat", "dog"] * 15)),
        table,
    ],
    ids=["static", "dynamic", "grey", "8 bits", "counts", "names", "table"],
)
def test_splits_are_read_as_they_were(make: Any, tmp_path: Path) -> None:
    splits = make()
    assert splits.settings is None
    same(splits, pv.load(written(splits, tmp_path / "data.npz", {})))


def test_arrays_are_loaded_by_the_settings_and_data_sets_are_split(tmp_path: Path) -> None:
    settings = {"test_fraction": 0.5, "binarization": "threshold"}
    same(pv.load(GREY, **settings), pv.load(written(GREY, tmp_path / "a.npz", settings)))
    data = pv.Dataset(torch.from_numpy(GREY), torch.arange(40) % 2)
    found = pv.load(written(data, tmp_path / "b.npz", {}))
    same(pv.load(GREY, np.arange(40) % 2, binarization="none"), found)


def test_what_has_a_name_is_not_written(tmp_path: Path) -> None:
    settings = written(pv.load("digits", binarization="static"), tmp_path / "data.npz", {})
    assert (settings.data, settings.binarization) == ("digits", "static")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_keeps_the_data_that_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    written(GREY, tmp_path / "data.npz", {})
    place = keep(tmp_path / "data.npz", folder)
    assert keep(tmp_path / "data.npz", folder) == place == (folder / "data.npz").absolute()
    written(GREY[::-1].copy(), tmp_path / "other.npz", {})
    with pytest.raises(pv.UserError, match="holds a comparison on other data; choose another `out`"):
        keep(tmp_path / "other.npz", folder)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_guides_are_compared_on_data_in_memory_in_a_folder_that_is_kept(tmp_path: Path) -> None:
    few: dict[str, Any] = {"seeds": 1, "epochs": 1, "hidden": (4,), "latent_dim": 2, "num_samples": 10, "workers": 1}
    out = tmp_path / "out"
    first = pv.compare((GREY, np.arange(40) % 3), ["amortized"], out=out, device="cpu", warn=list, **few)
    again = pv.compare((GREY, np.arange(40) % 3), ["amortized"], out=out, device="cpu", warn=list, **few)
    assert first.rows() == again.rows()
    run = pv.open(out / "amortized-seed0", "cpu")
    assert run.settings.data.data == str(out / "data.npz")
    assert len(run.data.train) == 29
