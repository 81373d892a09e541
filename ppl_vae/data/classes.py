"""Labels as they come: whole numbers are classes as they are, words and fractions are names of classes."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from ppl_vae.runtime.errors import UserError

# Labels become one-hot vectors; more of them are identifiers, not classes.
_MOST_CLASSES = 10_000
_LONGEST_NAME = 60


def labels_of(where: str, y: np.ndarray, known: Mapping[str, int] | None = None) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as integers, and what the integers 0, 1, 2, ... are called where the labels are names.

    Whole numbers, float too, are the integers that they are, with gaps or below 0. Names are numbered in the alphabet's
    order, fractions in that of numbers, False before True.

    Args:
        where: they come from, for messages.
        y: ``(N,)``, of numbers, of bool, or of strings.
        known: labels by their names, if those have been decided.

    Returns:
        the labels, ``(N,)``, int64; and their names, none where they are numbers.

    Raises:
        UserError: a label is missing, there are too many for classes, or one is none of those that are known.
    """
    if y.dtype.kind not in "buifU":
        raise UserError(f"{where}: y is {y.dtype}; it must hold classes: numbers, or their names.")
    if y.dtype.kind == "f" and not (finite := np.isfinite(y)).all():
        row = int(np.flatnonzero(~finite)[0])
        raise UserError(
            f"{where}: y holds {y[row]}, first in row {row}; a label that nobody knows is no class: leave those rows "
            "out, give them a class of their own, or leave y out."
        )
    values, index = np.unique(y, return_inverse=True)
    if len(values) > _MOST_CLASSES:
        raise UserError(
            f"{where}: y holds {len(values):,} different labels, at most {_MOST_CLASSES:,} are classes; is it an "
            "identifier? Leave it out."
        )
    if y.dtype.kind in "uif" and not _are_names(values, known):
        if max(abs(float(values[0])), abs(float(values[-1]))) >= 2**53:
            raise UserError(f"{where}: y holds {max(values, key=abs)}, too large for the number of a class.")
        return torch.from_numpy(values.astype(np.int64)[index]), ()
    names = names_checked(where, "y", [_written(value) for value in values])
    if known is None:
        return torch.from_numpy(index.astype(np.int64)), names
    if foreign := [name for name in names if name not in known]:
        raise UserError(f"{where}: y holds '{foreign[0]}', the run's labels are {', '.join(known) or 'numbers'}.")
    return torch.from_numpy(np.array([known[name] for name in names], dtype=np.int64)[index]), ()


def _are_names(values: np.ndarray, known: Mapping[str, int] | None) -> bool:
    """Whether numbers are names of classes: those with a fraction are, and so are all of a run that knows such."""
    if values.dtype.kind != "f":
        return False
    return bool((values != values.round()).any()) or any(_is_fraction(name) for name in known or ())


def _is_fraction(name: str) -> bool:
    try:
        return not float(name).is_integer()
    except ValueError:
        return False


def _written(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, np.floating) else str(value)


def names_checked(where: str, what: str, words: Iterable[str], longest: int = _LONGEST_NAME) -> tuple[str, ...]:
    """Names, each of them once and fit to be printed.

    Args:
        where: they come from, for messages.
        what: holds them.
        words: the names.
        longest: how many characters one may have.

    Raises:
        UserError: one is empty, too long, of several lines, or there twice.
    """
    words = tuple(words)
    for word in words:
        if not (word.strip() and word.isprintable() and len(word) <= longest):
            raise UserError(f"{where}: {what} holds {word[:20]!r}; a name has 1 to {longest} characters on one line.")
    if len(set(words)) < len(words):
        raise UserError(f"{where}: {what} holds a name twice; give each its own.")
    return words
