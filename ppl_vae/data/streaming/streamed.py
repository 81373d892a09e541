"""Training rows that stay in their file, with all that is asked of a data set but to be held at once."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.streaming.stored import Stored
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.config import CountOrZero, in_range
from ppl_vae.runtime.errors import UserError

_ALL = slice(None)


class Kept(NamedTuple):
    """Rows as a data set keeps them.

    Args:
        x: ``(rows, *event)``.
        mask: which numbers of x were seen, of its shape, or None where none of the data's is missing.
    """

    x: Tensor
    mask: Tensor | None


Decode = Callable[[np.ndarray], Kept]
"""Rows as they are stored, ``(rows, *stored event)``, to rows as they are kept."""


class Moments(NamedTuple):
    """Of the numbers of an observation, over all rows, as float, each ``event``.

    Args:
        mean: over those that were seen.
        spread: the standard deviation, likewise.
        least: the smallest.
        largest: the largest.
    """

    mean: Tensor
    spread: Tensor
    least: Tensor
    largest: Tensor


class Source(NamedTuple):
    """Where the rows of a :class:`Streamed` are, and what is known of all of them.

    Args:
        stored: the file.
        decode: from its rows to observations.
        places: the row of the file where each row of the data set is, ``(N,)``.
        moments: of all rows.
        digest: what they all are, as a hash.
        window: rows that are held at once in training.
    """

    stored: Stored
    decode: Decode
    places: np.ndarray
    moments: Moments
    digest: str
    window: int


class Streamed(Dataset):
    """One split, of which a few rows are held; others are read from their file where they are asked for.

    A step is fed from a window of it, see :class:`ppl_vae.data.streaming.feeds.Windows`.

    Args:
        source: where the rows are.
        some: a few of them, by which the others are told for what they are.
        numbers: which of the rows those are, from 0.
        y: the labels of all, ``(N,)``, or None.
        dynamic: as of a :class:`Dataset`.
        first: likewise.
        device: where batches go.
        c: the conditions of all, ``(N, C)``, or None.
    """

    def __init__(
        self,
        source: Source,
        some: Dataset,
        numbers: Tensor,
        y: Tensor | None = None,
        dynamic: bool = False,
        first: int = 0,
        device: torch.device | None = None,
        c: Tensor | None = None,
    ) -> None:
        super().__init__(some.kept, None, dynamic, first, some.scale, some.mask, names=some.names)
        self.source, self.y, self.c, self._numbers, self._device = source, y, c, numbers, device or some.device

    def __len__(self) -> int:
        return len(self.source.places)

    @property
    def num_parts(self) -> int:
        """What an epoch has an order of: the blocks of the file."""
        return self.source.stored.num_blocks

    @property
    def at_once(self) -> int:
        """Rows that may be held at once, a window's."""
        return min(self.source.window, len(self))

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return self._device

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Nothing: what a step is recorded with is the window that it is fed from."""
        return {}

    def replace(self, **changes: Any) -> Self:
        """The same with other arguments, by name."""
        some = Dataset(self.kept, None, self.dynamic, 0, self.scale, self.mask, names=self.names)
        given: dict[str, Any] = {
            "source": self.source,
            "some": some,
            "y": self.y,
            "c": self.c,
            "dynamic": self.dynamic,
            "first": self.first,
            "numbers": self._numbers,
            "device": self._device,
        }
        return type(self)(**(given | changes))

    def some(self) -> Tensor:
        """Observations of the few rows that are held, as float."""
        return super().values().to(self.device)

    def values(self, rows: Tensor | slice = _ALL) -> Tensor:
        """Observations as float, ``(rows, *event)``.

        Raises:
            UserError: of all rows, which are more than memory is meant to hold.
        """
        return self._resident(self._numbers_of(rows)).values()

    def mean(self) -> Tensor:
        """The mean observation, ``event``."""
        return self.source.moments.mean.to(self.device)

    def spread(self) -> Tensor:
        """The standard deviation of each number of an observation, ``event``."""
        return self.source.moments.spread.to(self.device)

    def ends(self) -> tuple[Tensor, Tensor]:
        """The smallest and the largest of each number of an observation, each ``event``."""
        return self.source.moments.least, self.source.moments.largest

    def take(self, rows: Tensor) -> Dataset:  # type: ignore[override]  # what is taken is held
        """Some rows, held from here on, numbered as they come."""
        return self._resident(rows)

    @in_range
    def head(self, limit: CountOrZero | None) -> Dataset:  # type: ignore[override]
        """The first ``limit`` rows, held from here on; all of them as they are if None or if there are fewer.

        Raises:
            UserError: ``limit`` is negative, or no whole number.
        """
        return self if limit is None or limit >= len(self) else self._resident(torch.arange(limit))

    def batch(self, index: Tensor) -> Batch:
        """The rows of ``index``, ``(batch,)`` from 0, in its order; binarized now if dynamic."""
        found = self._resident(index).batch(torch.arange(len(index), device=self.device))
        return found._replace(index=index.to(self.device) + self.first)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All rows in order, in batches of at most ``batch_size``."""
        for index in torch.arange(len(self)).split(batch_size):
            yield self.batch(index)

    def probe(self) -> Batch:
        """A few rows to try a pair on, see :meth:`Dataset.probe`: of those that are held, and of the smallest and the
        largest label."""
        held = Dataset(self.kept, None, self.dynamic, 0, self.scale, self.mask)
        found = self._numbers[held._telling]
        ends = [] if self.y is None else [int(self.y.argmin()), int(self.y.argmax())]
        return self.batch(torch.tensor(list(dict.fromkeys([*found.tolist(), *ends]))))

    def fixed(self, seed: int) -> Self:
        """The same rows if they are not drawn anew at every visit.

        Raises:
            UserError: they are: bits that stay the same would have to be held.
        """
        if self.dynamic:
            raise UserError(
                "the training data is drawn as bits anew at every visit and is larger than memory; take the `limit` "
                "first rows of it, or use `split` test."
            )
        return self

    def to(self, device: torch.device) -> Self:
        """The same rows, batches of which are on another device."""
        return self.replace(device=device)

    def add_to(self, digest: Any) -> None:
        """Add what all rows are to a hash."""
        digest.update(self.source.digest.encode())
        for tensor in (self.y, self.c):
            if tensor is not None:
                digest.update(tensor.numpy().data)

    def _numbers_of(self, rows: Tensor | slice) -> Tensor:
        if isinstance(rows, Tensor):
            return rows
        start, stop, step = rows.indices(len(self))
        if stop - start == len(self) and step == 1:
            raise UserError(
                f"the data are {len(self):,} rows, more than memory is to hold (`data_memory`); take some by "
                "head(limit)."
            )
        return torch.arange(start, stop, step)

    def _resident(self, rows: Tensor) -> Dataset:
        rows = rows.cpu()
        kept = self.source.decode(self.source.stored.take(self.source.places[rows.numpy()]))
        y, c = (None if each is None else each[rows.to(each.device)] for each in (self.y, self.c))
        return Dataset(kept.x, y, self.dynamic, self.first, self.scale, kept.mask, c, self.names).to(self.device)


class Window(Dataset):
    """Rows that are held for a while, and then others in their place.

    Args:
        numbers: which rows of all they are now, ``(rows,)``.
        given: those of :class:`Dataset`.
    """

    def __init__(self, numbers: Tensor, **given: Any) -> None:
        super().__init__(**given)
        self.numbers = numbers

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What it holds of its rows."""
        return {**super().tensors, "numbers": self.numbers}

    def batch(self, index: Tensor) -> Batch:
        """The rows of ``index``, by their places in the window; each has the number that it has among all."""
        return super().batch(index)._replace(index=self.numbers[index] + self.first)
