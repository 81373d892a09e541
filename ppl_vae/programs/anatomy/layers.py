"""The layers that a batch goes through in a guide and a model, in their order, with the sizes of what they make."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

from pyro.distributions import Delta
from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.pair import frozen, unwrapped
from ppl_vae.programs.program import trace_program
from ppl_vae.programs.rows import RowTable
from ppl_vae.programs.structure import graphical_model
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved

_LONGEST_PERIOD = 6  # layers of a block that is repeated
_FEWEST = 3  # times; twice the same is drawn twice


@dataclass(frozen=True)
class Box:
    """One thing on the way of a batch.

    Args:
        kind: a layer, a parameter of a distribution, a latent, or what is observed.
        words: what it is, such as "Linear + relu", "loc" or "z".
        size: of what it makes of one datapoint.
        takes: what a layer is given of one datapoint, where that is not what the box before it makes: an image laid
            flat, or with a label behind it.
    """

    kind: Literal["layer", "parameter", "latent", "observed"]
    words: str
    size: tuple[int, ...]
    takes: tuple[int, ...] | None = None


class Row(NamedTuple):
    """Boxes side by side."""

    boxes: tuple[Box, ...]


class Fold(NamedTuple):
    """Rows that follow each other so many times."""

    rows: tuple[Row, ...]
    times: int


@dataclass(frozen=True)
class Networks:
    """What a batch goes through, from the first to the last.

    Args:
        guide: from x to the latents.
        model: from the latents to x.
    """

    guide: tuple[Fold, ...]
    model: tuple[Fold, ...]


def networks(model: nn.Module, guide: nn.Module, batch: Batch) -> Networks:
    """Watch the guide and the model once each; they and random generators are left as they were.

    A layer is a module that runs no other module and returns tensors. Modules without parameters, such as
    nonlinearities, are written into the box of the layer before them.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: a few datapoints that both accept.

    Raises:
        UserError: one does not run on the batch, or nothing in either is a layer.
    """
    with frozen(model, guide), preserved(batch.x.device):
        found = Networks(_folded(_rows(guide, batch, model)), _folded(_rows(model, batch, None)))
    rows = [row for fold in (*found.guide, *found.model) for row in fold.rows]
    if not any(box.kind == "layer" for row in rows for box in row.boxes):
        raise UserError("neither model nor guide runs a module that is a layer")
    return found


def _rows(program: nn.Module, batch: Batch, other: nn.Module | None) -> list[Row]:
    given = [each for each in graphical_model(program, batch).variables if each.distribution is None]
    parts = {"x": batch.x, "y": batch.y, "c": batch.c}
    watch = _Watch(len(batch.x))
    start = [Box("observed", each.name, _size(value, len(batch.x)))
             for each in given if (value := parts[each.name]) is not None]  # fmt: skip
    if start:
        watch.rows.append(Row(tuple(start)))
    with _hooked(program, watch), watch, _counted(other, watch):
        trace_program(program, batch)
    return watch.rows


class _Watch(Messenger):
    """Writes down the layers and variables of a run in the order in which they come."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.num, self.rows = num, list[Row]()
        self.inside: list[int] = []  # calls of modules that run now; how many others each has called
        self.is_apart = False  # inside a run of the other program

    def enter(self) -> None:
        if self.inside:
            self.inside[-1] += 1
        self.inside.append(0)

    def leave(self, module: nn.Module, given: tuple[object, ...], made: object) -> None:
        others = self.inside.pop()
        tensor = made[0] if isinstance(made, tuple) and made else made
        if others or self.is_apart or not isinstance(tensor, Tensor):
            return
        size = _size(tensor, self.num)
        name = type(module).__name__.removeprefix("Pyro")
        last = self.rows[-1].boxes[-1] if self.rows else None
        if next(module.parameters(), None) is None and last is not None and last.kind == "layer":
            self.rows[-1] = Row((replace(last, words=f"{last.words} + {name.lower()}", size=size),))
            return
        if isinstance(made, tuple) and len(size) == 2:  # of a recurrent layer, which returns its state too
            name, size = f"{name}, {size[0]:,} steps", size[1:]
        words = f"{len(module.weight):,} rows" if isinstance(module, RowTable) else f"{name}{_kernel(module)}"
        self.rows.append(Row((Box("layer", words, size, self._taken(given)),)))

    def _taken(self, given: tuple[object, ...]) -> tuple[int, ...] | None:
        """The size of a layer's input, if that of the box before it is another."""
        if not (given and self.rows and isinstance(given[0], Tensor) and given[0].is_floating_point()):
            return None
        size, before = _size(given[0], self.num), self.rows[-1].boxes
        return None if len(before) == 1 and _without_ones(before[0].size) == _without_ones(size) else size

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if self._is_watched(msg) and self._follows_layer() and not isinstance(unwrapped(msg["fn"]), Delta):
            heads = [Box("parameter", name, _size(value, self.num)) for name, value in _parameters(msg["fn"])]
            if heads:
                self.rows.append(Row(tuple(heads)))

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if not self._is_watched(msg) or msg["infer"].get("is_auxiliary"):
            return
        made_of = self.rows[-1].boxes[-1].kind if self.rows else ""
        if msg["is_observed"] and made_of not in ("layer", "parameter"):
            msg["fn"].log_prob(msg["value"])  # networks of some likelihoods run in their densities, step by step
        kind: Literal["latent", "observed"] = "observed" if msg["is_observed"] else "latent"
        box = Box(kind, msg["name"], _size(msg["value"], self.num))
        if self.rows and all(each.kind in ("latent", "observed") for each in self.rows[-1].boxes):
            # Nothing lies between the two: the one is not made of the other by a network.
            self.rows[-1] = Row((*self.rows[-1].boxes, box))
        else:
            self.rows.append(Row((box,)))

    def _is_watched(self, msg: dict[str, Any]) -> bool:
        return not self.is_apart and not site_is_subsample(cast(Any, msg)) and isinstance(msg["value"], Tensor | None)

    def _follows_layer(self) -> bool:
        return bool(self.rows) and self.rows[-1].boxes[-1].kind == "layer"


