"""From a block of rows of a table to numbers: a function of the block and of a schema that was settled before.

A real, a count and a bit take a column of x each, as they are. Nothing is standardised on the way: likelihoods and
encoders are relative to each column's mean and spread themselves (:mod:`ppl_vae.models.likelihoods.reals`,
:mod:`ppl_vae.networks.scaling`), so that densities, draws, pictures and files are in the data's own units and nothing
has to be undone. A category takes a column for each of its values, side by side and named ``column=value``, of which
one is 1. What is missing is a hole, of a category the whole block; what the schema has in its place counts for nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from ppl_vae.data.classes import labels_of
from ppl_vae.data.kinds import LARGEST
from ppl_vae.data.tables.cells import Cells, NameOf, cells_of, first
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import listed

if TYPE_CHECKING:
    import pyarrow as pa

NO_CLASS = (
    "a label that nobody knows is no class: leave such rows out, or make them a class of their own, `unlabelled_as` "
    "unknown."
)
"""What is said of a label that is not there."""
_EXACT = 2**24  # the first whole number after which float32 leaves one out


class Column(NamedTuple):
    """What a column of a table is taken for.

    Args:
        name: of it.
        kind: a :data:`ppl_vae.data.kinds.Column`.
        values: of a category, in the order of its columns of x; none of others.
        stand_in: what a hole has in x: a number, or the place of one of the values.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    stand_in: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Those of its columns of x."""
        return tuple(f"{self.name}={value}" for value in self.values) or (self.name,)


class Schema(NamedTuple):
    """What the columns of a table are taken for, and so how any block of its rows becomes numbers.

    Args:
        columns: that x is made of, in this order; all others are left out.
        label: the column that holds the labels, or None.
        labels: their numbers by their names; none where labels are numbers.
        conditions: the columns that conditions are made of, in this order.
        unlabelled: the class of rows whose label is not known; None refuses them.
    """

    columns: tuple[Column, ...]
    label: str | None = None
    labels: Mapping[str, int] = {}
    conditions: tuple[Column, ...] = ()
    unlabelled: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the columns of x."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Those of the conditions."""
        return tuple(name for column in self.conditions for name in column.names)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of the columns of x, for each one."""
        return tuple(column.kind for column in self.columns for _ in column.names)

    @property
    def dtype(self) -> np.dtype:
        """Of x: bool where all are bits, int32 where all are counts, else float32."""
        kinds = {column.kind for column in self.columns}
        return np.dtype(bool if kinds <= {"bits", "category"} else np.int32 if kinds == {"counts"} else np.float32)

    @classmethod
    def of_names(
        cls, names: Sequence[str], kinds: Sequence[str], label: str | None, labels: Mapping[str, int]
    ) -> "Schema":
        """That of a run, by what is known of its data: names and kinds of all columns of x, as they are here."""
        return cls(columns_of(names, kinds), label, labels)


def columns_of(names: Sequence[str], kinds: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a table, by names and kinds of all columns of x or conditions that they have become."""
    values: dict[tuple[str, str], list[str]] = {}
    for each, kind in zip(names, kinds, strict=True):
        name, _, value = each.partition("=") if kind == "category" else (each, "", "")
        values.setdefault((name, kind), []).append(value)
    return tuple(
        Column(name, kind, tuple(found) if kind == "category" else ()) for (name, kind), found in values.items()
    )


class Block(NamedTuple):
    """Rows of a table as numbers.

    Args:
        x: ``(N, D)``, of the schema's type.
        mask: which numbers of x were seen, bool, ``(N, D)``.
        y: labels, ``(N,)``, int64, or None without a label column.
        c: conditions, ``(N, C)``, float32, or None without a column of them.
    """

    x: np.ndarray
    mask: np.ndarray
    y: np.ndarray | None
    c: np.ndarray | None = None


def decoded(where: str, block: "pa.Table", schema: Schema, name_of: NameOf) -> Block:
    """Make numbers of some rows: a pure function of these and of the schema, each row by itself.

    Args:
        where: they come from, for messages.
        block: has the schema's columns, in any order and among others.
        schema: of the table.
        name_of: names a row of the block, from 0, in messages.

    Raises:
        UserError: a cell holds what its column cannot; the message names both.
    """
    parts, masks = [], []
    for column in schema.columns:
        cells = cells_of(block[column.name])
        check_cells(where, cells, column, name_of)
        parts.append(_encoded(where, cells, column, name_of))
        masks.append(np.broadcast_to(cells.seen[:, None], parts[-1].shape))
    x = np.concatenate(parts, axis=1, dtype=schema.dtype, casting="unsafe")
    y = None
    if schema.label:
        y = labels_in(where, block, schema.label, schema.labels or None, name_of, schema.unlabelled)[0].numpy()
    given = [_known(where, block, column, name_of) for column in schema.conditions]
    c = np.concatenate(given, axis=1, dtype=np.float32, casting="unsafe") if given else None
    return Block(x, np.concatenate(masks, axis=1), y, c)


