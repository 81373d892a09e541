"""Tables: .csv and .tsv, .parquet, and frames of pandas, polars or pyarrow. The same table gives the same numbers,
whichever of them it comes as; what its columns hold is settled in :mod:`ppl_vae.data.tables.settling`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ppl_vae.data.arrays import Observations, short
from ppl_vae.data.classes import names_checked
from ppl_vae.data.files.archive import refuse_too_large
from ppl_vae.data.files.how import Reading
from ppl_vae.data.tables.cells import NameOf, cells_of, needs_pyarrow
from ppl_vae.data.tables.delimited import read_delimited
from ppl_vae.data.tables.schema import Schema, columns_of, decoded
from ppl_vae.data.tables.settling import settled, with_stand_in
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.shown import listed

if TYPE_CHECKING:
    import pyarrow as pa

    from ppl_vae.data.info import DataInfo

SUFFIXES = (".csv", ".tsv", ".parquet")
LONGEST_NAME = 200
"""Characters in the name of a column or a value; pictures shorten it."""


class _Table(NamedTuple):
    """A table as it comes.

    Args:
        where: it comes from, for messages.
        rows: of it.
        name_of: names one of these in messages.
        said: what there is to say of it, a line each.
    """

    where: str
    rows: "pa.Table"
    name_of: NameOf
    said: tuple[str, ...] = ()


def read_table(path: Path, how: Reading) -> Observations:
    """Read a file.

    Args:
        path: ends in ``.csv``, ``.tsv`` or ``.parquet``.
        how: what was said of its columns.

    Raises:
        UserError: it cannot be read, or a column cannot be used; the message names line or row, and column.
    """
    return _observations(_opened(path), how)


def read_frame(frame: Any, how: Reading) -> Observations:
    """Take a frame of pandas, polars or pyarrow, as :func:`read_table` takes a file.

    Raises:
        UserError: likewise; or a column holds values of several types.
    """
    return _observations(_of_frame(frame), how)


def is_frame(value: object) -> bool:
    """Whether a value is a frame, of pandas, polars or pyarrow."""
    kind = type(value)  # what a value computes of itself is not asked for
    return hasattr(kind, "columns") and any(hasattr(kind, name) for name in ("to_arrow", "itertuples", "to_batches"))


def read_known_table(path: Path, info: "DataInfo", how: Reading) -> Observations:
    """Read a table like the one that a run was trained on: the same columns, taken as they were.

    Args:
        path: of the table; it may have other columns too, and be without the labels.
        info: of the run's data.
        how: the run's table was read.

    Raises:
        UserError: as :func:`read_table`; or a column is not there, or holds what training never saw.
    """
    if not info.columns or not info.column_kinds:
        raise UserError(f"{path}: a table, where the run's data was none; give an .npz.")
    table = _opened(path)
    label = how.label_column if how.label_column in table.rows.column_names else None
    schema = Schema.of_names(info.columns, info.column_kinds, label, info.by_name)._replace(
        unlabelled=how.unlabelled_as
    )
    wanted = [column.name for column in schema.columns]
    if missing := [name for name in wanted if name not in table.rows.column_names]:
        raise UserError(
            f"{path}: there is no column '{missing[0]}', which the run learned from; it has {listed(wanted)}."
        )
    given = [each.name for each in info.conditions]
    conditions = columns_of(given, ["category" if "=" in name else "reals" for name in given])
    if all(column.name in table.rows.column_names for column in conditions):
        schema = schema._replace(conditions=conditions)
    filled = (with_stand_in(column, cells_of(table.rows[column.name])) for column in schema.columns)
    schema = schema._replace(columns=tuple(filled))
    known = {*wanted, label, *(column.name for column in schema.conditions)}
    left = [name for name in table.rows.column_names if name not in known]
    said = [f"left out, as the run does not know them: {listed(left)}"] if left else []
    return _as_numbers(table, schema, (), said)


def _observations(table: _Table, how: Reading) -> Observations:
    found = settled(table.where, table.rows, how, table.name_of)
    count = f"{table.rows.num_rows:,} rows; what its columns are taken for (`columns` NAME=KIND says otherwise):"
    observed = _as_numbers(table, found.schema, found.class_names, [*table.said, count])
    return observed._replace(notes=(*observed.notes, *found.told))


def _as_numbers(table: _Table, schema: Schema, class_names: tuple[str, ...], said: list[str]) -> Observations:
    names = names_checked(table.where, "the list of its columns", schema.names, LONGEST_NAME)
    numbers = table.rows.num_rows * len(names)
    refuse_too_large(table.where, numbers, "leave columns out by `columns` NAME=drop")
    x, mask, y, c = decoded(table.where, table.rows, schema, table.name_of)
    return Observations(
        torch.from_numpy(x),
        None if y is None else torch.from_numpy(y),
        0 if schema.dtype.kind == "i" else 1,
        tuple(f"{short(table.where)}: {words}" for words in said),
        class_names,
        names,
        None if mask.all() else torch.from_numpy(mask),
        schema.kinds,
        None if c is None else torch.from_numpy(c),
        schema.condition_names,
    )


def _opened(path: Path) -> _Table:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a table.")
    needs_pyarrow(str(path))
    if path.suffix.lower() != ".parquet":
        return _checked(_Table(str(path), *read_delimited(path)))
    import pyarrow.parquet as parquet

    try:
        rows = parquet.read_table(path)
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable .parquet ({reason(error)}); write it again.") from None
    return _checked(_Table(str(path), rows, _row))


def _of_frame(frame: Any) -> _Table:
    where = f"the {type(frame).__name__}"
    needs_pyarrow(where)
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return _checked(_Table(where, frame, _row))
    if hasattr(frame, "to_arrow"):
        return _checked(_Table(where, frame.to_arrow(), _row))
    names, columns = [str(name) for name in frame.columns], []
    for place, name in enumerate(names):
        try:
            columns.append(pa.Array.from_pandas(frame.iloc[:, place]))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            why = _of_several_types(frame.iloc[:, place].tolist()) or f"cannot be read ({reason(error)})"
            raise UserError(f"{where}: column '{name}' {why}; make them alike.") from None
    return _checked(_Table(where, pa.table(columns, names=names), _row))


def _of_several_types(values: list[Any]) -> str:
    """What is of another type than what stands before it, in words; nothing where all are of one."""
    there = [(row, value) for row, value in enumerate(values) if value is not None and value == value]
    for row, value in there:
        before = there[0][1]
        if type(value) is not type(before):
            kinds = type(value).__name__, type(before).__name__
            return (
                f"holds {str(value)[:40]!r} ({kinds[0]}) in {_row(row)}, and {str(before)[:40]!r} ({kinds[1]}) before"
            )
    return ""


def _row(row: int) -> str:
    return f"row {row + 1}"


def _checked(table: _Table) -> _Table:
    """See that there are rows, and columns each with a name of its own."""
    names = table.rows.column_names
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise UserError(f"{table.where}: two columns are called '{twice[0]}'; give each a name of its own.")
    if not table.rows.num_rows or not names:
        raise UserError(f"{table.where}: a table without rows; it needs at least one.")
    return table
