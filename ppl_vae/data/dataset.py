"""Observations resident on one device, binarized there at every visit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from ppl_vae.data.kinds import kind_of
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.config import CountOrZero, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded, stream

Binarization = Literal["auto", "dynamic", "static", "threshold", "none"]

ROUNDING = 1e-6
"""How far probabilities may leave [0, 1]: a few units in float32's last place, which is what scaling rounds to."""
# Elements that are looked at in one go: few enough to stay in a processor's cache.
_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One split of a data set.

    Args:
        x: observations, ``(N, *event)``, float; probabilities of a lit pixel if ``dynamic``. Bool becomes 0 and 1.
        y: integer labels, ``(N,)``, or None.
        dynamic: draw x ~ Bernoulli(x) anew at every visit (Burda et al. 2016), from torch's own generator.
        first: number of row 0 in the whole data set; each split has its own, so that no row is taken for another's.

    Raises:
        UserError: x or y is no tensor, of another type or another shape.
    """

    x: Tensor
    y: Tensor | None = None
    dynamic: bool = False
    first: int = 0

    def __post_init__(self) -> None:
        """See what x and y are, and lay them out in C's order: noise is drawn in the order of memory.

        What they hold is looked at where a pair is tried, by :meth:`probe`: this runs inside a traced step too.
        """
        for name, value in (("x", self.x), ("y", self.y)):
            if not isinstance(value, Tensor) and (name == "x" or value is not None):
                raise UserError(f"{name} is a {type(value).__name__}; make it a tensor, {as_tensor(name, value)}.")
        x, y = self.x, self.y
        if x.dim() < 2:
            raise UserError(f"x has shape {tuple(x.shape)}; it must be (N, *event), a row for each observation.")
        if x.dtype == torch.bool:
            x = x.to(torch.get_default_dtype())
        elif not x.is_floating_point():
            raise UserError(f"x is {_name(x)}; make it float: x / 255 of 8-bit images, x.float() of bits and counts.")
        if y is not None:
            if y.shape != x.shape[:1]:
                raise UserError(f"y has shape {tuple(y.shape)} where x has {len(x)} rows; it must be ({len(x)},).")
            if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
                raise UserError(f"y is {_name(y)}; it must hold integer classes 0, 1, 2, ...: y.long().")
            y = y.long().contiguous()
        object.__setattr__(self, "x", x.contiguous())
        object.__setattr__(self, "y", y)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        labels = "no labels" if self.y is None else "with labels"
        rows = f"{len(self):,} rows of shape {self.event_shape}, {_name(self.x)}, {labels}"
        return f"Dataset({rows}{', binarized at every visit' if self.dynamic else ''})"

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return tuple(self.x.shape[1:])

    def batch(self, index: Tensor) -> Batch:
        """The rows of ``index``, ``(batch,)`` from 0, in its order; binarized now if dynamic."""
        x = self.x[index]
        y = None if self.y is None else self.y[index]
        if self.dynamic:  # torch.bernoulli draws the same, one number at a time: three times as slow on the CPU
            x = (torch.rand_like(x) < x).to(x.dtype)
        return Batch(x, y, index + self.first)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The whole split in order, in batches of at most ``batch_size``."""
        for index in torch.arange(len(self), device=self.x.device).split(batch_size):
            yield self.batch(index)

    def probe(self) -> Batch:
        """A few rows to try a pair on: the first two, the first ones with values that not every model takes (grey
        levels, and what is outside [0, 1]), and those of the smallest and the largest label.

        Raises:
            UserError: x holds NaN or infinity, or what is no probability and is to be binarized; the first such row.
        """
        return self.batch(self._telling)

    @cached_property
    def _telling(self) -> Tensor:
        rows = self.x.flatten(1)
        found = torch.arange(min(2, len(self)), device=self.x.device)
        grey, outside = _first(rows, _is_grey), _first(rows, _is_outside)
        if len(outside):
            self._check_values(rows)
        ends = [] if self.y is None or not len(self) else [self.y.argmin()[None], self.y.argmax()[None]]
        numbers = dict.fromkeys(torch.cat([found, grey, outside, *ends]).tolist())
        return torch.tensor(list(numbers), dtype=torch.long, device=self.x.device)

    def _check_values(self, rows: Tensor) -> None:
        if len(bad := _first(rows, lambda part: ~part.isfinite())):
            raise UserError(f"x holds NaN or infinity, first in row {int(bad)}; remove or fill those values.")
        if self.dynamic and len(bad := _first(rows, lambda part: (part < -ROUNDING) | (part > 1 + ROUNDING))):
            raise UserError(
                f"x runs from {rows.min():.8g} to {rows.max():.8g} and leaves [0, 1] first in row {int(bad)}; scale it "
                "into [0, 1] to binarize it, or take real numbers as they are, by `binarization` none and `likelihood` "
                "normal."
            )

    def fixed(self, seed: int) -> Self:
        """The same rows, no longer dynamic: binarized once, from the seed, with bits of its own for each split."""
        if not self.dynamic:
            return self
        if len(_first(rows := self.x.flatten(1), _is_outside)):
            self._check_values(rows)
        with seeded(stream(seed, f"bits from {self.first}"), self.x.device):
            return replace(self, x=torch.bernoulli(self.x.clamp(0, 1)), dynamic=False)

    @in_range
    def head(self, limit: CountOrZero | None) -> Self:
        """The first ``limit`` rows; all of them if None or if there are fewer.

        Raises:
            UserError: ``limit`` is negative, or no whole number.
        """
        return replace(self, x=self.x[:limit], y=None if self.y is None else self.y[:limit])

    def to(self, device: torch.device) -> Self:
        """The same rows on another device."""
        if self.x.device == device:
            return self
        return replace(self, x=self.x.to(device), y=None if self.y is None else self.y.to(device))


