"""Observations resident on one device, binarized there at every visit."""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from ppl_vae.data.conditions import check_known, conditions_like
from ppl_vae.data.kinds import LOOKED_AT, as_float, is_grey, is_outside
from ppl_vae.data.missing import ends_of
from ppl_vae.programs.batch import Batch
from ppl_vae.runtime.config import CountOrZero, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Names

ROUNDING = 1e-6
"""How far probabilities may leave [0, 1]: a few units in float32's last place, which is what scaling rounds to."""
# Elements that are looked at in one go: few enough to stay in a processor's cache.
_AT_ONCE = 2**20
_ALL = slice(None)
_FLOATS = (torch.float16, torch.float32, torch.float64)  # that NumPy has too, which files are written by
_HASHED = 2**12  # rows that are made float at a time


class Dataset:
    """One split of a data set.

    Integers are kept as they are, in memory and on the device, and become float in a batch: of 8 bits, they take a
    quarter of the memory.

    Args:
        x: observations, ``(N, *event)``, float, bool, or integers, which are divided by ``scale`` where they are read;
            probabilities of a lit pixel if ``dynamic``.
        y: integer labels, ``(N,)``, or None.
        dynamic: draw x ~ Bernoulli(x) anew at every visit (Burda et al. 2016), from torch's own generator.
        first: number of row 0 in the whole data set; each split has its own, so that no row is taken for another's.
        scale: what integers are divided by: 255 of 8-bit images, and 0 or 1 of counts and bits, which nothing divides;
            None of float and bool.
        mask: which numbers of x were seen, bool, of x's shape; None where all were. Others count for nothing.
        c: conditions, ``(N, C)``, numbers that are given beside the labels; or None.
        names: what the columns of x and the labels are called in tables of results.

    Raises:
        UserError: one of them is no tensor, of another type or another shape.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None = None,
        dynamic: bool = False,
        first: int = 0,
        scale: int | None = None,
        mask: Tensor | None = None,
        c: Tensor | None = None,
        names: Names = Names(),  # noqa: B008
    ) -> None:
        """Lay them out in C's order: noise is drawn in the order of memory. What they hold is looked at where a pair is
        tried, by :meth:`probe`: this runs inside a traced step too."""
        for name, value in (("x", x), ("y", y), ("mask", mask), ("c", c)):
            if not isinstance(value, Tensor) and (name == "x" or value is not None):
                raise UserError(f"{name} is a {type(value).__name__}; make it a tensor, {as_tensor(name, value)}.")
        if x.dim() < 2:
            raise UserError(f"x has shape {tuple(x.shape)}; it must be (N, *event), a row for each observation.")
        if x.is_complex() or (x.is_floating_point() and x.dtype not in _FLOATS):
            raise UserError(f"x is {_name(x)}; make it float.")
        if x.layout != torch.strided:
            raise UserError("x is sparse; make it dense: x.to_dense().")
        x = x.detach() if x.requires_grad else x
        scale = scale if scale is None else _divisor(scale)
        if scale is None and not x.is_floating_point() and x.dtype != torch.bool:
            raise UserError(
                f"x is {_name(x)}; say what it is divided by: `scale` 255 of 8-bit images, 1 of bits and counts."
            )
        if y is not None:
            if y.shape != x.shape[:1]:
                raise UserError(f"y has shape {tuple(y.shape)} where x has {len(x)} rows; it must be ({len(x)},).")
            if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
                raise UserError(f"y is {_name(y)}; it must hold integer classes 0, 1, 2, ...: y.long().")
            y = y.to(x.device).long().contiguous()
        if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape):
            advice = "; make it mask.bool()." if mask.shape == x.shape else f" and of x's, {tuple(x.shape)}."
            raise UserError(f"the mask is {_name(mask)} of shape {tuple(mask.shape)}; it must be bool{advice}")
        self.kept, self.mask = x.contiguous(), None if mask is None else mask.to(x.device).contiguous()
        self.y, self.dynamic, self.first, self.scale, self.names = y, dynamic, first, scale or 1, names
        self.c = None if c is None else conditions_like(c, x).to(x.device, self.dtype).contiguous()

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        labels = "no labels" if self.y is None else "with labels"
        kept = f"{_name(self.kept)}{f' / {self.scale}' if self.scale > 1 else ''}"
        drawn = ", binarized at every visit" if self.dynamic else ""
        return f"Dataset({len(self):,} rows of shape {self.event_shape}, {kept}, {labels}{drawn})"

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return tuple(self.kept.shape[1:])

    @property
    def num_parts(self) -> int:
        """What an epoch has an order of: its rows."""
        return len(self)

    @property
    def at_once(self) -> int:
        """Rows that may be held at once: here they all are."""
        return len(self)

    @property
    def event_size(self) -> int:
        """Numbers in one observation."""
        return math.prod(self.event_shape)

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.kept.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the observations in a batch."""
        return self.kept.dtype if self.kept.is_floating_point() else torch.get_default_dtype()

    @property
    def x(self) -> Tensor:
        """The observations as float, ``(N, *event)``; made anew each time where they are kept as integers."""
        return self.values()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What it holds of its rows, by name of the argument: whoever records how a batch is made reads these."""
        found = {"x": self.kept, "y": self.y, "mask": self.mask, "c": self.c}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def replace(self, **changes: Any) -> Self:
        """The same with other arguments, by name."""
        kept = {name: getattr(self, name) for name in ("dynamic", "first", "scale", "names")}
        return type(self)(**{**self.tensors, **kept, **changes})

    def values(self, rows: Tensor | slice = _ALL) -> Tensor:
        """Observations as float, before anything is drawn of them, ``(rows, *event)``; by default of all rows."""
        return as_float(self.kept[rows], self.scale)

    def some(self) -> Tensor:
        """Observations by which all are told for what they are, as float: rows spread over all, and the first with each
        sort of number; of data with holes, which hold seen numbers, all."""
        if self.mask is not None:
            return torch.where(self.mask, self.values(), self.ends()[0])
        spread = torch.arange(0, len(self), max(1, len(self) // LOOKED_AT), device=self.device)
        return self.values(torch.cat([spread, self._telling]).unique())

    def ends(self) -> tuple[Tensor, Tensor]:
        """The smallest and the largest of each number of an observation, each ``event``, over the rows that have it."""
        if self.mask is not None:
            return ends_of(self.values(), self.mask)
        least, largest = ends_of(self.kept, None)
        return as_float(least, self.scale), as_float(largest, self.scale)

    def mean(self) -> Tensor:
        """The mean observation, ``event``, each number's over the rows where it was seen."""
        if self.mask is None:
            return self.values().mean(0)
        return (self.values() * self.mask).sum(0) / self.mask.sum(0).clamp(min=1)

    def spread(self) -> Tensor:
        """The standard deviation of each number of an observation, ``event``, over the rows where it was seen."""
        seen = 1 if self.mask is None else self.mask
        num = len(self) if self.mask is None else self.mask.sum(0).clamp(min=1)
        return (((self.values() - self.mean()) ** 2 * seen).sum(0) / num).sqrt()

    def take(self, rows: Tensor) -> Self:
        """Some rows, numbered as they come."""
        return self.replace(**{name: tensor[rows] for name, tensor in self.tensors.items()})

    def batch(self, index: Tensor) -> Batch:
        """The rows of ``index``, ``(batch,)`` from 0, in its order; binarized now if dynamic."""
        x = self.values(index)
        y = None if self.y is None else self.y[index]
        if self.dynamic:  # torch.bernoulli draws the same, one number at a time: three times as slow on the CPU
            x = (torch.rand_like(x) < x).to(x.dtype)
        mask, c = (None if each is None else each[index] for each in (self.mask, self.c))
        return Batch(x, y, index + self.first, mask, c)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The whole split in order, in batches of at most ``batch_size``."""
        for index in torch.arange(len(self), device=self.device).split(batch_size):
            yield self.batch(index)

    def probe(self) -> Batch:
        """A few rows to try a pair on: the first two, the first ones with values that not every model takes (grey
        levels, what is outside [0, 1], negative or not whole), and those of the smallest and the largest label.

        Raises:
            UserError: x holds NaN or infinity, or what is no probability and is to be binarized; the first such row.
        """
        return self.batch(self._telling)

    @cached_property
    def _telling(self) -> Tensor:
        check_known("the data", self.c)
        found = torch.arange(min(2, len(self)), device=self.device)
        grey, outside = self._first(is_grey), self._first(is_outside)
        negative, broken = (self._first(each) for each in (lambda part: part < 0, lambda part: part != part.round()))
        if len(outside):
            self._check_values()
        ends = [] if self.y is None or not len(self) else [self.y.argmin()[None], self.y.argmax()[None]]
        numbers = dict.fromkeys(torch.cat([found, grey, outside, negative, broken, *ends]).tolist())
        return torch.tensor(list(numbers), dtype=torch.long, device=self.device)

    def _check_values(self) -> None:
        if len(bad := self._first(lambda part: ~part.isfinite())):
            raise UserError(
                f"x holds NaN or infinity, first in row {int(bad)}; remove those values, or say that they are "
                "missing, with any number there: Dataset(x.nan_to_num(), mask=x.isfinite())."
            )
        if self.dynamic and len(bad := self._first(lambda part: (part < -ROUNDING) | (part > 1 + ROUNDING))):
            low, high = self.values().aminmax()
            whole = not self.kept.is_floating_point() and low >= 0
            how = f" (the integers of a file by `integer_scale` {high:.0f})" if whole else ""
            raise UserError(
                f"x runs from {low:.8g} to {high:.8g} and leaves [0, 1] first in row {int(bad)}; scale it into [0, 1] "
                f"to binarize it{how}, or take numbers as they are, by `binarization` none and `likelihood` normal."
            )

    def _first(self, which: Callable[[Tensor], Tensor]) -> Tensor:
        """Number of the first row with such an element, ``(1,)``; ``(0,)`` if there is none."""
        size = max(1, _AT_ONCE // max(1, self.event_size))
        for start in range(0, len(self), size):
            part = self.values(slice(start, start + size)).flatten(1)
            if len(found := which(part).any(1).nonzero().flatten()):
                return found[:1] + start
        return torch.empty(0, dtype=torch.long, device=self.device)

    def fixed(self, seed: int) -> Self:
        """The same rows, no longer dynamic: binarized once, from the seed, with bits of its own for each split."""
        if not self.dynamic:
            return self
        if len(self._first(is_outside)):
            self._check_values()
        with seeded(stream(seed, f"bits from {self.first}"), self.device):
            bits = torch.bernoulli(self.values().clamp(0, 1))
        return self.replace(x=self._kept_alike(bits), dynamic=False, scale=1)

    def _kept_alike(self, bits: Tensor) -> Tensor:
        """Bits as float where the observations are, and otherwise as bool."""
        return bits.to(self.kept.dtype if self.kept.is_floating_point() else torch.bool)

    def add_to(self, digest: Any) -> None:
        """Add all that it holds to a hash of :mod:`hashlib`, x as float."""
        for rows in torch.arange(len(self)).split(_HASHED):
            digest.update(self.values(rows).numpy().data)
        for tensor in (self.y, self.mask, self.c):
            if tensor is not None:
                digest.update(tensor.numpy().data)

    @in_range
    def head(self, limit: CountOrZero | None) -> Self:
        """The first ``limit`` rows; all of them if None or if there are fewer.

        Raises:
            UserError: ``limit`` is negative, or no whole number.
        """
        return self.replace(**{name: value[:limit] for name, value in self.tensors.items()})

    def to(self, device: torch.device) -> Self:
        """The same rows on another device."""
        if self.device == device:
            return self
        return self.replace(**{name: value.to(device) for name, value in self.tensors.items()})


@in_range
def _divisor(scale: CountOrZero) -> int:
    """What integers are divided by, held to its range."""
    return scale


def as_tensor(name: str, value: object) -> str:
    """How a value of that name becomes a tensor, in Python: floats are made float32, which models compute in."""
    if isinstance(value, Tensor):
        made = name
    else:
        made = f"torch.as_tensor({name}.to_numpy())" if hasattr(value, "to_numpy") else f"torch.as_tensor({name})"
    return made + {"y": "", "mask": ".bool()"}.get(name, ".float()")


def _name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
