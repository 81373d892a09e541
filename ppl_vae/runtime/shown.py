"""Results that show themselves: as text, as a table in a notebook, as a data frame; and numbers with their errors.

Numbers have one rule for pictures, tables, reports and the terminal.
"""

import csv
import io
import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame
    from torch import Tensor

Cell = float | int | str | None
Row = Mapping[str, Cell]
Columns = Mapping[str, "NDArray[Any]"]
"""Columns of a table by name, ``(rows,)`` each."""

_NOTHING = "{--}"
_FORMULAS = {
    "elbo": "ELBO",
    "kl": "KL",
    "log_px": r"$\log p(x)$",
    "log_px_upper": r"$\log p(x)$, upper",
}
_ESCAPED = {
    **{letter: f"\\{letter}" for letter in "&%$#{}"},
    **{"_": " ", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"−": "$-$", "–": "{--}", "±": r"$\pm$", "≥": r"$\geq$", "<": r"$<$", ">": r"$>$"},
}
_ROUNDING, _MOST_DECIMALS = 1e-6, 7
_LISTED = 8  # names in a sentence
_MOST_ROWS, _MOST_COLUMNS = 20, 16  # of a table in a notebook


class Shown(Protocol):
    """A result of rows: ``print`` shows its text, a notebook its table, ``to_frame`` gives it to pandas, ``to_latex``
    to a paper."""

    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """Its numbers, a mapping from column to value for each row; every row has the same columns."""

    @abstractmethod
    def __str__(self) -> str:
        """What a command prints of it."""

    def to_frame(self) -> "DataFrame":
        """The rows as a pandas data frame.

        Raises:
            UserError: pandas is not installed.
        """
        return _as_frame(list(self.rows()))

    def tables(self) -> Mapping[str, Sequence[Row]]:
        """Its rows as a paper has them, by the name of the table; of most results one, with the empty name."""
        return {"": self.rows()}

    def footnotes(self) -> Sequence[str]:
        """What has to be said of the numbers, a line each: units, errors, protocol."""
        return ()

    def to_latex(self) -> str:
        """Its :meth:`tables` as LaTeX: a ``tabular`` each, with booktabs' rules, means ± standard errors in one column,
        the :meth:`footnotes` as comments above."""
        notes = "".join(f"% {line}\n" for note in self.footnotes() for line in note.splitlines())
        return notes + "\n".join(as_latex(rows) for rows in self.tables().values())

    def _repr_html_(self) -> str:
        return as_html(self.rows())


class Columned(Shown, Protocol):
    """A :class:`Shown` whose numbers are arrays: a table of many rows or columns."""

    @abstractmethod
    def columns(self) -> Columns:
        """Its numbers by the name of the column, all of one length."""

    def rows(self) -> Sequence[Row]:
        """A mapping from column to value for each row."""
        return in_rows(self.columns())

    def to_frame(self) -> "DataFrame":
        """The columns as a pandas data frame.

        Raises:
            UserError: pandas is not installed.
        """
        return _as_frame(dict(self.columns()))

    def __str__(self) -> str:
        """How many rows, of which columns."""
        columns = self.columns()
        return f"{len(next(iter(columns.values()))):,} rows of {listed(list(columns))}"


class Names(NamedTuple):
    """What the numbers of a data set are called in a table.

    Args:
        columns: of x, where x is a table whose columns have names.
        labels: what the labels 0, 1, 2, ... are called: names, or the integers that the data has for them.
    """

    columns: tuple[str, ...] = ()
    labels: tuple[str | int, ...] = ()

    def of_x(self, event_shape: tuple[int, ...]) -> list[str]:
        """A name for each number of an observation: that of its column, or "x1", "x2", …, "x1,3" of a pixel."""
        return list(self.columns) if self.columns else unit_names("x", event_shape)

    def of_labels(self, y: "Tensor | None") -> dict[str, "NDArray[Any]"]:
        """The column ``label``, ``(N,)``, of labels by number; none where there are no labels."""
        if y is None:
            return {}
        numbers = y.cpu().numpy()
        return {"label": np.array(self.labels)[numbers] if self.labels else numbers}


def unit_names(site: str, shape: tuple[int, ...]) -> list[str]:
    """A name for each number of an array: "rate" of a scalar, "z1", "z2", …, "w1,3"; "z2_1" of a site "z2"."""
    if not shape:
        return [site]
    between = "_" if site[-1].isdigit() else ""
    return [site + between + ",".join(str(axis + 1) for axis in place) for place in np.ndindex(shape)]


def spread_out(names: Sequence[str], values: "Tensor | NDArray[Any]", ending: str = "") -> dict[str, "NDArray[Any]"]:
    """An array of rows, ``(rows, *shape)``, as columns.

    Args:
        names: of the numbers of a row, in C's order.
        values: the array.
        ending: of the names of the columns.
    """
    array = values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
    return {f"{name}{ending}": column for name, column in zip(names, array.reshape(len(array), -1).T, strict=True)}


