"""Tables for papers: which file has what, and what is refused before the work is done."""

import csv
from pathlib import Path

import pytest
import torch

from ppl_vae import UserError
from ppl_vae.evaluation.comparison import ranking_of
from ppl_vae.reports.tables import check_table, write_table

VALUES = {name: torch.tensor([[1.0, 2.0, 4.0], [2.0, 2.0, 3.0]]) + add for name, add in (("a", 0.0), ("b", 9.0))}


def test_the_ending_says_which_kind(tmp_path: Path) -> None:
    ranking = ranking_of({**VALUES, "c": VALUES["a"] + torch.tensor([0.0, 1.0, 5.0])})
    for name in ("t.tex", "t.csv"):
        check_table(tmp_path / name)
        write_table(tmp_path / name, ranking)
    text = (tmp_path / "t.tex").read_text()
    assert text.startswith(
        "% Paired differences, ± standard error over trainings and datapoints together, of 3 comparisons"
    )
    assert text.count(r"\begin{tabular}") == 1
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["comparisons"] for row in rows] == ["3", "3", "3"]
    for row, each in zip(rows, ranking.differences, strict=True):
        assert (row["better"], row["worse"]) == (each.better, each.worse)
        assert float(row["difference"]) == each.mean
        assert float(row["difference_stderr"]) == each.stderr


@pytest.mark.parametrize(
    ("name", "said"), [("t.md", "ends in .tex or .csv"), ("there.tex", "exists"), ("no/t.csv", "no folder")]
)
def test_what_cannot_be_written_is_refused_first(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there.tex").write_text("mine")
    with pytest.raises(UserError, match=said):
        check_table(tmp_path / name)
    check_table(None)
