"""The schema of a table: what each column is taken for, as was said or else as is guessed; and that in words."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ppl_vae.data.files.how import DROP, KINDS, OTHERS, WORDS, Reading
from ppl_vae.data.tables.cells import Cells, NameOf, cells_of
from ppl_vae.data.tables.guessing import Guess, guessed
from ppl_vae.data.tables.schema import Column, Schema, check_cells, labels_in
from ppl_vae.runtime.errors import UserError, nearest
from ppl_vae.runtime.shown import in_columns, listed

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_VALUES = 1_000  # of a category, each a column of x
_EACH = 24  # columns that are shown each on a line of its own
_LONG, _SHORT = 40, 20  # characters of a name and of a value there
_RESOLVED = 2.0**-17  # of the largest number: below it float32 has fewer than a hundred steps


class Settled(NamedTuple):
    """What a table is taken for.

    Args:
        schema: of it.
        class_names: what the labels 0, 1, 2, ... are called; none without labels or where they are numbers.
        told: what each column was taken for, a line each.
    """

    schema: Schema
    class_names: tuple[str, ...]
    told: tuple[str, ...]


class _Told(NamedTuple):
    """What is told of a column: its name, what it is taken for, more words of it, and whether there is a doubt."""

    name: str
    kind: str
    words: str
    doubted: bool = False


def settled(where: str, table: "pa.Table", how: Reading, name_of: NameOf) -> Settled:
    """Settle what each column of a table is.

    Args:
        where: it comes from, for messages.
        table: all of it, or as many rows as tell what it holds.
        how: what was said of its columns.
        name_of: names a row in messages.

    Raises:
        UserError: a column that was named is not there, one cannot be what it was said to be, or none is left.
    """
    for name in how.columns.keys() - {OTHERS}:
        column_called(where, name, table.column_names, "columns")
    class_names: tuple[str, ...] = ()
    if how.label_column is not None:
        column_called(where, how.label_column, table.column_names, "label_column")
        class_names = labels_in(where, table, how.label_column, None, name_of, how.unlabelled_as)[1]
    for name in how.condition_columns:
        column_called(where, name, table.column_names, "condition_columns")
        wrong = {
            "is the label column": name == how.label_column,
            "is to be left out by `columns`": how.columns.get(name) == DROP,
            "has '=' in its name; rename it": "=" in name,
        }
        if why := next((why for why, holds in wrong.items() if holds), None):
            raise UserError(f"{where}: `condition_columns` names '{name}', which {why}.")
    columns: list[Column] = []
    conditions: list[Column] = []
    told: list[_Told] = []
    for name in table.column_names:
        if name == how.label_column:
            told.append(_Told(name, "labels", f"classes {listed(class_names)}" if class_names else "classes"))
            continue
        others = "" if name in how.condition_columns else how.columns.get(OTHERS, "")
        said = KINDS.get(how.columns.get(name, others))
        if said == DROP:
            told.append(_Told(name, "left out", "as was said"))
            continue
        cells = cells_of(table[name])
        guess = Guess(said) if said else guessed(where, name, cells, name_of)
        if guess.kind == DROP and name in how.condition_columns:
            raise UserError(
                f"{where}: column '{name}' is to be a condition, and would be left out: {guess.why}; say what it is by "
                f"`columns` {name}=real, or take another."
            )
        if guess.kind == DROP:
            told.append(_Told(name, "left out", guess.why))
            continue
        found = _column(where, name, guess.kind, cells, name_of)
        given = name in how.condition_columns
        (conditions if given else columns).append(found)
        words = _described(found, cells) + (f"; {guess.doubt}" if guess.doubt else "")
        told.append(_Told(name, f"{WORDS[found.kind]}{', a condition' if given else ''}", words, bool(guess.doubt)))
    if not columns:
        reasons = "; ".join(f"{each.name}: {each.words}" for each in told)
        raise UserError(f"{where}: no column is left to learn from ({reasons}).")
    labels = {name: number for number, name in enumerate(class_names)}
    schema = Schema(tuple(columns), how.label_column, labels, tuple(conditions), how.unlabelled_as)
    return Settled(schema, class_names, tuple(_in_words(told)))


def column_called(where: str, name: str, columns: Sequence[str], setting: str) -> None:
    """See that there is a column of that name.

    Raises:
        UserError: there is none; with the one that is spelt most like it.
    """
    if name not in columns:
        near = nearest(name, columns)
        hint = f"did you mean '{near}'?" if near else f"its columns are {listed(columns)}."
        raise UserError(f"{where}: `{setting}` names '{name}', and there is no such column; {hint}")


def _column(where: str, name: str, kind: str, cells: Cells, name_of: NameOf) -> Column:
    """A column of that kind: its values, what stands in for its holes."""
    column = Column(name, kind)
    check_cells(where, cells, column, name_of)
    where = f"{where}: column '{name}'"
    if not cells.seen.any():
        raise UserError(f"{where} is empty in all {len(cells.seen):,} rows; `columns` {name}=drop leaves it out.")
    if kind == "category":
        column = column._replace(values=_values(where, name, cells))
    numbers = cells.numbers[cells.seen]
    if kind == "reals" and 0 < np.ptp(numbers) < _RESOLVED * np.abs(numbers).max():
        raise UserError(
            f"{where} runs from {numbers.min():.15g} to {numbers.max():.15g}, differences that float32 does not hold; "
            f"subtract its smallest value, or leave it out, {name}=drop."
        )
    return with_stand_in(column, cells)


def _values(where: str, name: str, cells: Cells) -> tuple[str, ...]:
    """Those of a category, numbers in their order, words in the alphabet's."""
    if "=" in name:
        raise UserError(f"{where} is a category and has '=' in its name; rename it.")
    words = sorted(set(cells.written()))
    if len(words) > _MOST_VALUES:
        raise UserError(
            f"{where} holds {len(words):,} different values, and a category has at most {_MOST_VALUES:,}; put rare "
            f"ones together, or leave it out, {name}=drop."
        )
    try:
        return tuple(sorted(words, key=float))
    except ValueError:
        return tuple(words)