def in_rows(columns: Columns) -> list[Row]:
    """Columns as rows."""
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def _as_frame(table: object) -> "DataFrame":
    try:
        from pandas import DataFrame
    except ImportError:
        raise UserError("a data frame needs pandas; install it: pip install pandas") from None
    return DataFrame(table)


def as_html(rows: Sequence[Row]) -> str:
    """Rows as an HTML table, numbers to six digits; what is text is escaped. Of many rows the first and the last ones,
    and how many there are; of many columns likewise."""
    if not rows:
        return "<table></table>"
    size = f"{len(rows):,} rows"
    if wide := len(rows[0]) > _MOST_COLUMNS:
        size += f", {len(rows[0]):,} columns"
        few = [*rows[0]][: _MOST_COLUMNS // 2], [*rows[0]][-_MOST_COLUMNS // 2 :]
        rows = [{name: row.get(name, "…") for name in (*few[0], "…", *few[1])} for row in rows]
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    many = len(rows) > _MOST_ROWS
    lines = ["".join(f"<td>{_cell(value)}</td>" for value in row.values()) for row in rows]
    if many:
        lines = [*lines[: _MOST_ROWS // 2], f'<td colspan="{len(rows[0])}">…</td>', *lines[-_MOST_ROWS // 2 :]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div>{table}<p>{size}</p></div>" if many or wide else table


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


def as_csv(rows: Sequence[Row]) -> str:
    """Rows as CSV with a header; an empty cell for what is not known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows([None if value != value else value for value in row.values()] for row in rows)
    return text.getvalue()


def as_latex(rows: Sequence[Row]) -> str:
    """Rows as a ``tabular`` with booktabs' rules; a number beside its ``stderr`` becomes mean ± error."""
    lines = [_merged(row) for row in rows]
    if not lines:
        return ""
    numbers = [all(line[name].startswith(("$", _NOTHING)) for line in lines) for name in lines[0]]
    body = [" & ".join(cells) + r" \\" for cells in ([_in_latex(name) for name in lines[0]], *map(dict.values, lines))]
    begin = rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numbers)}}}"
    return "\n".join([begin, r"\toprule", body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""])


def _merged(row: Row) -> dict[str, str]:
    """Cells in LaTeX, errors with their numbers."""
    errors = {name: f"{name}_stderr" for name in row if f"{name}_stderr" in row}
    if "mean" in row and "stderr" in row:
        errors["mean"] = "stderr"
    cells = {}
    for name, value in row.items():
        if name in errors.values():
            continue
        error = row[errors[name]] if name in errors else None
        if value is None or value != value:
            cells[name] = _NOTHING
        elif isinstance(value, bool | str):
            cells[name] = _in_latex(str(value))
        else:
            known = error if isinstance(error, float) and math.isfinite(error) and error > 0 else None
            plain = f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"
            text = plain if known is None else with_error(value, known)
            cells[name] = f"${_formula(text)}$"
    return cells


def _formula(number: str) -> str:
    """A number as it is printed, in LaTeX's mathematics."""
    text = number.replace("±", r"\pm").replace("inf", r"\infty")
    return re.sub(r"e([+-]\d+)", lambda power: rf" \cdot 10^{{{int(power[1])}}}", text)


def _in_latex(text: str) -> str:
    """Text with what LaTeX reads as commands written out; our short names as formulas."""
    if text in _FORMULAS:
        return _FORMULAS[text]
    return "".join(_ESCAPED.get(letter, letter) for letter in text)


def in_columns(lines: Iterable[Sequence[str]]) -> list[str]:
    """Cells of a table, the head first, as lines of text in columns, each as wide as its widest cell."""
    table = list(lines)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, of many the first ones and how many there are."""
    return ", ".join(names) if len(names) <= _LISTED else f"{', '.join(names[:_LISTED])}, ... ({len(names):,} in all)"


def with_error(mean: float, stderr: float, digits: int = 2, width: int = 0) -> str:
    """A number ± its standard error, with two significant digits of the error, so that it is never 0.00.

    Args:
        mean: the number.
        stderr: its error; NaN or 0 where there is none.
        digits: decimals of a number without an error.
        width: of the number alone, so that the ± of several lines stand below each other.
    """
    if not stderr > 0:
        return f"{mean:{width}.{digits}f}"
    decimals = _decimals(stderr) if math.isfinite(stderr) else digits
    return f"{mean:{width}.{decimals}f} ± {error_alone(stderr)}"


def error_alone(stderr: float) -> str:
    """An error above 0 with two significant digits; what only rounding makes, as a power of ten."""
    if stderr < _ROUNDING:
        return f"{stderr:.1e}"
    return f"{stderr:.{_decimals(stderr)}f}" if math.isfinite(stderr) else f"{stderr}"


def _decimals(stderr: float) -> int:
    exponent = int(f"{stderr:.1e}".partition("e")[2])  # of the rounded error: 0.0996 is 0.10
    return min(_MOST_DECIMALS, max(0, 1 - exponent))
