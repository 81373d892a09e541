"""Settings by signature: the keyword-only parameters of what makes a part of a pair are its settings.

    class Student(Model):
        '''Linear, with noise of heavy tails.

        Args:
            dof: Degrees of freedom of the noise.
        '''

        def __init__(self, event_shape, latent_dim, *, dof: Annotated[float, Field(gt=0)] = 5.0): ...

has the setting ``dof``: type and range from the annotation (or the default's type), the default from the signature,
help and the report's words from the line under ``Args:``. Whatever the type, it has to be one that can be written on a
command line: numbers, words, yes or no, a choice of them, or several. A constructor of ``(*args, depth=2, **kwargs)``
hands on all else: it has the parameters of the class that its own is derived from, too. A name means one thing in a
pair: where two makers have a setting of the same name, the first in the order model, guide, family, likelihood, prior
says what it is.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import make_dataclass
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import ConfigDict

from ppl_vae.runtime.config import from_plain, pythons_own
from ppl_vae.runtime.errors import UserError

NOTHING: Any = inspect.Parameter.empty
"""The default of a setting that has to be given."""

GIVEN = {
    *("event_shape", "num_classes", "num_data", "x_mean", "x_std", "kinds", "blocks", "largest", "layout", "alphabet"),
    *("networks", "likelihood", "make_prior", "decoder", "prior", "model", "latents", "family", "sizes"),
}
"""What constructors are given by these names, whatever their parameters are; see :mod:`ppl_vae.registry.build`."""

_F = TypeVar("_F", bound=Callable[..., object])


class Setting(NamedTuple):
    """A setting.

    Args:
        name: of the parameter.
        kind: its type, with its range.
        default: ``NOTHING`` where it has to be given.
        words: what it is.
    """

    name: str
    kind: Any
    default: Any
    words: str


def parameters_of(maker: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a signature, by name."""
    for resolved in (True, False):  # of the annotations of a module that leaves them as text
        try:
            found = inspect.signature(maker, eval_str=resolved).parameters
        except NameError:
            continue
        except ValueError:  # a builtin's
            return {}
        return {**_handed_on(maker, found), **found}
    return {}


def _handed_on(maker: Callable[..., object], own: Mapping[str, inspect.Parameter]) -> Mapping[str, inspect.Parameter]:
    """The parameters of the class that it is derived from, if its constructor hands all of them on: where it takes
    ``*args`` and ``**kwargs``, and nothing else but settings of its own.
    """
    while isinstance(maker, partial):
        maker = maker.func
    kinds = {each.kind for each in own.values()}
    rest = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if not isinstance(maker, type) or not rest <= kinds <= {*rest, inspect.Parameter.KEYWORD_ONLY}:
        return {}
    lineage = iter(maker.__mro__)
    next(each for each in lineage if "__init__" in vars(each))
    return parameters_of(next(lineage, object))


def settings_of(maker: Callable[..., object]) -> dict[str, Setting]:
    """The settings of a maker, in the order of its signature."""
    return dict(_read_off(maker))


@cache  # a command looks at every maker again and again
def _read_off(maker: Callable[..., object]) -> dict[str, Setting]:
    words = described(maker)
    return {
        each.name: Setting(each.name, kind, each.default, words.get(each.name, ""))
        for each in parameters_of(maker).values()
        if each.kind is each.KEYWORD_ONLY and each.name not in GIVEN and (kind := _kind(each)) is not None
    }


def settings_from(owner: type) -> Callable[[_F], _F]:
    """Decorator of a function with ``**settings`` that makes an ``owner``: its settings are those of the class."""

    def decorated(function: _F) -> _F:
        plain = [each for each in parameters_of(function).values() if each.kind is not each.VAR_KEYWORD]
        own = [parameters_of(owner)[name] for name in settings_of(owner)]
        function.__signature__ = inspect.Signature([*plain, *own])  # type: ignore[attr-defined]
        function.__doc__ = owner.__doc__
        return function

    return decorated


def offered_by(makers: Iterable[Callable[..., object]]) -> dict[str, Setting]:
    """The settings of several makers; of one name the first, which takes from others what it leaves open."""
    found: dict[str, Setting] = {}
    for maker in makers:
        for name, setting in settings_of(maker).items():
            first = found.setdefault(name, setting)
            default = setting.default if first.default is NOTHING else first.default
            found[name] = first._replace(default=default, words=first.words or setting.words)
    return found


