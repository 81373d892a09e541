"""Labels as the data has them and the numbers 0, 1, 2, ... by which a pair knows them; which of them training saw."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.registry.build import DataInfo, example
from ppl_vae.data import Splits
from ppl_vae.runtime.errors import UserError
from ppl_vae.programs.structure import reads_labels

MOST_LABELS = 50
"""Rows of a picture that has one for each label: of thousands no eye takes in more, and each costs."""
_MOST_NAMED = 10


def takes_labels(model: nn.Module, info: DataInfo) -> bool:
    """Whether a model of this data reads labels, so that it decodes and generates for given ones only."""
    return reads_labels(model, example(info, next(model.parameters(), torch.zeros(())).device))


def in_words(labels: Sequence[int]) -> str:
    """Labels from the smallest up, in a few words."""
    first, last = labels[0], labels[-1]
    if len(labels) > 2 and list(labels) == list(range(first, last + 1)):
        return f"{first} to {last}"
    if len(labels) > _MOST_NAMED:
        return f"{', '.join(map(str, labels[:3]))}, ... {last} ({len(labels):,} of them)"
    return " and ".join(filter(None, (", ".join(map(str, labels[:-1])), str(last))))


def number_of(info: DataInfo, label: int, flag: str) -> int:
    """The number of a label.

    Args:
        info: of the run's data.
        label: as the data has it.
        flag: that named it, for the message.

    Raises:
        UserError: the run's training data has no such label, or none at all.
    """
    if not info.num_classes:
        raise UserError(f"{flag}: this run's data has no labels.")
    if label not in info.seen:
        unlike = "training saw no other" if label in info.labels else "name one of them"
        raise UserError(f"{flag} {label}: the labels of this run are {in_words(info.seen)}; {unlike}.")
    return info.labels.index(label)


def numbers_of(info: DataInfo, y: Tensor, where: str) -> Tensor:
    """The numbers of labels ``(N,)`` of new data; in one line on stderr, how many training never saw.

    Raises:
        UserError: the run knows nothing of one of them.
    """
    foreign = y[~torch.isin(y, torch.tensor(info.labels))]
    if len(foreign):
        raise UserError(f"{where}: y holds {int(foreign[0])}, the run's labels are {in_words(info.labels)}.")
    _warn(where, y, info.unseen)
    return info.numbers_of(y)


def warn_of_unseen(splits: Splits) -> None:
    """Say in one line on stderr, for each split, how many of its datapoints have a label that training never saw."""
    for name in ("validation", "test"):
        split = getattr(splits, name)
        if split is not None and split.y is not None:
            _warn(f"{name} data", torch.tensor(splits.classes)[split.y], splits.unseen())


def warn_of_unseen_in(info: DataInfo, where: str, y: Tensor | None) -> None:
    """:func:`warn_of_unseen`, of datapoints of a run with labels of these numbers ``(N,)``."""
    if y is not None and info.num_classes:
        _warn(where, info.labels_of(y.cpu()), info.unseen)


def _warn(where: str, y: Tensor, unseen: Sequence[int]) -> None:
    strange = y[torch.isin(y, torch.tensor(unseen, dtype=y.dtype))]
    if len(strange):
        labels = in_words(strange.unique().tolist())
        words = f"{len(strange):,} of {len(y):,} datapoints have labels that training never saw: {labels}"
        print(f"warning: {where}: {words}.", file=sys.stderr)


class Rows(NamedTuple):
    """The labels that a picture has a row for.

    Args:
        numbers: of the labels, ``(R,)``.
        names: of the rows.
        words: what a row is, for a caption.
    """

    numbers: Tensor
    names: list[str]
    words: str


def rows_of(info: DataInfo) -> Rows:
    """A row for each label that training saw; only for the first ones, where they are many."""
    shown = info.seen[:MOST_LABELS]
    words = "a row for each label y" if len(shown) == len(info.seen) else f"rows for the first {len(shown)} labels y"
    numbers = info.numbers_of(torch.tensor(shown))
    return Rows(numbers, [str(label) for label in shown], f"{words} ({in_words(shown)})")
