"""Results that show themselves: as text, as a table in a notebook, as a data frame; and numbers with their errors.

Numbers have one rule for pictures, tables, reports and the terminal.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Protocol

from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

Cell = float | int | str | None
Row = Mapping[str, Cell]

_ROUNDING, _MOST_DECIMALS = 1e-6, 7
_LISTED = 8  # names in a sentence


class Shown(Protocol):
    """A result of rows: ``print`` shows its text, a notebook its table, ``to_frame`` gives it to pandas."""

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
        try:
            from pandas import DataFrame
        except ImportError:
            raise UserError("a data frame needs pandas; install it: pip install pandas") from None
        return DataFrame(list(self.rows()))

    def _repr_html_(self) -> str:
        return as_html(self.rows())


def as_html(rows: Sequence[Row]) -> str:
    """Rows as an HTML table, numbers to six digits; what is text is escaped."""
    if not rows:
        return "<table></table>"
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


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
