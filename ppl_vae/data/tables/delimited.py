"""Tables as text: a line of names, then a line for each row, its fields separated by commas, semicolons or tabs.

Numbers have a decimal point, or in all of a file a decimal comma: where the numbers of a column have commas, and not
all as thousands have them (1,234).
"""

import csv
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ppl_vae.data.tables.cells import NOTHING, NameOf
from ppl_vae.runtime.errors import UserError, reason

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


_WITH_COMMA = r"^[-+]?(\d+(,\d*)?|,\d+)([eE][-+]?\d+)?$"
_OF_THOUSANDS = r"^[-+]?[1-9]\d{0,2},\d{3}$"
_IN_THOUSANDS = r"^[-+]?[1-9]\d{0,2}(\.\d{3})*$"
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


class _Form(NamedTuple):
    """How a file is written: what separates fields, the columns' names, and whether the first line has these."""

    separator: str
    names: list[str]
    headed: bool


def read_delimited(path: Path) -> "tuple[pa.Table, NameOf, tuple[str, ...]]":
    """A file's rows, all of them text.

    Args:
        path: ends in ``.csv`` or ``.tsv``, UTF-8.

    Returns:
        the table; what names a row by its line, as an editor counts them; and what is to be said of the file, a line
        each.

    Raises:
        UserError: it is empty or no such text; a line has more or fewer fields than the first; a name is there twice.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    form = _form(path)
    keys = [str(place) for place in range(len(form.names))]
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(column_names=keys, skip_rows_after_names=int(form.headed)),
            parse_options=arrow.ParseOptions(delimiter=form.separator, newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError) as error:
        _refuse_unlike(path, form)
        raise unreadable(path, error) from None
    if not len(table):
        raise UserError(f"{path}: there is a line of names and no row below it; give it rows.")
    table, with_commas = _with_points(path, table.rename_columns(form.names))
    said = [] if form.headed else ["its first line holds numbers, so the columns are called column1, column2, ..."]
    said += [f"numbers are read with a decimal comma, as in {with_commas}."] if with_commas else []
    return table, lambda row: _named(path, form, row), tuple(said)


def _with_points(path: Path, table: "pa.Table") -> "tuple[pa.Table, str]":
    """The table with decimal points where numbers have commas, and the first such number; nothing where none has.

    Raises:
        UserError: in a file of decimal commas a column has points as thousands have them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found, example, pointed = [], "", ""
    for place, column in enumerate(table.columns):
        words = pc.utf8_trim_whitespace(column)
        there = words.filter(pc.invert(pc.is_in(words, value_set=pa.array(NOTHING))))
        with_comma = there.filter(pc.match_substring(there, ","))
        if not len(with_comma):
            with_point = there.filter(pc.match_substring(there, "."))
            if len(with_point) and pc.all(pc.match_substring_regex(there, _IN_THOUSANDS)).as_py():
                pointed = pointed or f"column '{table.column_names[place]}' holds '{with_point[0].as_py()}'"
            continue
        if not pc.all(pc.match_substring_regex(there, _WITH_COMMA)).as_py():
            continue
        found.append((place, pc.replace_substring(words, ",", ".")))
        fractions = with_comma.filter(pc.invert(pc.match_substring_regex(with_comma, _OF_THOUSANDS)))
        example = example or (fractions[0].as_py() if len(fractions) else "")
    if example and pointed:
        raise UserError(
            f"{path}: {pointed}, and elsewhere numbers have a decimal comma, as '{example}': is the point a separator "
            "of thousands? Write all numbers without it."
        )
    if example:  # one number that can be nothing else tells it of all columns
        for place, column in found:
            table = table.set_column(place, table.column_names[place], column)
    return table, example


def unreadable(path: Path, error: Exception) -> UserError:
    """The error for a file that is no such text."""
    return UserError(f"{path}: not a readable table ({reason(error)}); save it as CSV, UTF-8.")


def _form(path: Path) -> _Form:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
        separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
        head = next((fields for _, fields in _records(path, separator)), None)
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        _refuse_undecodable(path)
        raise unreadable(path, error) from None
    if head is None:
        raise UserError(f"{path}: the file is empty; give it a line of names, and a line for each row.")
    headed = not all(map(_NUMBER.fullmatch, head))
    numbered = [f"column{number}" for number in range(1, len(head) + 1)]
    names = [name.strip() or other for name, other in zip(head, numbered, strict=True)] if headed else numbered
    return _Form(separator, names, headed)


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows, that of names among them, each with the line in which it begins; empty lines are none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader, line = csv.reader(file, delimiter=separator), 1
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1


def _named(path: Path, form: _Form, row: int) -> str:
    """A row by the line in which it begins: looked up when it is asked for, since a field may go over several lines."""
    try:
        return f"line {next(islice(_records(path, form.separator), row + form.headed, None))[0]}"
    except csv.Error:  # a field that is longer than Python's reader takes
        return f"row {row + 1}"


def _refuse_unlike(path: Path, form: _Form) -> None:
    """See that each row has as many fields as the first, if this is what is wrong."""
    try:
        for line, fields in _records(path, form.separator):
            if len(fields) != len(form.names):
                raise UserError(
                    f"{path}: line {line} has {len(fields)} fields, and the first line {len(form.names)}; mend it, and "
                    f"put quotes around fields that hold a {_SEPARATORS[form.separator]}."
                )
    except (UnicodeDecodeError, OSError, csv.Error):
        _refuse_undecodable(path)


def _refuse_undecodable(path: Path) -> None:
    """See that a file is UTF-8, if this is what is wrong."""
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: this file may not be read; change its permissions.")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(b"PK"):
                raise UserError(f"{path}: a zip or a workbook, not a CSV; save its sheet as CSV, UTF-8.")
            try:
                line.decode()
            except UnicodeDecodeError as error:
                odd = line[error.start]
                after = line[: error.start].decode()[-20:]
                raise UserError(
                    f"{path}: line {number} is not UTF-8 (byte {odd:#04x} after '{after}'); save the file as UTF-8."
                ) from None