def typed(settings: Mapping[str, Setting], values: Mapping[str, object]) -> dict[str, Any]:
    """Values as they are recorded, as the types that these settings have; names that are none of theirs are left out.

    Raises:
        UserError: a value of another type, or out of its range.
    """
    mine = {name: value for name, value in values.items() if name in settings}
    kind = _record(_Kinds((name, settings[name].kind) for name in mine))
    made = from_plain(kind, mine)
    return {name: getattr(made, name) for name in mine}


def plain(value: object) -> Any:
    """A value of a setting as it is recorded: numbers, words and lists of them."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def is_switch(kind: Any) -> bool:
    """Whether the flag of a setting of this type takes no value: it is yes, and another one says no."""
    return getattr(kind, "__origin__", kind) is bool


def given(values: Mapping[str, object]) -> dict[str, Any]:
    """The settings that a caller in Python gives; a number of NumPy's or torch's is one of Python's.

    Raises:
        UserError: what can be no setting.
    """
    found = {name: pythons_own(value) for name, value in values.items()}
    for name, value in found.items():
        if not is_plain(value):
            raise UserError(
                f"`{name}`: a setting is a number, a word, yes or no, or several of them, not a "
                f"{type(value).__name__}; {_its_word(value)}what else a class takes, bind to it with functools.partial."
            )
    return found


def _its_word(value: object) -> str:
    """Advice for a class in place of a word, as ``activation=nn.Tanh``."""
    return f'where a setting is a word, give that, as "{value.__name__.lower()}"; ' if isinstance(value, type) else ""


def is_plain(value: object) -> bool:
    """Whether a value can be that of a setting."""
    if isinstance(value, list | tuple):
        return all(is_plain(each) for each in value)
    return value is None or isinstance(value, bool | int | float | str | Path)


def described(maker: Callable[..., object]) -> dict[str, str]:
    """What the docstrings, of a class those of its bases too, say under ``Args:``, by parameter, each on one line."""
    found: dict[str, str] = {}
    owners = maker.__mro__[::-1] if isinstance(maker, type) else ()
    constructors = (vars(each).get("__init__") for each in owners)
    for text in map(inspect.getdoc, (*owners, *constructors, maker)):
        section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\s*\n)*)", text or "", re.MULTILINE)
        lines = inspect.cleandoc(section[1] if section else "").splitlines()
        name = ""
        for line in lines:
            if head := re.match(r"\*{0,2}(\w+)(?: \([^)]*\))?: *(.*)", line):
                name, found[head[1]] = head[1], head[2]
            elif name:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return {name: words.replace("``", "") for name, words in found.items()}


def _kind(parameter: inspect.Parameter) -> Any:
    """The type of a setting; None of what is none: a type that no command line can give."""
    kind, default = parameter.annotation, parameter.default
    if kind is NOTHING or isinstance(kind, str):
        several = isinstance(default, list | tuple) and len(default)
        kind = tuple[type(default[0]), ...] if several else type(default)  # type: ignore[misc]
    return kind if _is_written(kind) else None


def _is_written(kind: Any) -> bool:
    parts = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return _is_written(parts[0])
        case origin if origin is Literal:
            return True
        case origin if origin in (Union, UnionType):
            return all(part is NoneType or _is_written(part) for part in parts)
        case origin if origin in (tuple, list, Sequence):
            return bool(parts) and all(part is ... or _is_written(part) for part in parts)
    return kind in (int, float, bool, str, Path)


class _Kinds(tuple[tuple[str, Any], ...]):
    """Names and types; two of them that read the same are the same. (Ranges have no hash of their own.)"""

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@cache
def _record(kinds: _Kinds) -> type[Any]:
    """A dataclass of these fields."""
    pydantics = {"__pydantic_config__": ConfigDict(extra="forbid", allow_inf_nan=False)}
    return make_dataclass("Settings", list(kinds), namespace=pydantics, frozen=True)


def missing(setting: Setting) -> UserError:
    """The error where a setting that has no default is not given."""
    return UserError(f"`{setting.name}` has no default, and this pair reads it; give it.")
