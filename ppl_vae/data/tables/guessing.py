"""What a column of a table holds, guessed from its values; whoever knows better says so by ``columns``.

* bits: only 0 and 1, or true and false;
* counts: whole numbers from 0 up to at most 1,000 that come down to a quarter of their mean, as counts do;
* reals: all other numbers;
* category: words, at most 50 different ones, each of which stands there twice or more on average;
* a column that never changes, one that numbers or names the rows, dates and free text say nothing that is learned
  from here: they are left out, and why is said.

What is most likely a mistake is refused: an empty column, and text among numbers.
"""

import re
from typing import NamedTuple

import numpy as np

from ppl_vae.data.files.how import DROP
from ppl_vae.data.tables.cells import DATES, Cells, NameOf, first
from ppl_vae.runtime.errors import UserError

MOST_GUESSED = 50
_MOST_COUNTED = 1_000  # a Poisson distribution of more is a normal one of a variance that few data have
_FEW = 20  # rows; of fewer the numbers 1, 2, 3, ... may be data
_MANY, _CLOSE = 100, 10  # rows whose whole numbers, each there once, are seldom data where they lie so close
_FEW_CODES, _EACH_CODE = 20, 5  # different numbers, with gaps, and rows of each: postcodes of some towns, say
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2})?")
_IDENTIFIER = re.compile(r"(.*[_\W])?(id|ids|uuid|guid|key|no|nr|index|rownames?|__index_level_\d+__)", re.IGNORECASE)
_IN_CAMEL = re.compile(r".*[a-z]I[dD]")
_THOUSANDS = re.compile(
    r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?|[-+]?\d{1,3}([ '’\u00a0\u202f]\d{3})+([.,]\d*)?|[-+]?\d{1,3}(\.\d{3})+,\d*"
)
_PLAIN = re.compile(r"[-+]?[\d.]+")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_ODDLY_WRITTEN = 100  # words, by which dates and odd numbers are told


class Guess(NamedTuple):
    """What a column is taken for.

    Args:
        kind: a :data:`ppl_vae.data.kinds.Column`, or ``drop``.
        why: it is left out, in words.
        doubt: what else it may be, in words; nothing where there is no doubt.
    """

    kind: str
    why: str = ""
    doubt: str = ""


def guessed(where: str, name: str, cells: Cells, name_of: NameOf) -> Guess:
    """What a column holds.

    Args:
        where: the table comes from, for messages.
        name: of the column.
        cells: what is in it.
        name_of: names a row in messages.

    Raises:
        UserError: it is empty, or holds text among numbers.
    """
    out = f"`columns` {name}=drop leaves it out"
    if not cells.seen.any():
        raise UserError(f"{where}: column '{name}' is empty in all {len(cells.seen):,} rows; {out}.")
    if cells.other:
        return Guess(DROP, _of_other(cells.other))
    if cells.words is None:
        return _of_numbers(name, cells)
    words = cells.written()
    few = words[:_ODDLY_WRITTEN]
    if all(map(_DATE.fullmatch, few)):
        return Guess(DROP, _of_other(DATES))
    bad = cells.no_numbers
    row = first(bad)
    said = f"{where}: column '{name}' holds '{cells.at(row)}' in {name_of(row)}"
    decimal, thousands = (bool(form.fullmatch(cells.at(row))) for form in (_DECIMAL_COMMA, _THOUSANDS))
    if (decimal or thousands) and 2 * sum(map(_is_number_of_any_kind, few)) > len(few):
        between = "a decimal comma" if decimal else "a separator of thousands"
        between += ", or a separator of thousands" if decimal and thousands else ""
        raise UserError(f"{said}, a number with {between}; write such numbers as 1234.5, or {out}.")
    if bad.sum() * 2 <= cells.seen.sum():
        raise UserError(f"{said}, and numbers elsewhere; mend it, leave it empty, or say `columns` {name}=category.")
    return _of_words(name, words)


def _is_number_of_any_kind(word: str) -> bool:
    return any(form.fullmatch(word) for form in (_DECIMAL_COMMA, _THOUSANDS, _PLAIN))


def _of_other(what: str) -> str:
    return f"{what}; make numbers of them, as days since the first, to learn from them" if what == DATES else what


def _of_numbers(name: str, cells: Cells) -> Guess:
    numbers = cells.numbers[cells.seen]
    low, high, mean = numbers.min(), numbers.max(), numbers.mean()
    if low == high:
        return Guess(DROP, f"always {cells.written()[0]}{'' if cells.seen.all() else ' where it is not empty'}")
    if not np.isfinite(mean):
        return Guess("reals")  # whoever makes numbers of it says which row is infinite
    if ((numbers == 0) | (numbers == 1)).all():
        return Guess("bits")
    whole = bool((numbers == np.round(numbers)).all())
    num = len(np.unique(numbers))
    if whole and len(numbers) >= _FEW and num == len(numbers):
        named = bool(_IDENTIFIER.fullmatch(name) or _IN_CAMEL.fullmatch(name))
        if named or (cells.seen.all() and high - low == len(numbers) - 1):
            return Guess(DROP, "an identifier: whole numbers, each of them once")
    if whole and low >= 0 and low <= mean / 4 and high <= _MOST_COUNTED:
        return Guess("counts")
    return Guess("reals", doubt=_doubt(name, len(numbers), num, high - low) if whole else "")


def _doubt(name: str, rows: int, num: int, span: float) -> str:
    """What ``num`` different whole numbers may be beside numbers."""
    if rows >= _MANY and num == rows and span < _CLOSE * rows:
        return f"whole numbers, each of them once: if they only name the rows, {name}=drop"
    if num <= _FEW_CODES and rows >= _EACH_CODE * num and span >= 2 * num:
        return f"only {num} different numbers: if they are codes, {name}=category"
    return ""


def _of_words(name: str, words: list[str]) -> Guess:
    num = len(set(words))
    if num == 1:
        return Guess(DROP, f"always '{words[0][:40]}'")
    if num == len(words) and num >= _FEW:
        return Guess(DROP, f"an identifier or free text: {num:,} texts, each of them once")
    if num > MOST_GUESSED:
        return Guess(
            DROP, f"{num:,} different texts, more than {MOST_GUESSED}; {name}=category takes them for categories"
        )
    if 2 * num > len(words) and num > 2:
        return Guess(DROP, f"{num:,} different texts in {len(words):,} rows; {name}=category takes them for categories")
    return Guess("category")