def _known(where: str, block: "pa.Table", column: Column, name_of: NameOf) -> np.ndarray:
    """A condition's cells as numbers, ``(N, 1)`` or ``(N, values)``, all of them known."""
    cells = cells_of(block[column.name])
    check_cells(where, cells, column, name_of)
    if not cells.seen.all():
        raise UserError(
            f"{where}: condition column '{column.name}' is empty in {name_of(first(~cells.seen))}; a condition has to "
            "be known: leave such rows out, or fill it in."
        )
    return _encoded(where, cells, column, name_of)


def labels_in(
    where: str,
    block: "pa.Table",
    label: str,
    known: Mapping[str, int] | None,
    name_of: NameOf,
    unlabelled: str | None = None,
) -> tuple[Tensor, tuple[str, ...]]:
    """The labels of some rows, ``(N,)``, and what they are called, see :func:`ppl_vae.data.classes.labels_of`.

    Raises:
        UserError: one is missing, is none of those that are known, or cannot be a class.
    """
    cells, where = cells_of(block[label]), f"{where}: label column '{label}'"
    if not cells.seen.all() and unlabelled is None:
        raise UserError(f"{where} is empty in {name_of(first(~cells.seen))}; {NO_CLASS}")
    if cells.other:
        raise UserError(f"{where} holds {cells.other}; classes are numbers or words.")
    if not cells.seen.all() or (unlabelled is not None and known):  # numbers beside such a class are names too
        words = np.full(len(cells.seen), unlabelled, dtype=object)
        words[cells.seen] = cells.written()
        return labels_of(where, words.astype(str), known)
    y = np.array(cells.written()) if cells.truth or cells.words is not None else cells.numbers
    return labels_of(where, y, known)


def check_cells(where: str, cells: Cells, column: Column, name_of: NameOf) -> None:
    """See that cells hold what their column is said to hold.

    Raises:
        UserError: one does not; the message says which and what to do.
    """
    where = f"{where}: column '{column.name}'"
    if cells.other:
        raise UserError(f"{where} holds {cells.other}; make numbers or words of it, or leave it out.")
    if column.kind == "category":
        return
    wrongs = [(cells.no_numbers, "which is no number; mend it or leave it empty"), *_wrong(column.kind, cells.numbers)]
    for wrong, words in wrongs:
        if wrong.any():
            row = first(wrong)
            raise UserError(f"{where} holds {_quoted(cells, row)} in {name_of(row)}, {words}.")


def _quoted(cells: Cells, row: int) -> str:
    return f"'{cells.at(row)}'" if cells.no_numbers[row] else cells.at(row)


def _wrong(kind: str, x: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """What numbers of a kind are not, and what to do; NaN is nothing."""
    yield np.isinf(x), "which is no number to learn from; leave it empty where it is not known"
    if kind == "reals":
        yield (
            np.abs(x) > LARGEST,
            f"and float32 has no room for sums of squares of numbers above {LARGEST:g}; scale it down",
        )
    elif kind == "counts":
        yield (x < 0) | (x != np.round(x)) & ~np.isnan(x), "and counts are whole numbers from 0 up"
        yield x >= _EXACT, f"and float32 counts up to {_EXACT - 1:,}; take the column for real"
    else:
        yield (x != 0) & (x != 1) & ~np.isnan(x), "and bits are 0 and 1"


def _encoded(where: str, cells: Cells, column: Column, name_of: NameOf) -> np.ndarray:
    """Cells as columns of x, ``(N, 1)`` or ``(N, values)``, holes filled."""
    if column.kind != "category":
        return np.where(cells.seen, cells.numbers, column.stand_in)[:, None]
    number = {value: place for place, value in enumerate(column.values)}
    places = np.full(len(cells.seen), int(column.stand_in))
    for row, word in zip(np.flatnonzero(cells.seen), cells.written(), strict=True):
        if word not in number:
            raise UserError(
                f"{where}: column '{column.name}' holds '{word[:40]}' in {name_of(int(row))}, which training never "
                f"saw; it knows {listed(column.values)}."
            )
        places[row] = number[word]
    block: np.ndarray = np.eye(len(column.values), dtype=bool)[places]
    return block