def with_stand_in(column: Column, cells: Cells) -> Column:
    """A column, with the median of its cells (a number that is there) or the most frequent of its values for holes;
    as it is where nothing is there."""
    if column.values:
        counts = Counter(cells.written())
        return column._replace(stand_in=float(np.argmax([counts[value] for value in column.values])))
    numbers = cells.numbers[cells.seen]
    middle = (len(numbers) - 1) // 2
    return column._replace(stand_in=float(np.partition(numbers, middle)[middle])) if len(numbers) else column


def _described(column: Column, cells: Cells) -> str:
    missing = 1 - cells.seen.mean()
    holes = f", {missing:.1%} empty" if missing else ""
    if column.kind == "category":
        values = [_cut(value, _SHORT) for value in column.values]
        return f"{len(values)} values: {listed(values)}{holes}"
    numbers = cells.numbers[cells.seen]
    if column.kind == "bits":
        return f"{numbers.mean():.1%} are 1{holes}"
    return f"{numbers.min():.6g} to {numbers.max():.6g}{holes}"


def _cut(word: str, most: int) -> str:
    return word if len(word) <= most else f"{word[: most - 1]}…"


def _in_words(told: Sequence[_Told]) -> list[str]:
    """What columns are taken for: a line each; of many a line for each kind, and for each one that is left out or in
    doubt."""
    lines = [(_cut(each.name, _LONG), each.kind, each.words) for each in told]
    if len(told) <= _EACH:
        return [f"  {line}" for line in in_columns(lines)]
    alone = [
        line for line, each in zip(lines, told, strict=True) if each.kind in ("left out", "labels") or each.doubted
    ]
    out = [f"  {line}" for line in in_columns(alone)]
    kinds = {word: [name for name, found, _ in lines if found == word] for word in WORDS.values()}
    return [*(f"  {word}: {listed(names)}" for word, names in kinds.items() if names), *out[:_EACH]]