def _first(rows: Tensor, which: Callable[[Tensor], Tensor]) -> Tensor:
    """Number of the first row with such an element, ``(1,)``; ``(0,)`` if there is none."""
    size = max(1, _AT_ONCE // max(1, rows.shape[1]))
    for start in range(0, len(rows), size):
        if len(found := which(rows[start : start + size]).any(1).nonzero().flatten()):
            return found[:1] + start
    return torch.empty(0, dtype=torch.long, device=rows.device)


def _is_grey(x: Tensor) -> Tensor:
    return (x != 0) & (x != 1)


def _is_outside(x: Tensor) -> Tensor:
    return ~((x >= 0) & (x <= 1))  # NaN too


def as_tensor(name: str, value: object) -> str:
    """How a value of that name becomes a tensor, in Python: floats are made float32, which models compute in."""
    if isinstance(value, Tensor):
        made = name
    else:
        made = f"torch.as_tensor({name}.to_numpy())" if hasattr(value, "to_numpy") else f"torch.as_tensor({name})"
    return made if name == "y" else f"{made}.float()"


def _name(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def binarized(x: Tensor, y: Tensor | None, binarization: Binarization, seed: int, first: int = 0) -> Dataset:
    """A data set under one of the protocols; figures are comparable only under the same one.

    Args:
        x: grey levels in [0, 1], ``(N, *event)``.
        y: labels, ``(N,)``, or None.
        binarization: ``dynamic`` draws x ~ Bernoulli(x) at every visit, ``static`` once (from ``seed``), ``threshold``
            takes x > ½, ``none`` takes x as it is; ``auto`` is the one that suits x, see :func:`suiting`.
        seed: for ``static``.
        first: number of row 0 in the whole data set.
    """
    if binarization == "auto":
        binarization = suiting(x)
    if binarization == "static":
        return Dataset(x, y, dynamic=True, first=first).fixed(seed)
    if binarization == "threshold":
        Dataset(x, dynamic=True).probe()  # refuses what is no probability
        x = (x > 0.5).to(x.dtype)
    return Dataset(x, y, dynamic=binarization == "dynamic", first=first)


def suiting(x: Tensor, layout: Layout = "plain") -> Binarization:
    """The protocol for observations of which nobody has said one: ``dynamic`` for grey levels, most of them near black
    or white, whose bits are still the picture; ``none`` for all else, bits among it."""
    return "dynamic" if kind_of(x, layout) == "grey levels" else "none"
