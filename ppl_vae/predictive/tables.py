"""Rows of a table as files that other programs read: under the columns' own names, in their own units.

A category is one column again, of the value whose number is the largest: of a draw the one that was drawn, of a mean
the likeliest. What was not seen is empty.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ppl_vae.data.files.how import KINDS
from ppl_vae.data.info import DataInfo
from ppl_vae.runtime.shown import listed

_PLAIN = 1e-5, 1e15  # numbers that are written without a power of ten


class TableColumn(NamedTuple):
    """A column of a table, and where it stands in x.

    Args:
        name: of the column.
        places: its columns of x, from the first on.
        values: of a category, what each of those stands for; none of others.
    """

    name: str
    places: slice
    values: tuple[str, ...] = ()


def table_columns(info: DataInfo) -> list[TableColumn]:
    """The columns of a table whose columns of x have names."""
    found: list[TableColumn] = []
    kinds = info.column_kinds
    for size in info.blocks or [1] * len(info.columns):
        start = found[-1].places.stop if found else 0
        names = info.columns[start : start + size]
        if kinds and kinds[start] == "category" and all("=" in name for name in names):
            values = tuple(name.partition("=")[2] for name in names)
            found.append(TableColumn(names[0].partition("=")[0], slice(start, start + size), values))
        else:
            found += [TableColumn(name, slice(start + place, start + place + 1)) for place, name in enumerate(names)]
    return found


def columns_in_words(info: DataInfo) -> str:
    """What the columns of a table are, by kind, and whether there are holes; nothing where they have no names."""
    if not info.columns or not info.kinds:
        return ""
    kinds = info.column_kinds
    found: dict[str, list[str]] = {}
    for column in table_columns(info):
        size = f" ({len(column.values)} values)" if column.values else ""
        found.setdefault(kinds[column.places.start], []).append(f"{column.name}{size}")
    words = [f"{word}: {listed(found[kind])}" for word, kind in KINDS.items() if kind in found]
    return "; ".join(words) + ("; with holes" if info.holes else "")


def table_written(info: DataInfo, tables: Mapping[str, Tensor]) -> bytes:
    """A CSV of tables ``(n, D)`` beside each other; of several, the head says of each column in which it is."""
    columns = table_columns(info)
    head = [column.name if len(tables) == 1 else f"{column.name}, {table}" for table in tables for column in columns]
    cells = [_cells(column, x.detach().cpu()[:, column.places]) for x in tables.values() for column in columns]
    return _as_csv(head, zip(*cells, strict=True))


def holes_written(info: DataInfo, mask: Tensor, x: Tensor, lower: Tensor, upper: Tensor) -> bytes:
    """A CSV with a line for each hole of a table: its row from 1 on, its column, what is inferred of it.

    That is a number with the ends of its interval; of a category the likeliest value with its probability.

    Args:
        info: of the table, whose columns have names.
        mask: what was seen, bool, ``(n, D)``.
        x: what is inferred, likewise; of a category probabilities.
        lower: end of the intervals.
        upper: their other end.
    """
    lines: list[tuple[int, int, list[str]]] = []
    mask, x, lower, upper = (each.detach().cpu() for each in (mask, x, lower, upper))
    for place, column in enumerate(table_columns(info)):
        rows = (~mask[:, column.places.start]).nonzero()[:, 0]
        inferred = _cells(column, x[rows, column.places])
        if column.values:
            ends = [["", "", _number(best)] for best in x[rows, column.places].amax(1).tolist()]
        else:
            low, high = (each[rows, column.places.start].tolist() for each in (lower, upper))
            ends = [[_number(first), _number(last), ""] for first, last in zip(low, high, strict=True)]
        for row, value, more in zip(rows.tolist(), inferred, ends, strict=True):
            lines.append((row, place, [str(row + 1), column.name, value, *more]))
    return _as_csv(("row", "column", "value", "lower", "upper", "probability"), (line for *_, line in sorted(lines)))


def _cells(column: TableColumn, x: Tensor) -> list[str]:
    if column.values:
        there = x.isfinite().all(1).tolist()
        return [column.values[place] if some else "" for place, some in zip(x.argmax(1).tolist(), there, strict=True)]
    return [_number(value) for value in x[:, 0].tolist()]


def _number(value: float) -> str:
    """In the fewest digits that are this number; of NaN nothing."""
    if math.isnan(value):
        return ""
    single = np.float32(value)
    return np.format_float_positional(single, trim="-") if _PLAIN[0] <= abs(single) < _PLAIN[1] else f"{single:.9g}"


def _as_csv(head: Iterable[str], lines: Iterable[Sequence[str]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue().encode()
