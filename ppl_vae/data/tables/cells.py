"""A column of a table as it comes, from whatever file or frame: as numbers and words, and which of it is there.

The same values are the same here however they were stored: text that writes a number is that number; an empty field,
one of the usual words for it (NA, NaN, null) and NaN are nothing; true and false are 1 and 0.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

NameOf = Callable[[int], str]
"""What a row of a block, from 0, is called in messages: ``line 17`` of a text, ``row 16`` of all else."""

NOTHING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "<NA>")
"""Words for a value that is not there."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?([iI]nf|INF)(inity)?$"
DATES = "dates or times"


class Cells(NamedTuple):
    """A column of a block of rows.

    Args:
        seen: which rows have something there, bool, ``(N,)``.
        numbers: what they have, float64, ``(N,)``; NaN where it is nothing or no number.
        words: the same as it was written, strings; None where all of it are numbers.
        truth: whether it is true and false.
        other: what it holds that is neither number nor word, such as dates; empty of numbers and words.
    """

    seen: np.ndarray
    numbers: np.ndarray
    words: "pa.Array | None" = None
    truth: bool = False
    other: str = ""

    @property
    def no_numbers(self) -> np.ndarray:
        """Which rows have something that is no number, bool, ``(N,)``."""
        found: np.ndarray = self.seen & np.isnan(self.numbers)
        return found

    def written(self) -> list[str]:
        """What is seen, each as it is written, in the order of rows."""
        if self.words is not None:
            return [str(word) for word in self.words.filter(self.seen).to_pylist()]
        if self.truth:
            return [str(bool(number)) for number in self.numbers[self.seen]]
        return [f"{number:.15g}" for number in self.numbers[self.seen]]

    def at(self, row: int) -> str:
        """What a row has, as a message shows it."""
        return str(self.words[row].as_py())[:40] if self.words is not None else f"{self.numbers[row]:.15g}"


def cells_of(column: "pa.ChunkedArray") -> Cells:
    """A column as numbers and words, see the module."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_boolean(kind):
        return _numbers(column.cast(pa.int8()))._replace(truth=True)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(column)
    if pa.types.is_null(kind):
        return Cells(np.zeros(len(column), dtype=bool), np.full(len(column), np.nan))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _text(column.cast(pa.string()))
    dates = pa.types.is_temporal(kind)
    seen = column.is_valid().to_numpy()
    return Cells(seen, np.full(len(column), np.nan), other=DATES if dates else f"{kind} in each row")


def _numbers(column: "pa.ChunkedArray") -> Cells:
    import pyarrow as pa

    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    return Cells(~np.isnan(numbers), np.array(numbers))


def _text(column: "pa.ChunkedArray") -> Cells:
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pc.utf8_trim_whitespace(column.combine_chunks())
    seen = _bools(words.is_valid()) & ~_bools(pc.is_in(words, value_set=pa.array(NOTHING)))
    lower = pc.utf8_lower(words)
    if seen.any() and _bools(pc.is_in(lower, value_set=pa.array(["true", "false"])))[seen].all():
        return Cells(seen, np.where(seen, _bools(pc.equal(lower, "true")), np.nan), truth=True)
    written = pa.array(seen & _bools(pc.match_substring_regex(words, _NUMBER)))
    plain = pc.replace_substring_regex(pc.if_else(written, words, pa.scalar(None, pa.string())), r"^\+", "")
    numbers = np.array(plain.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return Cells(seen, numbers, words if (seen & np.isnan(numbers)).any() else None)


def _bools(values: "pa.Array") -> np.ndarray:
    """Truth values, where there is none False."""
    found: np.ndarray = values.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def first(which: np.ndarray) -> int:
    """The first row that is one of these."""
    return int(np.flatnonzero(which)[0])


def needs_pyarrow(where: str) -> None:
    """See that what reads tables is installed.

    Raises:
        UserError: it is not.
    """
    try:
        import pyarrow  # noqa: F401, slow to import, and only tables need it
    except ImportError:
        raise UserError(f"{where}: reading tables needs pyarrow; pip install 'ppl_vae[tables]'") from None
