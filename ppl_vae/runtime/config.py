"""Checked configurations: one dataclass is the Python API's settings, the command line's flags and the run's record.

Ranges stand in the field types (``Count``, ``Annotated[int, Field(ge=2, le=1000)]``) and nowhere else. Every number has
an upper end too: 10⁴⁰⁰ is refused by name here, where it would be a traceback deep in torch.
"""

import re
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar, cast, dataclass_transform, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ppl_vae.runtime.errors import UserError, nearest, unknown_name

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

# What torch, NumPy and every generator take.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# How many of something that can be many: draws, datapoints, steps.
Count = Annotated[int, Field(gt=0, lt=2**31)]
CountOrZero = Annotated[int, Field(ge=0, lt=2**31)]
# How many of something of which each is an object, a process or a file: seeds, workers, layers of a loop.
Few = Annotated[int, Field(gt=0, le=10_000)]
# Width of a layer, size of a latent: the product of three, in bytes, still has a place in 64 bits.
Size = Annotated[int, Field(gt=0, le=2**16)]
# Step sizes and the like: what float32 holds. Training that goes wild far below that end says so itself.
Rate = Annotated[float, Field(gt=0, le=1e30)]


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # making one takes milliseconds


@dataclass_transform(frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that :func:`checked` holds to its types, with no extra keys and no NaN.

    A standard dataclass rather than pydantic's own: the command line is parsed first and judged afterwards, so that
    each error can be put in one line. A field of a name that there is not is such an error already where it is made.
    """
    cls.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)  # type: ignore[attr-defined]
    made = dataclass(frozen=True)(cls)
    known, begun = [each.name for each in fields(made)], made.__init__  # type: ignore[arg-type]

    @wraps(begun)
    def begin(self: Any, *values: Any, **named: Any) -> None:
        if unknown := [name for name in named if name not in known]:
            raise unknown_name("setting", unknown[0], known)
        begun(self, *values, **named)

    made.__init__ = begin  # type: ignore[method-assign]
    return made


def to_plain(config: object) -> dict[str, Any]:
    """The configuration as dictionaries, lists, strings and numbers, ready for YAML."""
    plain = _adapter(type(config)).dump_python(config, mode="json")
    assert isinstance(plain, dict)
    return plain


def from_plain(kind: type[T], plain: object) -> T:
    """The inverse of :func:`to_plain`.

    Raises:
        UserError: a field is missing, unknown, of the wrong type or out of range; the message names it.
    """
    try:
        return cast(T, _adapter(kind).validate_python(plain))
    except ValidationError as error:
        raise _in_words(error) from None


def _in_words(error: ValidationError, name: str = "") -> UserError:
    """What is wrong first, of the setting of that name or the one that the error names."""
    first = error.errors()[0]
    # A union (``int | None``) adds the name of the branch to the location; the field is what the user typed.
    fields = [str(part) for part in first["loc"] if str(part).isidentifier() and str(part) not in _BRANCHES]
    name = name or (fields[-1] if fields else "")
    problem = first["msg"].replace("Input should", "must").replace("Value error, ", "")
    if first["type"] == "unexpected_keyword_argument":
        return UserError(f"there is no setting `{name}`; take it out, or see how it is spelt.")
    choices = re.findall("'([^']*)'", problem) if first["type"] == "literal_error" else []
    near = nearest(first["input"], choices) if isinstance(first["input"], str) else None
    hint = f"; did you mean '{near}'?" if near else "."
    return UserError(f"{f'`{name}`' if name else 'the configuration'}: {problem}, got {_shown(first['input'])}{hint}")


def in_range(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the numbers of a call are held to the ranges of the function's annotations, before all else, and given
    to it as Python's own: ``"0.9"`` as 0.9, ``5.0`` as 5 where it counts.

    Raises:
        UserError: one is of another type, or out of its range; the message names it.
    """
    ranged = {name: each.annotation for name, each in signature(function).parameters.items() if _has_range(each)}
    order = list(signature(function).parameters)

    @wraps(function)
    def held(*args: P.args, **kwargs: P.kwargs) -> R:
        def own(name: str, value: Any) -> Any:
            if name not in ranged:
                return value
            try:
                return _adapter(ranged[name]).validate_python(pythons_own(value))
            except ValidationError as error:
                raise _in_words(error, name) from None

        given = [own(name, value) for name, value in zip(order, args, strict=False)]
        named = {name: own(name, value) for name, value in kwargs.items()}
        return function(*given, *args[len(order) :], **named)  # type: ignore[arg-type]

    return held


def _has_range(parameter: Parameter) -> bool:
    """Whether an annotation is ``Annotated``, or that or None."""
    return any(get_origin(each) is Annotated for each in (parameter.annotation, *get_args(parameter.annotation)))


def changed(config: T, named: Mapping[str, object]) -> T:
    """The same configuration with these fields changed, at whatever depth each stands, as the flags of a command.

    Args:
        config: what to change.
        named: values by name of a field; ``learning_rate`` is that of a fit's optimizer.

    Raises:
        UserError: no field has that name.
    """
    for name in named:
        if name not in (known := field_names(config)):
            raise unknown_name("setting", name, known)
    return cast(T, _changed(config, named)) if named else config


def field_names(config: Any) -> list[str]:
    """The names of a configuration's fields, at any depth, as flags have them."""
    return [name for name, _ in _named_in(config)]


def refuse_unread(config: object, unread: Iterable[str], readers: str, named: Iterable[str] = ()) -> None:
    """See that nothing was set that nothing reads.

    Args:
        config: the settings; what is not as it is by default was set.
        unread: names of those, at any depth, that nothing reads.
        readers: what would read them, in words.
        named: names of what was set, whatever its value.

    Raises:
        UserError: something was.
    """
    values, usual = dict(_named_in(config)), dict(_named_in(type(config)()))
    for name in unread:
        if name in named or values[name] != usual[name]:
            raise UserError(f"`{name}`: nothing here reads it; what does: {readers}.")


def _named_in(config: Any) -> Iterator[tuple[str, object]]:
    """The fields of a configuration with their values, at any depth."""
    for each in fields(config):
        value = getattr(config, each.name)
        yield from _named_in(value) if is_dataclass(value) else [(each.name, value)]


def _changed(config: Any, named: Mapping[str, object]) -> Any:
    values = {}
    for each in fields(config):
        inner = getattr(config, each.name)
        values[each.name] = _changed(inner, named) if is_dataclass(inner) else named.get(each.name, inner)
    return replace(config, **values)


def _shown(value: object) -> str:
    """A value in a few words; of what is neither text, number nor collection, its type alone."""
    plain = value is None or isinstance(value, str | int | float | list | tuple | dict | Path)
    return " ".join(reprlib.repr(value).split()) if plain else f"a {type(value).__name__}"


_BRANCHES = {"int", "float", "str", "none", "path"}


def checked(config: T) -> T:
    """The same configuration, its types and ranges checked.

    Raises:
        UserError: as :func:`from_plain`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic warns of what from_plain is about to refuse
        plain = _adapter(type(config)).dump_python(config)
    return from_plain(type(config), pythons_own(plain))


def pythons_own(value: Any) -> Any:
    """The same with Python's own numbers and strings in place of NumPy's and torch's scalars and torch's devices."""
    if isinstance(value, dict):
        return {key: pythons_own(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [pythons_own(inner) for inner in value]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return str(value) if type(value).__module__ == "torch" and type(value).__name__ == "device" else value
