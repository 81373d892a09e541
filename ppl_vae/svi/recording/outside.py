"""What programs read besides their arguments, as it was and as it is.

Pyro runs a program anew at each step and sees whatever has changed; a record has to be told. Numbers, texts and
switches are compared by value, everything else by identity: what is in a tensor is read where it stands.
"""

from collections.abc import Iterable
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from ppl_vae.svi.recording.places import MISSING, SIMPLE, Place, places_of

_KINDS = {*SIMPLE, type(MISSING)}
_TELLING = {"isinstance", "type", "is_tensor"}


class Outside:
    """The places outside their arguments that programs read, and what stands there.

    Args:
        programs: functions, methods, modules, other objects that can be called.

    Raises:
        NotTraceableError: there are too many to look at before every step.
    """

    def __init__(self, programs: Iterable[Any]) -> None:
        self.places, names = places_of(programs)
        self.tells_floats = not names.isdisjoint(_TELLING)
        """Whether the programs may ask what is a float and what is a tensor."""
        self.reads = [place.read for place in self.places]
        before = self.now()
        self.simple = [read for read, value in zip(self.reads, before, strict=True) if type(value) in _KINDS]
        self.held = [(each.read, value) for each, value in zip(self.places, before, strict=True) if _stays(each, value)]

    def now(self) -> list[Any]:
        """What stands in each place."""
        return [read() for read in self.reads]

    def values(self) -> tuple[Any, ...] | None:
        """The numbers, texts and switches as they are now; None if an object is not the one that stood in its place."""
        if not all([read() is value for read, value in self.held]):
            return None
        values = [read() for read in self.simple]
        kinds = [type(value) for value in values]  # 1 is no True
        return (*kinds, *values) if _KINDS.issuperset(kinds) else None

    def put_back(self, before: list[Any]) -> bool:
        """Let everything stand where it stood.

        Args:
            before: what :meth:`now` returned.

        Returns:
            whether it did.
        """
        moved = False
        for place, value, now in zip(self.places, before, self.now(), strict=True):
            if now is value or (type(now) is type(value) and type(value) in _KINDS and now == value):
                continue
            place.write(value)
            moved = moved or type(value) in _KINDS or _stays(place, value)
        return not moved


def _stays(place: Place, value: Any) -> bool:
    """Whether an object has to be the same at the next call."""
    if type(value) in _KINDS:
        return False
    if isinstance(value, Tensor):
        return value.grad_fn is None  # else a program has worked it out and left it behind, and none reads it again
    return not place.rebuilt or isinstance(value, nn.Module | FunctionType)
