"""Results show themselves as text, HTML and a data frame, numbers with their errors."""

import builtins
import math
from typing import Any

import pytest

from ppl_vae import UserError
from ppl_vae.runtime.shown import Row, Shown, as_csv, as_html, as_latex, with_error


class Found(Shown):
    def rows(self) -> list[Row]:
        return [{"name": "<b>", "nats": -1.23456789, "n": 3}, {"name": "b", "nats": None, "n": 4}]

    def __str__(self) -> str:
        return "two rows"


def test_it_shows_itself() -> None:
    html = Found()._repr_html_()
    assert "<td>&lt;b&gt;</td><td>-1.23457</td><td>3</td>" in html
    assert "<td>b</td><td>–</td><td>4</td>" in html
    assert html.startswith("<table><thead><tr><th>name</th><th>nats</th><th>n</th></tr>")
    assert str(Found()) == "two rows"
    assert as_html([]) == "<table></table>"


def test_a_frame_has_the_rows_or_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = Found().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["nats"].tolist()[0] == -1.23456789
    real = builtins.__import__

    def none_of_it(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "pandas":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", none_of_it)
    with pytest.raises(UserError, match=r"^a data frame needs pandas; install it: pip install pandas$"):
        Found().to_frame()


@pytest.mark.parametrize(
    ("stderr", "text"),
    [
        (0.00213, "-24.1234 ± 0.0021"),
        (0.0996, "-24.12 ± 0.10"),
        (0.12, "-24.12 ± 0.12"),
        (3.4, "-24.1 ± 3.4"),
        (120.0, "-24 ± 120"),
        (0.0, "-24.12"),
        (float("nan"), "-24.12"),
        (float("inf"), "-24.12 ± inf"),
        (6.5e-16, "-24.1234500 ± 6.5e-16"),
    ],
)
def test_errors_have_two_digits(stderr: float, text: str) -> None:
    assert with_error(-24.12345, stderr, 2) == text


# --- For a paper ------------------------------------------------------------------------------------------------------


class Measured(Shown):
    def rows(self) -> list[Row]:
        return [
            {"guide": "a_b & 50 %", "log_px": -24.1234, "log_px_stderr": 0.12, "n": 3, "margin": None},
            {"guide": "c − d", "log_px": 1.0, "log_px_stderr": math.nan, "n": 12, "margin": 0.5},
        ]

    def footnotes(self) -> list[str]:
        return ["nats, ± standard error", "on\ntest"]

    def __str__(self) -> str:
        return ""


def test_latex_has_errors_with_their_means_and_no_command_from_a_name() -> None:
    assert Measured().to_latex().splitlines() == [
        "% nats, ± standard error",
        "% on",
        "% test",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"guide & $\log p(x)$ & n & margin \\",
        r"\midrule",
        r"a b \& 50 \% & $-24.12 \pm 0.12$ & $3$ & {--} \\",
        r"c $-$ d & $1$ & $12$ & $0.5$ \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_what_is_infinite_very_large_or_very_small_is_a_formula_too() -> None:
    rows: list[Row] = [
        {"a": -math.inf, "b": 1234567.5, "c": 1.0, "c_stderr": 2e-9},
        {"a": 2, "b": 3e-9, "c": 1.0, "c_stderr": 0.5},
    ]
    assert as_latex(rows).splitlines()[4:6] == [
        r"$-\infty$ & $1.23457 \cdot 10^{6}$ & $1.0000000 \pm 2.0 \cdot 10^{-9}$ \\",
        r"$2$ & $3 \cdot 10^{-9}$ & $1.00 \pm 0.50$ \\",
    ]


def test_csv_has_every_number_and_nothing_where_there_is_none() -> None:
    lines = as_csv(Measured().rows()).splitlines()
    assert lines[0] == "guide,log_px,log_px_stderr,n,margin"
    assert lines[1:] == ["a_b & 50 %,-24.1234,0.12,3,", "c − d,1.0,,12,0.5"]


def test_of_many_rows_a_notebook_shows_the_ends() -> None:
    """And of a few all."""
    rows = [{"row": number, "value": number / 2} for number in range(1000)]
    html = as_html(rows)
    assert html.count("<tr>") == 22
    assert "<td>9</td>" in html
    assert "<td>10</td>" not in html
    assert "<td>990</td>" in html
    assert "1,000 rows" in html
    assert as_html(rows[:20]).count("<tr>") == 21
    assert "rows" not in as_html(rows[:20])
