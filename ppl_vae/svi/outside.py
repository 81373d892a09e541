"""What programs read besides their arguments: attributes of modules and objects, closures, globals.

Pyro runs a program anew at each step and sees whatever has changed; a record has to be told. Numbers, texts and
switches are compared by value, tensors and modules by identity: what is in a tensor is read where it stands.
"""

import dis
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CellType, CodeType, FunctionType
from typing import Any

from torch import Tensor, nn

_SIMPLE = (bool, int, float, complex, str, type(None))
_MISSING = object()


class Outside:
    """The places outside their arguments that programs read, and what stands there.

    Args:
        programs: functions, methods, modules, other objects that can be called.
    """

    def __init__(self, programs: Iterable[Any]) -> None:
        places = list(_places(programs))
        simple = [(mapping, name) for mapping, name in places if isinstance(mapping.get(name), _SIMPLE)]
        self.simple = [(mapping.get, name) for mapping, name in simple]
        self.held: list[tuple[Callable[..., Any], Any, Any]] = [
            (mapping.get, name, value)
            for mapping, name in places
            if isinstance(value := mapping.get(name), Tensor | nn.Module | FunctionType)
        ]

    def values(self) -> tuple[Any, ...]:
        """The numbers, texts and switches as they are now."""
        return tuple([get(name, None) for get, name in self.simple])

    def is_same(self) -> bool:
        """Whether the same tensors, modules and functions stand where they stood."""
        return all([get(name, _MISSING) is value for get, name, value in self.held])


class _Cell(Mapping[str, Any]):
    """A variable of an enclosing function, as a mapping of one name."""

    def __init__(self, cell: CellType) -> None:
        self.cell = cell

    def __getitem__(self, name: str) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError as error:  # it is still empty
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter([""])

    def __len__(self) -> int:
        return 1


def _places(programs: Iterable[Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    waiting, seen = list(programs), set()
    while waiting:
        program = waiting.pop()
        if id(program) in seen:
            continue
        seen.add(id(program))
        found = list(_places_of(program))
        yield from found
        waiting += [value for mapping, name in found if _is_run(value := mapping.get(name))]
        if inspect.ismethod(program):
            waiting += [program.__self__, program.__func__]
        elif isinstance(program, functools.partial):
            waiting += [program.func, *program.args, *program.keywords.values()]


def _places_of(program: Any) -> Iterator[tuple[Mapping[str, Any], str]]:
    if isinstance(program, FunctionType):
        for cell in program.__closure__ or ():
            yield _Cell(cell), ""
        for name in _globals_read(program.__code__):
            if name in program.__globals__ and not _is_foreign(program.__globals__[name], program):
                yield program.__globals__, name
    elif isinstance(program, nn.Module):
        for mapping in (vars(program), program._parameters, program._buffers, program._modules):
            yield from [(mapping, name) for name in mapping]
    elif not isinstance(program, type) and hasattr(program, "__dict__"):
        yield from [(vars(program), name) for name in vars(program)]


def _globals_read(code: CodeType) -> set[str]:
    """Global names that a function reads, and those that functions inside it do."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    own = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    return own.union(*map(_globals_read, inner))


def _is_foreign(value: Any, program: FunctionType) -> bool:
    """Whether a function is of another file than the program; a library's own does not change."""
    return isinstance(value, FunctionType) and value.__globals__ is not program.__globals__


def _is_run(value: Any) -> bool:
    """Whether what stands in a place may be part of the program: modules, functions, handlers, but no library's."""
    if isinstance(value, FunctionType):
        return (value.__module__ or "").split(".")[0] not in ("torch", "pyro")
    return callable(value) and not isinstance(value, type | Tensor)
