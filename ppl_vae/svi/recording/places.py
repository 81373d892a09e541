"""The places outside their arguments that programs read: attributes, closures, globals, what lists and dicts hold.

Of a user's object or module those attributes count whose names stand in the code of the programs: a list of losses that
a training class keeps is none of them. Of a library's object that is called all count.
"""

import argparse
import builtins
import dis
import functools
import inspect
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyro
from torch import Tensor, nn

from ppl_vae.tracing.capture import NotTraceableError

# What is the same as long as it is equal. Others are as long as they are the same object.
SIMPLE = (bool, int, float, complex, str, bytes, frozenset, type(None), np.float64, np.float32, np.int64, np.bool_)
_MOST_PLACES = 5_000  # some 0.4 ms a step
_MOST_NUMBERS = 10_000  # of a NumPy array
# Of what ``nn.Module`` keeps for itself this matters to a step.
_OF_MODULES = {"training", "_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"}
_INTERNAL = vars(nn.Module()).keys() - _OF_MODULES
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})


class _Missing:
    """Stands for what is not there."""


MISSING = _Missing()


class Place(NamedTuple):
    """Somewhere that a program looks."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    rebuilt: bool = False
    """Whether a library may put another object of its own here at every call, as autoguides do with their plates."""


def places_of(programs: Iterable[Any]) -> tuple[list[Place], set[str]]:
    """All places that programs read, directly or through what they call, and the names that stand in their code.

    Raises:
        NotTraceableError: there are too many, or one holds what is too large to be compared at every step.
    """
    programs, names, known = list(programs), set[str](), -1
    while known < len(names):  # code that was found late may read what was passed by
        known, places, waiting, seen = len(names), list[Place](), list(programs), dict[int, Any]()
        while waiting:
            value = waiting.pop()
            if id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, FunctionType):
                names |= _names_in(value.__code__)
            for found in _looked_at(value, names):
                if isinstance(found, Place):
                    places.append(found)
                    found = found.read()
                if _is_followed(found):
                    waiting.append(found)
            if len(places) > _MOST_PLACES:
                raise NotTraceableError(f"its programs read more than {_MOST_PLACES} numbers and objects from outside")
    if "get_param_store" in names or any(place.read() is pyro.get_param_store() for place in places):
        places.append(Place(_names_in_store, _leave))
    return places, names


def _looked_at(value: Any, names: set[str]) -> Iterator[Any]:
    """The places that belong to a value, and what else of it is to be followed."""
    if isinstance(value, FunctionType):
        yield from map(_cell, value.__closure__ or ())
        for name in sorted(_globals_read(value.__code__) - vars(builtins).keys()):
            yield _entry(value.__globals__, name)
        yield _attribute(value, "__defaults__")
        yield value.__kwdefaults__
    elif inspect.ismethod(value):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, property):
        yield value.fget
    elif isinstance(value, staticmethod | classmethod):
        yield value.__func__
    elif isinstance(value, ModuleType):
        yield from [_entry(vars(value), name) for name in sorted(names & vars(value).keys())]
    elif isinstance(value, type):
        yield from _of_class(value, names)
    elif isinstance(value, tuple):
        yield from value
    elif isinstance(value, set):
        yield Place(functools.partial(frozenset, value), functools.partial(_refill, value))
    elif isinstance(value, np.ndarray):
        if value.size > _MOST_NUMBERS or value.dtype.hasobject:
            raise NotTraceableError("its programs read a large NumPy array, which may change unseen; make it a tensor")
        yield Place(value.tobytes, _leave)
    else:
        yield from _of_object(value, names)


def _of_object(value: Any, names: set[str]) -> Iterator[Any]:
    if isinstance(value, dict):
        yield _length(value)
        yield from [_entry(value, key) for key in value]
    elif isinstance(value, list | deque):
        yield _length(value)
        yield from [
            Place(functools.partial(_item, value, at), functools.partial(_put, value, at)) for at in range(len(value))
        ]
    own = not _is_library(type(value))
    if hasattr(value, "__dict__"):
        attributes = vars(value)
        yield _length(attributes)
        hidden = _INTERNAL if isinstance(value, nn.Module) else ()
        for name in attributes:
            if name not in hidden and (not own or name in names or name in _OF_MODULES or name.startswith("_pyro_")):
                yield _entry(attributes, name)._replace(rebuilt=not own)
    if own:
        yield from _of_class(type(value), names)
        slots = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())]
        yield from [_attribute(value, name) for name in slots if name in names]


def _of_class(kind: type, names: set[str]) -> Iterator[Place]:
    for each in kind.__mro__:
        if not _is_library(each):
            for name in sorted(vars(each).keys() & {*names, "forward", "__call__"}):
                read = functools.partial(vars(each).get, name, MISSING)
                yield Place(read, functools.partial(setattr, each, name))


def _is_followed(value: Any) -> bool:
    """Whether to look into what stands in a place; not into what libraries hold, which does not change."""
    if isinstance(value, Tensor | str | bytes | int | float | complex | frozenset | np.generic) or value is None:
        return False
    if isinstance(value, FunctionType | ModuleType | type):
        return not _is_library(value)
    if isinstance(value, dict | list | deque | tuple | set | np.ndarray | property | staticmethod | classmethod):
        return True
    return not _is_library(type(value)) or callable(value) or isinstance(value, _OPEN)


_OPEN = (argparse.Namespace, types.SimpleNamespace)  # a library's, but what is in them is the user's


def _is_library(value: Any) -> bool:
    name = value.__name__ if isinstance(value, ModuleType) else value.__module__
    return isinstance(name, str) and _is_of_library(name.split(".")[0])


@functools.cache
def _is_of_library(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package != "__main__" and (package in sys.stdlib_module_names or file.startswith(_LIBRARIES))


def _names_in(code: CodeType) -> set[str]:
    """Names that a function, and those inside it, may ask an object for."""
    texts = {const for const in code.co_consts if isinstance(const, str)}
    return texts.union(code.co_names, *map(_names_in, _inner(code)))


def _globals_read(code: CodeType) -> set[str]:
    own = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    return own.union(*map(_globals_read, _inner(code)))


def _inner(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _entry(mapping: dict[Any, Any], key: Any) -> Place:
    return Place(functools.partial(mapping.get, key, MISSING), functools.partial(_set, mapping, key))


def _set(mapping: dict[Any, Any], key: Any, value: Any) -> None:
    if value is MISSING:
        mapping.pop(key, None)
    else:
        mapping[key] = value


def _attribute(value: Any, name: str) -> Place:
    return Place(functools.partial(getattr, value, name, MISSING), functools.partial(setattr, value, name))


def _cell(cell: CellType) -> Place:
    return _attribute(_Cell(cell), "contents")


class _Cell:
    """A variable of an enclosing function."""

    def __init__(self, cell: CellType) -> None:
        self.cell = cell

    @property
    def contents(self) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return MISSING

    @contents.setter
    def contents(self, value: Any) -> None:
        self.cell.cell_contents = value


def _length(values: Any) -> Place:
    return Place(values.__len__, functools.partial(_shorten, values))


def _shorten(values: Any, length: int) -> None:
    while len(values) > length:
        (values.popitem if isinstance(values, dict) else values.pop)()


def _item(values: Any, at: int) -> Any:
    return values[at] if at < len(values) else MISSING


def _put(values: Any, at: int, value: Any) -> None:
    if at < len(values):
        values[at] = value


def _refill(values: set[Any], members: Iterable[Any]) -> None:
    values.clear()
    values.update(members)


def _leave(_: Any) -> None:
    """What was in an array is not kept, and the store is put back by who records."""


def _names_in_store() -> frozenset[str]:
    return frozenset(pyro.get_param_store()._params)
