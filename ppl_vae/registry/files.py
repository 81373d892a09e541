"""How what makes a part of a pair is found, by name or in a user's file, and called."""

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from ppl_vae.guides import Family, Guide
from ppl_vae.models.base import Model
from ppl_vae.models.likelihoods import Likelihood
from ppl_vae.models.priors import Prior
from ppl_vae.registry.factories import FAMILY_NAMES, TABLES, Factory
from ppl_vae.registry.settings import parameters_of
from ppl_vae.runtime.errors import UserError, is_out_of_memory, reason, unknown_name


def find(kind: str, name: str) -> Factory:
    """What makes the part of a pair of that name.

    Args:
        kind: model, guide, family, likelihood or prior.
        name: a key of the kind's table in :mod:`ppl_vae.registry.factories`, or ``path/to/file.py:Class``.

    Raises:
        UserError: unknown name, or a file that cannot be used.
    """
    table = TABLES[kind]
    if names_file(name):
        return _from_file(kind, name)
    if name in FAMILY_NAMES and kind == "guide":
        raise UserError(
            f"'{name}' is a family, not where q comes from; say `family` {name} (compare: amortized:{name})."
        )
    if name not in table:
        raise unknown_name(kind, name, [*table, "path/to/file.py:Class"])
    return table[name]


def names_file(name: str) -> bool:
    """Whether this names a user's file (and a class in it) rather than one of ours."""
    return name.partition(".py")[2].startswith(":") or name.endswith(".py")


def file_of(name: str) -> Path | None:
    """The user's file that a name of a part names; None of one of ours."""
    return Path(name.rpartition(":")[0]) if names_file(name) and ":" in name else None


def has_run(path: Path) -> bool:
    """Whether a user's file has been run in this process."""
    return _module_name(path) in sys.modules


@contextmanager
def users_errors_told() -> Iterator[None]:
    """Whatever arises in a user's file inside the block, or in what that calls, is told in one line with its place.

    Raises:
        UserError: from the error. A want of memory is nobody's fault and passes.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        lines = [
            f"{Path(frame.f_code.co_filename).name}:{line}"
            for frame, line in traceback.walk_tb(error.__traceback__)
            if str(frame.f_globals.get("__name__", "")).startswith(_PREFIX)
        ]
        if not lines or is_out_of_memory(error):
            raise
        raise UserError(f"{lines[-1]} failed ({reason(error)}); fix that program.") from error


def source_hash(path: Path) -> str:
    """SHA-256 of a user's file: as it was when it was run in this process, if it was."""
    ran = sys.modules.get(_module_name(path))
    return str(vars(ran)[_HASH]) if ran else hashlib.sha256(path.read_bytes()).hexdigest()


def construct(kind: str, name: str, factory: Factory, available: Mapping[str, Callable[[], object]]) -> nn.Module:
    """Call it with what it asks for.

    Args:
        kind: of the part, for the messages.
        name: what the user called it, for the messages.
        factory: from :func:`find`.
        available: what gives what a signature can ask for, by name; called, in its order, for what it does ask for.

    Raises:
        UserError: the signature asks for something else, or the call fails.
    """
    asked = parameters_of(factory).values()
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in asked:
        if parameter.name not in available and parameter.default is parameter.empty and parameter.kind not in rest:
            raise UserError(
                f"{kind} {name}: its constructor asks for '{parameter.name}', which is not available; "
                f"it can ask for {', '.join(sorted(available))}. "
                "(A setting stands after *, its type or default a number, a word or a choice.)"
            )
    arguments = {p.name: available[p.name]() for p in asked if p.name in available}
    try:
        made = factory(**arguments)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's own constructor raises
        raise UserError(f"{kind} {name} could not be made: {reason(error)}") from error
    if not isinstance(made, nn.Module):
        raise UserError(f"{kind} {name} is no module; derive it from {_base_of(kind)}.")
    if lacking := [each for each in _READ_OF.get(kind, ()) if not hasattr(made, each)]:
        raise UserError(f"{kind} {name} has no '{lacking[0]}'; derive it from {_base_of(kind)}, which says what it is.")
    return made


def _from_file(kind: str, name: str) -> Factory:
    """The class of ``path/to/file.py:Class``. The file is run, as any script that the user names."""
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    if not class_name or not file:
        raise UserError(f"{kind} {name}: name the class too, as path/to/file.py:Class.")
    if not path.is_file():
        raise UserError(f"{kind} {name}: there is no file '{path}'.")
    module = sys.modules.get(_module_name(path)) or _run(kind, name, path)
    classes = {key: value for key, value in vars(module).items() if isinstance(value, type)}
    if class_name not in classes:
        serving = [key for key, value in classes.items() if _could_be(kind, value)]
        if not serving:
            raise UserError(f"{kind} {name}: no class in '{path}' could be a {kind}; derive one from {_base_of(kind)}.")
        raise unknown_name(f"{kind} in {path}", class_name, serving)
    found: Factory = classes[class_name]
    return found


def _could_be(kind: str, found: type) -> bool:
    """Whether a class that a user's file has, or imports, could be what makes a part of this kind.

    A model or guide may be any module, so of those what another kind of part is, or asks for, is left out.
    """
    if not issubclass(found, nn.Module) or found.__module__.partition(".")[0] in ("torch", "pyro", "ppl_vae"):
        return False
    if kind in _BASES:
        return issubclass(found, _BASES[kind])
    others = (*_BASES.values(), Model if kind == "guide" else Guide)
    of_guides = {"model", "latents", "family"} if kind == "model" else set()
    return not issubclass(found, others) and of_guides.isdisjoint(parameters_of(found))


def _base_of(kind: str) -> str:
    at = {"family": "ppl_vae.guides", "likelihood": "ppl_vae.models.likelihoods", "prior": "ppl_vae.models.priors"}
    return f"{at[kind]}.{_BASES[kind].__name__}" if kind in at else "pyro.nn.PyroModule"


_BASES: dict[str, type[nn.Module]] = {"family": Family, "likelihood": Likelihood, "prior": Prior}
_READ_OF = {"family": ("latent_dim", "num_params"), "likelihood": ("start", "of")}  # but for its forward
_PREFIX = "ppl_vae_user_"  # of the names of modules that are made of users' files
_HASH = "__sha256__"  # of a module that was made of a user's file


def _module_name(path: Path) -> str:
    """One module a file, so that a model and a guide of the same file share their classes."""
    return f"{_PREFIX}{path.stem}_{abs(hash(path.resolve()))}"


def _run(kind: str, name: str, path: Path) -> ModuleType:
    """The module of a user's file. Made of its source: a compiled one beside it may be of other hands."""
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    if spec is None or spec.loader is None:
        raise UserError(f"{kind} {name}: '{path}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        source = path.read_bytes()
        vars(module)[_HASH] = hashlib.sha256(source).hexdigest()
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:  # whatever the file does
        del sys.modules[spec.name]
        raise UserError(f"{kind} {name}: '{path}' does not run: {reason(error)}") from error
    return module
