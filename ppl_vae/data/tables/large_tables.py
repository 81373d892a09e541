"""A ``.parquet`` larger than memory: laid out once as rows of numbers, in a file of the user's cache.

Parquet is compressed column by column, and rows cannot be had from it in another order than its own at the speed of a
training step. What its columns hold is settled by rows from all of it, in which each word occurs that it has.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.lib import format as npy

from ppl_vae.data.arrays import short
from ppl_vae.data.classes import names_checked
from ppl_vae.data.files.how import Reading
from ppl_vae.data.streaming.laying import laid_out, lay_out, place_of
from ppl_vae.data.streaming.splitting import Far
from ppl_vae.data.tables.cells import NameOf, needs_pyarrow
from ppl_vae.data.tables.reading import LONGEST_NAME
from ppl_vae.data.tables.schema import Schema, decoded
from ppl_vae.data.tables.settling import settled
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import whole

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as parquet

_BATCH = 2**15  # rows that become numbers in one go
_GROUPS, _OF_A_GROUP = 16, 2**12  # groups of rows, and rows of each, by which columns are settled
_MOST_WORDS = 2_000  # of a column, that are looked for; with more it is no category


def far_table(path: Path, how: Reading) -> Far | None:
    """A file whose rows take more than ``how.memory`` as float32; None for any other.

    Raises:
        UserError: it cannot be read, or a column cannot be used; the message names row and column.
    """
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    needs_pyarrow(str(path))
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: not a readable .parquet ({reason(error)}); write it again.") from None
    with file:
        if 4 * file.metadata.num_rows * file.metadata.num_columns <= how.memory:
            return None
        if how.unlabelled_as:
            raise UserError(f"{path}: `unlabelled_as` is for tables that memory holds; raise `data_memory`.")
        if how.condition_columns:
            raise UserError(
                f"{path}: `condition_columns` is for tables that memory holds; raise `data_memory`, or store x, c and "
                "condition_names as an .npz."
            )
        return _far(path, file, how)


def _far(path: Path, file: "parquet.ParquetFile", how: Reading) -> Far:
    where = str(path)
    table, rows = _telling(file, how.label_column)
    found = settled(where, table, how, lambda row: f"row {rows[row] + 1}")
    schema = found.schema
    place = place_of(path, schema)
    labels = place.with_suffix(".labels.npy")
    kind = np.dtype(np.float32) if _may_have_holes(file) else schema.dtype
    y: list[np.ndarray] = []
    if schema.label and not labels.exists():
        place.unlink(missing_ok=True)  # the labels are found on the way
    shape = (file.metadata.num_rows, len(schema.names))
    lay_out(place, path.name, shape, kind, _decoded(path, file, schema, kind, y))
    if y:
        with whole(labels) as out:
            npy.write_array(out, np.concatenate(y), allow_pickle=False)
    stored = laid_out(place)
    said = f"{stored.num_rows:,} rows, laid out once in {place}, which may be deleted; what its columns are taken for:"
    return Far(
        stored,
        torch.from_numpy(np.load(labels)) if schema.label else None,
        found.class_names,
        names_checked(where, "the list of its columns", schema.names, LONGEST_NAME),
        schema.kinds,
        _stand_ins(schema),
        0 if {*schema.kinds} == {"counts"} else 1,
        where,
        (f"{short(where)}: {said}", *found.told),
    )


def _telling(file: "parquet.ParquetFile", label: str | None) -> tuple["pa.Table", list[int]]:
    """Rows that tell what the columns hold, and their numbers: some of all parts of the file, and of each word, in
    columns of words and of labels, the first row that has it."""
    import pyarrow as pa

    groups = file.metadata.num_row_groups
    sizes = [file.metadata.row_group(group).num_rows for group in range(groups)]
    starts = np.cumsum([0, *sizes])
    wanted = {
        int(starts[group]) + row
        for group in np.unique(np.linspace(0, groups - 1, _GROUPS).round().astype(int))
        for row in range(min(sizes[group], _OF_A_GROUP))
    }
    types = {field.name: field.type for field in file.schema_arrow}
    for name, kind in types.items():
        if name == label or not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            wanted.update(_first_rows(file, name))
    rows, parts = np.array(sorted(wanted)), []
    for group in np.unique(np.searchsorted(starts, rows, side="right") - 1):
        start = int(starts[group])
        last = int(rows[rows < starts[group + 1]][-1])
        for batch in file.iter_batches(_BATCH, row_groups=[int(group)]):
            parts.append(batch.take(pa.array(rows[(rows >= start) & (rows < start + len(batch))] - start)))
            start += len(batch)
            if start > last:
                break
    return pa.Table.from_batches(parts), rows.tolist()


def _first_rows(file: "parquet.ParquetFile", name: str) -> Iterator[int]:
    """The first row of each value of a column, as far as it may be a category."""
    seen: set[object] = set()
    start = 0
    for batch in _batches(file, [name]):
        column = batch.column(0)
        new = [value for value in column.unique().to_pylist() if value not in seen]
        if len(seen) + len(new) > _MOST_WORDS:
            return
        seen.update(new)
        for value in new:
            if value is not None:
                yield start + column.index(value).as_py()
        start += len(batch)


def _decoded(
    path: Path, file: "parquet.ParquetFile", schema: Schema, kind: np.dtype, y: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """x block by block, with NaN in its holes; the labels are added to ``y``."""
    import pyarrow as pa

    start = 0
    for batch in _batches(file):
        block = decoded(str(path), pa.Table.from_batches([batch]), schema, _name_from(start))
        if block.y is not None:
            y.append(block.y)
        yield block.x if block.mask.all() else np.where(block.mask, block.x.astype(kind), np.nan)
        start += len(batch)


def _batches(file: "parquet.ParquetFile", columns: list[str] | None = None) -> Iterator["pa.RecordBatch"]:
    """All rows, some at a time. Group by group: over several, pyarrow keeps what it has read of each to the end."""
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(_BATCH, row_groups=[group], columns=columns)


def _name_from(start: int) -> NameOf:
    return lambda row: f"row {start + row + 1}"


def _may_have_holes(file: "parquet.ParquetFile") -> bool:
    """Whether a column may have nothing in some row, or words for it, as far as the file's own counts tell."""
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            chunk = file.metadata.row_group(group).column(column)
            counts = chunk.statistics
            whole_numbers = chunk.physical_type in ("BOOLEAN", "INT32", "INT64")
            if counts is None or not counts.has_null_count or counts.null_count or not whole_numbers:
                return True
    return False


def _stand_ins(schema: Schema) -> np.ndarray:
    """What each column of x has in a hole, ``(D,)``."""
    found: list[float] = []
    for column in schema.columns:
        if column.values:
            found += [float(place == int(column.stand_in)) for place in range(len(column.values))]
        else:
            found.append(column.stand_in)
    return np.array(found, dtype=np.float32)
