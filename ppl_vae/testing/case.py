"""A pair to check, with what it is fed."""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from ppl_vae.programs.batch import Batch

Pair = tuple[nn.Module, nn.Module]
"""A model and a guide."""


class Case(NamedTuple):
    """A pair to check.

    Args:
        name: for the messages.
        make: a new pair, initialised from torch's generator.
        x: observations that the model accepts, ``(N, *event)`` with N ≥ 4, float32, no two of them alike.
        y: their labels ``(N,)``, or None.
    """

    name: str
    make: Callable[[], Pair]
    x: Tensor
    y: Tensor | None = None

    def pair(self, seed: int = 0) -> Pair:
        """A new pair in evaluation mode, the same one for the same seed."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, guide = self.make()
            return model.eval(), guide.eval()

    def batch(self, rows: Tensor | None = None) -> Batch:
        """Some rows of the data, by default all of them in order."""
        index = torch.arange(len(self.x)) if rows is None else rows
        return Batch(self.x[index], None if self.y is None else self.y[index], index)

    def double(self) -> Self:
        """The same in float64, where rounding is out of the way."""

        def make() -> Pair:
            model, guide = self.make()
            return model.double(), guide.double()

        return self._replace(make=make, x=self.x.double())


def require(holds: bool | Tensor, otherwise: str) -> None:
    """Raise AssertionError in words: these checks run under ``python -O`` and outside pytest, too."""
    if not holds:
        raise AssertionError(otherwise)


def differs(a: Tensor, b: Tensor) -> bool:
    """Whether they differ by more than rounding."""
    return not torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def require_close(found: Tensor, expected: Tensor, otherwise: str) -> None:
    """Raise AssertionError where float64's rounding does not explain the difference."""
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10, msg=lambda text: f"{otherwise}: {text}")
