"""Labels as the data has them and the numbers 0, 1, 2, ... by which a pair knows them; which of them training saw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.data.info import DataInfo
from ppl_vae.data.splits import Splits
from ppl_vae.runtime.errors import UserError, nearest

Label = int | str
"""A label as the data has it, or its name."""

MOST_LABELS = 50
"""Rows of a picture that has one for each label: of thousands no eye takes in more, and each costs."""
_MOST_NAMED = 10


def in_words(info: DataInfo, labels: Sequence[int]) -> str:
    """Labels from the smallest up, or what they are called, in a few words."""
    return _in_words(info.called(labels) if info.class_names else labels)


def _in_words(labels: Sequence[int] | Sequence[str]) -> str:
    first, last = labels[0], labels[-1]
    if (
        len(labels) > 2
        and isinstance(first, int)
        and isinstance(last, int)
        and list(labels) == list(range(first, last + 1))
    ):
        return f"{first} to {last}"
    if len(labels) > _MOST_NAMED:
        return f"{', '.join(map(str, labels[:3]))}, ... {last} ({len(labels):,} of them)"
    return " and ".join(filter(None, (", ".join(map(str, labels[:-1])), str(last))))


def number_of(info: DataInfo, label: Label, setting: str) -> int:
    """The number of a label.

    Args:
        info: of the run's data.
        label: as the data has it, or its name, in small or capital letters where that is one label's.
        setting: that named it, for the message.

    Raises:
        UserError: the run's training data has no such label, or none at all.
    """
    if not info.num_classes:
        raise UserError(f"`{setting}`: this run's data has no labels.")
    alike = [each for name, each in info.by_name.items() if name.casefold() == str(label).casefold()]
    found = info.by_name.get(str(label), alike[0] if len(alike) == 1 else label)
    if found not in info.seen:
        unlike = "training saw no other" if found in info.labels else "name one of them"
        near = nearest(str(label), info.called(info.seen)) if info.class_names and found not in info.labels else None
        hint = f"did you mean '{near}'?" if near else f"{unlike}."
        raise UserError(f"`{setting}` {label}: the labels of this run are {in_words(info, info.seen)}; {hint}")
    return info.labels.index(int(found))


def numbers_of(info: DataInfo, y: Tensor, where: str) -> Tensor:
    """The numbers of labels ``(N,)`` of new data.

    Raises:
        UserError: the run knows nothing of one of them.
    """
    foreign = y[~torch.isin(y, torch.tensor(info.labels))]
    if len(foreign):
        raise UserError(f"{where}: y holds {int(foreign[0])}, the run's labels are {in_words(info, info.labels)}.")
    return info.numbers_of(y)


def unseen_in(splits: Splits) -> list[str]:
    """For each split, in words, how many of its datapoints have a label that training never saw; none without any."""
    found = []
    for name in ("validation", "test"):
        split = getattr(splits, name)
        if split is not None and split.y is not None:
            names = dict(zip(splits.classes, splits.class_names, strict=False))
            found += _unseen(f"{name} data", torch.tensor(splits.classes)[split.y], splits.unseen(), names)
    return found


def unseen_among(info: DataInfo, where: str, y: Tensor | None) -> list[str]:
    """:func:`unseen_in`, of datapoints of a run with labels of these numbers ``(N,)``."""
    return (
        []
        if y is None or not info.num_classes
        else _unseen(where, info.labels_of(y.cpu()), info.unseen, {label: name for name, label in info.by_name.items()})
    )


def _unseen(where: str, y: Tensor, unseen: Sequence[int], names: Mapping[int, str]) -> list[str]:
    strange = y[torch.isin(y, torch.tensor(unseen, dtype=y.dtype))]
    if not len(strange):
        return []
    found = strange.unique().tolist()
    labels = _in_words([names[label] for label in found] if names else found)
    return [f"{where}: {len(strange):,} of {len(y):,} datapoints have labels that training never saw: {labels}."]


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
    return Rows(numbers, info.called(shown), f"{words} ({in_words(info, shown)})")
