"""What docstrings, comments and pages name is there: functions, classes and modules by their path, files by theirs."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_house import FLOOR_OF, PACKAGE, ROOT, in_checkout

_ROLE = re.compile(r":(?:func|class|meth|attr|data|mod|exc):`([\w.]+)`")
_DOTTED = re.compile(r"`(ppl_vae(?:\.\w+)+)")
_FILE = re.compile(r"`((?:[\w.-]+/)*\w+\.(?:py|js)|(?:[\w.-]+/)+\w+\.md)`")
_OF_USERS = {"path/to/file.py", "mine.py"}


def resolves(name: str, module: ModuleType | None = None) -> bool:
    """Whether a dotted name is one from the top, or of the module that it stands in or of a class there."""
    parts = name.split(".")
    inside = [module, *(each for each in vars(module).values() if inspect.isclass(each))] if module else []
    if any(_has(each, parts) for each in inside):
        return True
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        return _has(found, parts[count:])
    return False


def _has(found: object, parts: list[str]) -> bool:
    for part in parts:
        fields = {name for kind in getattr(found, "__mro__", ()) for name in getattr(kind, "__annotations__", {})}
        if not hasattr(found, part):
            return part in fields
        found = getattr(found, part)
    return True


def stale_in(text: str, folder: Path, name: str | None = None) -> list[str]:
    """What a text names that is not there.

    Args:
        text: a page, or the source of a module.
        folder: where it stands.
        name: of the module.
    """
    roles = {role for role in _ROLE.findall(text) if not resolves(role)}
    if roles and name:
        module = importlib.import_module(name)
        roles = {role for role in roles if not resolves(role, module)}
    files = {each for each in _FILE.findall(text) if "NAME" not in each and each not in _OF_USERS}
    return [
        *sorted(roles),
        *sorted({each for each in _DOTTED.findall(text) if not resolves(each)}),
        *sorted(each for each in files if not any((place / each).exists() for place in (folder, PACKAGE, ROOT))),
    ]


@in_checkout
@pytest.mark.parametrize("room", sorted(FLOOR_OF))
def test_docstrings_and_comments_name_what_is_there(room: str) -> None:
    found = {}
    for path in sorted((PACKAGE / room).glob("**/*.py")):
        name = ".".join(["ppl_vae", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        if stale := stale_in(path.read_text(), path.parent, name):
            found[str(path.relative_to(PACKAGE))] = stale
    assert found == {}


@in_checkout
def test_pages_name_what_is_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    assert len(pages) >= 6
    found = {page.name: stale for page in pages if (stale := stale_in(page.read_text(), page.parent))}
    assert found == {}


@pytest.mark.parametrize(
    ("planted", "is_stale"),
    [
        (":class:`ppl_vae.guides.Latents`", True),
        (":class:`ppl_vae.programs.latents.Latents`", False),
        (":meth:`ppl_vae.guides.Guide.paramz`", True),
        (":func:`nothing_here`", True),
        (":func:`resolves`", False),
        ("``ppl_vae.nets.Decoder``", True),
        ("`ppl_vae.compiled(svi)`", False),
        ("``ppl_vae/nets.py``", True),
        ("``guides/base.py``, `config.yaml` and `path/to/file.py`", False),
    ],
)
def test_a_planted_name_of_nothing_is_found(planted: str, is_stale: bool) -> None:
    assert bool(stale_in(planted, PACKAGE, __name__)) == is_stale
