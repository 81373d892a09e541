"""A comparison in Python: the runs of ``compare``, as a result that prints, draws and tabulates itself."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ppl_vae as pv
from ppl_vae import UserError
from ppl_vae.guides import Amortized, PerDatapoint
from ppl_vae.reports.comparing import compare
from ppl_vae.reports.comparison_table import as_terminal
from ppl_vae.runs.terms import names_of

FEW: dict[str, Any] = {
    "seeds": 1,
    "epochs": 1,
    "hidden": (4,),
    "latent_dim": 2,
    "limit": 10,
    "num_samples": 10,
    "device": "cpu",
}


class OfThisFile:
    """A guide's class that has a file."""


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_comparison_needs_names_and_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "grey.npz", x=np.random.default_rng(0).beta(0.1, 0.1, (60, 2, 2)))
    found = compare(tmp_path / "grey.npz", ["amortized", "amortized:point"], workers=1, **FEW)
    assert capsys.readouterr().out == ""
    assert str(found) == as_terminal(found.table)
    rows = found.rows()
    assert [row["guide"] for row in rows] == ["amortized", "amortized:point"]
    assert [row["best_rank"] for row in rows] == [1, None]
    assert rows[0]["log_px"] == found.table.rows[0].figures["log_px"][0]  # type: ignore[index]
    assert rows[0]["log_px_margin"] is None  # of one seed
    assert isinstance(rows[0]["log_px"], float)
    assert math.isfinite(rows[0]["log_px"])
    assert rows[1]["elbo"] is None
    shown = found._repr_html_()
    assert shown.count("<tr>") == 3
    assert all(words in shown for words in ("log p(x)", "One seed", *found.warnings))
    assert {axes.get_label() for axes in found.figure().axes} == {"bounds", "seconds"}
    point, hasty = (
        "The guide puts z at one point, which has no density",
        "2 of 2 trainings were short, or their bounds still rose when they ended",
    )
    assert [words.split(":")[0] for words in found.warnings] == [point, "One seed", hasty]
    assert found.files == {}
    assert found.terms.settings.data.binarization == "static"


def test_guides_are_named_by_class_too() -> None:
    names = names_of(["amortized:iaf", Amortized, PerDatapoint, OfThisFile])
    assert names == ("amortized:iaf", "amortized", "per-datapoint", f"{Path(__file__)}:OfThisFile")
    nowhere = type("Nowhere", (), {"__module__": "a_notebook"})
    with pytest.raises(UserError, match=r"^guide Nowhere is in no file"):
        names_of([nowhere])


def test_what_cannot_be_compared_is_refused() -> None:
    for settings, words in (
        ({"epoch": 1}, "unknown setting 'epoch' (known: "),
        ({"refinement_step": 1}, "unknown setting 'refinement_step' (known: "),
        ({"refinement_steps": 1}, "`refinement_steps`: nothing in this pair reads it; what does: `guide` semi"),
        ({"guide": "mean-field"}, "`guide` and `family` are not used here; name what to compare by `guides`."),
        ({"seeds": 2, "seed": 2**63 - 1}, "`seed`, `infer_seed`: 2 seeds counted up from there leave 64 bits."),
    ):
        with pytest.raises(UserError) as refused:
            compare("digits", ["amortized"], **settings)  # type: ignore[arg-type]
        assert str(refused.value).startswith(words)
    with pytest.raises(UserError, match=r"^`guides`: name each guide once"):
        compare("digits", ["amortized", "amortized:diagonal"])


def test_data_comes_first_and_is_data() -> None:
    with pytest.raises(UserError, match=r"^`data` is a list of names; the data comes first: compare\(data, guides="):
        pv.compare(["amortized", "mean-field"], "digits")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^load takes the name or path of a data set, or arrays; not a int\."):
        pv.compare(3, ["amortized"])
    with pytest.raises(UserError, match=r"^`binarization`: this data is loaded already; say it to ppl_vae\.load\."):
        pv.compare(pv.load("digits"), ["amortized"], binarization="static")


@pytest.mark.parametrize("value", [nn.ReLU, nn.ReLU(), torch.zeros(2), [None, print]])
def test_what_can_be_no_setting_is_refused(value: Any) -> None:
    with pytest.raises(pv.UserError, match=r"^`latent_dim`: a setting is a number, a word"):
        pv.compare("digits", ["amortized"], latent_dim=value)


def test_a_setting_can_be_a_number_of_numpys_or_torchs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ppl_vae.reports.comparing.run_comparison", lambda terms, *_, **__: terms)
    terms: Any = compare(guides=["amortized"], out=tmp_path, latent_dim=np.int64(2), hidden=[torch.tensor(3)])
    assert terms.settings.pair.settings == {"latent_dim": 2, "hidden": [3]}


@pytest.mark.parametrize("guides", ["amortized", Amortized, [("amortized", "full-rank")], [None], [nn.Linear(1, 1)]])
def test_what_names_no_guide_is_refused(guides: Any) -> None:
    with pytest.raises(pv.UserError, match=r"^`guides`.*(put it into a list|a guide is its name)"):
        pv.compare("digits", guides)


@pytest.mark.parametrize("kind", ["model", "family", "prior", "likelihood"])
def test_parts_of_a_comparison_are_named(kind: str) -> None:
    for part, what in ((nn.Linear, "Linear"), (nn.Linear(1, 1), "a Linear")):
        with pytest.raises(pv.UserError, match=f"^`{kind}` is {what}, .*; give its name, or path"):
            pv.compare("digits", ["amortized"], **{kind: part})
