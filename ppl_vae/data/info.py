"""What is known of a data set beside its values: shapes, labels, layout."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.conditions import Condition, conditions_in, means_of
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.kinds import COLUMNS, kind_of
from ppl_vae.data.splits import Splits, splits_of
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.layout import NUM_NOTES, Layout
from ppl_vae.programs.pair import version_of
from ppl_vae.runtime.config import Count, CountOrZero, config
from ppl_vae.runtime.shown import Names

if TYPE_CHECKING:
    from numpy.typing import NDArray


@config
class DataInfo:
    """What a pair needs to know of the data; kept in the run, so that the data itself need not be read again."""

    event_shape: tuple[Count, ...]
    """Shape of one observation."""
    num_classes: int
    """Number of labels; 0 without any."""
    num_data: int
    """Number of training datapoints."""
    fingerprint: str
    """Hash of all splits: two runs with the same one saw the same data, split alike."""
    layout: Layout = "plain"
    """How an observation is laid out."""
    alphabet: str = ""
    """The characters of text."""
    classes: tuple[int, ...] = ()
    """The labels as the data has them, in the order of their numbers; none where they are those numbers."""
    unseen: tuple[int, ...] = ()
    """Those of them that no training datapoint has."""
    scale: CountOrZero = 1
    """What integers in files are divided by, 0 where they are counts; see :mod:`ppl_vae.data.arrays`. The
    fingerprint is of what came of it."""
    class_names: tuple[str, ...] = ()
    """What the labels are called, in the order of their numbers; none where they have no names."""
    columns: tuple[str, ...] = ()
    """What the columns of a table are called; none where they have no names."""
    kinds: tuple[str, ...] = ()
    """What each column of a table holds, or all of them where it is one: reals, counts, bits or category; none of other
    data, and of runs of earlier versions."""
    holes: bool = False
    """Whether numbers of x are missing, in training or elsewhere."""
    least: tuple[float, ...] = ()
    """The smallest number in training, of each column of a table or of all; none where all numbers are in [0, 1]."""
    largest: tuple[float, ...] = ()
    """The largest, likewise."""
    photographs: bool = False
    """Whether images are photographs in grey, whose 0 is black; those of others (MNIST) are ink, whose 1 is black."""
    conditions: tuple[Condition, ...] = ()
    """The conditions that each observation is given; none where the data has none."""

    def __post_init__(self) -> None:
        """See that shape and layout agree, which a record that was changed by hand may not.

        Raises:
            ValueError: they do not; of a record, :func:`ppl_vae.runtime.config.from_plain` makes it a UserError.
        """
        if self.classes and (len(self.classes) != self.num_classes or list(self.classes) != sorted(set(self.classes))):
            raise ValueError(f"classes are to be {self.num_classes} labels from the smallest up")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(f"class_names are to be {self.num_classes}")
        if self.columns and self.event_shape != (len(self.columns),):
            raise ValueError(f"columns are to be as many as an observation has, {self.event_shape}")
        if len(self.kinds) not in (0, 1, self.event_shape[-1]) or not set(self.kinds) <= {*COLUMNS}:
            raise ValueError(f"kinds are to be {', '.join(COLUMNS)}, one for each column or one for all")
        if len(self.least) != len(self.largest) or len(self.least) not in (0, 1, self.event_shape[-1]):
            raise ValueError("least and largest are to be one number each, or one for each column")
        width = {"plain": None, "text": 1 + len(self.alphabet), "notes": 1 + NUM_NOTES}[self.layout]
        if width and self.event_shape[1:] != (width,):
            raise ValueError(
                f"a step of {self.layout} has {width} numbers here, and an observation shape {self.event_shape}"
            )

    @classmethod
    def of(cls, data: "Described") -> "DataInfo":
        """Read it off the data: what :func:`ppl_vae.load` gives, or a data set of one's own; what is known stays.

        That of splits is remembered while they are there and stay as they are: all of them are hashed for it.
        """
        if isinstance(data, DataInfo):
            return data
        if not isinstance(data, Splits):
            return cls._read_off(splits_of(data))
        now = (data[1:], [version_of(tensor) for part in data[:3] if part for tensor in part.tensors.values()])
        before, info = _REMEMBERED.get(data.train, (None, None))
        if info is None or before != now:
            info = cls._read_off(data)
            _REMEMBERED[data.train] = now, info
        return info

    @classmethod
    def _read_off(cls, splits: Splits) -> "DataInfo":
        sizes = splits.train.event_shape, splits.num_classes, len(splits.train)
        train = splits.train.some()
        least, largest = _ends(*splits.train.ends())
        named = splits.classes != tuple(range(splits.num_classes))
        return cls(
            *sizes,
            splits.fingerprint(),
            splits.layout,
            splits.alphabet,
            classes=splits.classes if named else (),
            unseen=splits.unseen(),
            scale=splits.scale,
            class_names=splits.class_names,
            columns=splits.columns,
            kinds=_kinds(splits),
            holes=splits.holes,
            least=least,
            largest=largest,
            photographs=not splits.train.dynamic and kind_of(train, splits.layout) == "photographs",
            conditions=conditions_in(splits.train.c, splits.condition_names),
        )

    @property
    def num_conditions(self) -> int:
        """Numbers that each observation is given as conditions."""
        return len(self.conditions)

    @property
    def names(self) -> Names:
        """What the columns and the labels are called in tables of results."""
        return Names(self.columns, self.class_names or self.labels)

    @property
    def column_names(self) -> tuple[str, ...]:
        """What the columns of a table are called: x1, x2, ... where they have no names."""
        return self.columns or tuple(f"x{number}" for number in range(1, self.event_shape[-1] + 1))

    @property
    def column_kinds(self) -> tuple[str, ...]:
        """What each column of a table holds, one for each; empty where nobody knows."""
        return self.kinds * self.event_shape[-1] if len(self.kinds) == 1 else self.kinds

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many columns of a table stand together, from the first on: those of a category, all others alone.

        Columns of one category have one name before their first "=", as ``colour=red``, or follow each other unnamed.
        Empty where nobody knows the kinds.
        """
        if not self.kinds:
            return ()
        kinds = self.column_kinds
        names = [name.partition("=")[0] for name in self.columns] or [""] * len(kinds)
        found: list[int] = []
        before = None
        for kind, name in zip(kinds, names, strict=True):
            here = name if kind == "category" else None
            if here is not None and here == before:
                found[-1] += 1
            else:
                found.append(1)
            before = here
        return tuple(found)

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels as the data has them, in the order of their numbers."""
        return self.classes or tuple(range(self.num_classes))

    @property
    def seen(self) -> tuple[int, ...]:
        """Those of the labels that training has seen."""
        unseen = set(self.unseen)
        return tuple(label for label in self.labels if label not in unseen)

    def numbers_of(self, labels: Tensor) -> Tensor:
        """The numbers by which the pair knows these labels, all of which the data has to have."""
        known = torch.tensor(self.labels, device=labels.device)
        return torch.searchsorted(known, labels)

    def labels_of(self, numbers: Tensor) -> Tensor:
        """The labels of these numbers, as the data has them."""
        return torch.tensor(self.labels, device=numbers.device)[numbers]

    @property
    def by_name(self) -> dict[str, int]:
        """The labels as the data has them, by what they are called."""
        return dict(zip(self.class_names, self.labels, strict=False))

    def called(self, labels: Iterable[int]) -> list[str]:
        """What these labels, as the data has them, are called; without names, their numbers."""
        names = {label: name for name, label in self.by_name.items()}
        return [names.get(label, str(label)) for label in labels]

    def shown(self, numbers: Tensor) -> "NDArray[Any]":
        """The labels of these numbers as pictures show them: their names, or as the data has them."""
        names: NDArray[Any] = np.array(self.class_names or self.labels)[numbers.cpu().numpy()]
        return names

    def is_of(self, splits: Splits) -> bool:
        """Whether this is the data that it was read off, by what every version has recorded."""
        other = DataInfo.of(splits)
        names = ("event_shape", "num_data", "fingerprint", "layout", "alphabet")
        return all(getattr(self, name) == getattr(other, name) for name in names)


_REMEMBERED: WeakKeyDictionary[Dataset, tuple[Any, DataInfo]] = WeakKeyDictionary()
"""Of splits, by their training data, what else they were, and what was read off them."""


Described = DataInfo | Splits | Dataset
"""What a pair needs to know of its data, or that data."""


def example(info: DataInfo, device: torch.device | None = None) -> Batch:
    """Two datapoints of the right shape and no particular value, or one if training has no more rows; with a mask, by
    which all was seen, where the data has holes, and each condition at its mean, where it has any."""
    num = min(2, info.num_data)
    y = torch.zeros(num, dtype=torch.long, device=device) if info.num_classes else None
    x = torch.zeros(num, *info.event_shape, device=device)
    mask, c = torch.ones_like(x, dtype=torch.bool) if info.holes else None, means_of(info.conditions)
    return Batch(x, y, torch.arange(num, device=device), mask, None if c is None else c.to(x).expand(num, -1))


def _kinds(splits: Splits) -> tuple[str, ...]:
    """What the columns of a table hold: as its file says, or one kind for all where its numbers are of one."""
    train = splits.train
    if splits.kinds or len(train.event_shape) != 1 or train.dynamic or splits.layout != "plain":
        return splits.kinds
    kind = kind_of(train.some(), splits.layout)
    return (kind,) if kind in COLUMNS else ()


def _ends(least: Tensor, largest: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The smallest and the largest numbers, of each column of a table or of all; nothing where all are in [0, 1]."""
    low, high = least.min(), largest.max()
    if low >= 0 and high <= 1:
        return (), ()
    table = least.dim() == 1
    return (tuple(least.tolist()), tuple(largest.tolist())) if table else ((float(low),), (float(high),))
