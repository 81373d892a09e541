"""What a step is fed from: all rows, or a window of them that is filled anew as training goes on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.streaming.streamed import Streamed, Window
from ppl_vae.runtime.seeding import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Whole:
    """Rows that are all held; an epoch visits them in an order of their own.

    Args:
        data: the rows.
    """

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def order(self) -> Tensor:
        """A new order of an epoch's parts, here the rows, ``(data.num_parts,)``, from torch's own generator."""
        return torch.randperm(self.data.num_parts, device=self.data.device)

    def batches(self, order: Tensor, batch_size: int, done: int, seed: int) -> Iterator[Tensor]:
        """The places in ``data`` of each batch that an epoch still has.

        Args:
            order: of its parts.
            batch_size: of all batches but the last.
            done: batches that it has had.
            seed: of what is shuffled besides.
        """
        yield from order.split(batch_size)[done:]


class Coming(NamedTuple):
    """Rows that a window is to hold next, in the memory of the processor.

    Args:
        x: as it is kept, ``(rows, *event)``.
        mask: which numbers of x were seen, of its shape, or None where none of the data's is missing.
        numbers: which rows of all they are, ``(rows,)``.
    """

    x: Tensor
    mask: Tensor | None
    numbers: Tensor


class Windows:
    """Rows in a file. An epoch takes its blocks in an order of their own, so many at a time as the window holds; within
    the window rows are shuffled. While a step is fed from it, a thread reads the blocks of the next one.

    Every row is visited once an epoch. The order is a function of the order of the blocks and the seed alone, and any
    batch of an epoch can be begun with.

    Args:
        data: the rows.
        batch_size: of the batches; the window is a multiple of it.
    """

    def __init__(self, data: Streamed, batch_size: int) -> None:
        self.rows = data
        self.size = min(max(batch_size, data.source.window // batch_size * batch_size), len(data))
        # The number of each row of the file among those of the data, and below 0 of the others.
        small = len(data) < 2**31
        self.numbers: NDArray[Any] = np.full(data.source.stored.num_rows, -1, np.int32 if small else np.int64)
        self.numbers[data.source.places] = np.arange(len(data), dtype=self.numbers.dtype)
        starts = np.arange(self.rows.num_parts) * data.source.stored.block
        self.counts = np.add.reduceat(self.numbers >= 0, starts, dtype=np.int64)
        self.data = self._window()

    def order(self) -> Tensor:
        """A new order of the blocks of the file, ``(data.num_parts,)``, from torch's own generator."""
        return torch.randperm(self.rows.num_parts, device=self.data.device)

    def batches(self, order: Tensor, batch_size: int, done: int, seed: int) -> Iterator[Tensor]:
        """The places in ``data`` of each batch that an epoch still has; see :meth:`Whole.batches`."""
        blocks = order.cpu().numpy()
        first, done = divmod(done, max(1, self.size // batch_size))
        count = -(-len(self.rows) // self.size)
        with ThreadPoolExecutor(1, "reading") as worker:
            coming = worker.submit(self._read, blocks, first)
            for number in range(first, count):
                held = self._put(coming.result())
                if number + 1 < count:
                    coming = worker.submit(self._read, blocks, number + 1)
                shuffled = torch.randperm(
                    held, generator=torch.Generator().manual_seed(stream(seed, f"window {number}"))
                )
                yield from shuffled.to(self.data.device).split(batch_size)[done:]
                done = 0

    def _read(self, blocks: np.ndarray, number: int) -> int:
        """Read the rows of a window into those to come; how many they are.

        NumPy moves them: torch would in this thread have threads of its own, and where threads outnumber the cores
        OpenMP lets each sleep while it waits for the others, which slows all steps from there on.
        """
        ends = np.cumsum(self.counts[blocks])
        start, stop = number * self.size, min((number + 1) * self.size, len(self.rows))
        first, last = np.searchsorted(ends, (start, stop - 1), side="right")
        x, numbers = self.coming.x.numpy(), self.coming.numbers.numpy()
        mask = None if self.coming.mask is None else self.coming.mask.numpy()
        done, stored = 0, self.rows.source.stored
        for block, end in zip(blocks[first : last + 1], ends[first : last + 1], strict=True):
            here = self.numbers[block * stored.block : (block + 1) * stored.block]
            taken = np.flatnonzero(here >= 0)
            begin = end - len(taken)
            taken = taken[max(start - begin, 0) : len(taken) - max(end - stop, 0)]
            found = self.rows.source.decode(stored.read(int(block))[taken])
            into = slice(done, done + len(taken))
            x[into], numbers[into] = found.x.numpy(), here[taken]
            if mask is not None and found.mask is not None:
                mask[into] = found.mask.numpy()
            done += len(taken)
        return stop - start

    def _put(self, size: int) -> int:
        """Let the window hold the rows to come, at the beginning of its tensors; how many they are."""
        window, (x, mask, numbers) = self.data, self.coming
        window.kept[:size].copy_(x[:size])
        window.numbers[:size].copy_(numbers[:size])
        if mask is not None and window.mask is not None:
            window.mask[:size].copy_(mask[:size])
        for held, all_ in ((window.y, self.rows.y), (window.c, self.rows.c)):
            if held is not None and all_ is not None:
                held[:size].copy_(all_[numbers[:size].to(all_.device)])
        return size

    def _window(self) -> Window:
        """A window that holds the first rows."""
        some, device = self.rows.head(1), self.rows.device
        shape = (self.size, *self.rows.event_shape)
        self.data = Window(
            torch.zeros(self.size, dtype=torch.long, device=device),
            x=torch.zeros(shape, dtype=some.kept.dtype, device=device),
            y=None if self.rows.y is None else torch.zeros(self.size, dtype=torch.long, device=device),
            dynamic=self.rows.dynamic,
            first=self.rows.first,
            scale=self.rows.scale,
            mask=None if some.mask is None else torch.ones(shape, dtype=torch.bool, device=device),
            c=None if some.c is None else torch.zeros(self.size, some.c.shape[1], dtype=some.c.dtype, device=device),
        )
        # Filled again and again: new memory takes longer to come by than to be written.
        self.coming = Coming(
            torch.empty(shape, dtype=some.kept.dtype),
            None if some.mask is None else torch.empty(shape, dtype=torch.bool),
            torch.empty(self.size, dtype=torch.long),
        )
        self._put(self._read(np.arange(self.rows.num_parts), 0))
        return self.data


Feed = Whole | Windows
"""What a step is fed from."""


def feed_of(data: Dataset, batch_size: int) -> Feed:
    """What feeds the steps of a training on these rows."""
    return Windows(data, batch_size) if isinstance(data, Streamed) else Whole(data)