@contextmanager
def _hooked(program: nn.Module, watch: _Watch) -> Iterator[None]:
    """The modules inside the program tell of their calls."""
    hooks = []
    try:
        for module in program.modules():
            if module is not program:
                hooks.append(module.register_forward_pre_hook(lambda _, __: watch.enter()))
                hooks.append(module.register_forward_hook(lambda module, given, made: watch.leave(module, given, made)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _counted(other: nn.Module | None, watch: _Watch) -> Iterator[None]:
    """A run of the other program, as of the model in a guide that climbs its ELBO, is one box."""
    if other is None:
        yield
        return

    def enter(*_: object) -> None:
        watch.is_apart = True

    def leave(*_: object) -> None:
        watch.is_apart = False
        watch.rows.append(Row((Box("layer", "the model's gradient", ()),)))

    hooks = [other.register_forward_pre_hook(enter), other.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _kernel(module: nn.Module) -> str:
    """Of a convolution, in words."""
    kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", None)
    if not isinstance(kernel, tuple):
        return ""
    moves = f", stride {stride[0]}" if isinstance(stride, tuple) and set(stride) != {1} else ""
    return f" {' × '.join(map(str, kernel))}{moves}"


def _parameters(fn: Any) -> list[tuple[str, Tensor]]:
    """A distribution's own parameters, as it was given them."""
    inner = unwrapped(fn)
    names = getattr(inner, "arg_constraints", {})
    names = names if isinstance(names, dict) else {}
    given = [(name, value) for name in names if isinstance(value := vars(inner).get(name), Tensor)]
    shape = inner.batch_shape
    # One number for all datapoints, or for all pixels, is one for each.
    return [(name, value.expand(shape) if value.dim() < len(shape) else value) for name, value in given]


def _size(value: Tensor, num: int) -> tuple[int, ...]:
    """The shape for one datapoint, where datapoints come first."""
    shape = tuple(value.shape)
    return shape[1:] if shape and shape[0] == num else shape


def _without_ones(size: tuple[int, ...]) -> list[int]:
    """An image with one channel is what it is without."""
    return [number for number in size if number != 1]


def _folded(rows: Sequence[Row]) -> tuple[Fold, ...]:
    """Blocks that follow each other three times or more, once each."""
    found: list[Fold] = []
    place = 0
    while place < len(rows):
        period, times = max(
            ((period, _times(rows, place, period)) for period in range(1, _LONGEST_PERIOD + 1)),
            key=lambda each: (each[1] >= _FEWEST, each[0] * each[1] if each[1] >= _FEWEST else 0, -each[0]),
        )
        if times < _FEWEST:
            period, times = 1, 1
        found.append(Fold(tuple(rows[place : place + period]), times))
        place += period * times
    return tuple(found)


def _times(rows: Sequence[Row], place: int, period: int) -> int:
    def block(number: int) -> list[tuple[tuple[str, str, tuple[int, ...]], ...]]:
        """What is compared: not what a layer is given, which is another for the first of a block that repeats."""
        found = rows[place + number * period : place + (number + 1) * period]
        return [tuple((box.kind, box.words, box.size) for box in row.boxes) for row in found]

    times = 1
    while len(block(0)) == period and block(times) == block(0):
        times += 1
    return times
