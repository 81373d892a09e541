"""The pages of the reference: one for each room of the package, made from what is there, so that none is forgotten."""

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import ppl_vae

PACKAGE = Path(ppl_vae.__file__).parent
LEFT_OUT = ("bench", "cli")  # benchmarks, and what parses commands, whose reference is --help
_INTRODUCTION = """
# Reference

What `import ppl_vae as pv` offers; each name leads to where it is described. Below are all rooms of the package.

Numbers are in nats per datapoint unless it is said otherwise. Shapes stand as `(batch, *event)`: a `*` is any number of
dimensions, `...` are dimensions in front.

"""


def rooms() -> list[str]:
    """The rooms that have a page."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name not in LEFT_OUT)


def modules(room: str) -> list[str]:
    """Dotted names of a room's modules, itself the first."""
    folder = (PACKAGE / room).resolve()  # models and guides are links
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.py"))
    names = {".".join(["ppl_vae", room, *path.with_suffix("").parts]).removesuffix(".__init__") for path in files}
    return sorted(names, key=lambda name: (name.count(".") > 1, name))


@cache
def offered(room: str) -> dict[str, str]:
    """The names that a room's ``__all__`` offers, or the package's where the room is "", each with its dotted home."""
    module = importlib.import_module(f"ppl_vae.{room}" if room else "ppl_vae")
    return {name: _home(getattr(module, name), name, module.__name__) for name in getattr(module, "__all__", ())}


def _home(value: object, name: str, room: str) -> str:
    if str(getattr(value, "__module__", "")).startswith("ppl_vae") and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    tree = ast.parse(Path(str(importlib.import_module(room).__file__)).read_text())  # constants and types know no home
    found = [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]
    ]
    return f"{found[0] if found else room}.{name}"


def pages() -> dict[str, str]:
    """Markdown by file name: ``index.md``, and a page for each room."""
    described = [f"- {{doc}}`{room}`: {_first_line(importlib.import_module(f'ppl_vae.{room}'))}" for room in rooms()]
    listed = "\n".join([*described, "", "```{toctree}", ":hidden:", "", *rooms(), "```", ""])
    return {"index.md": _INTRODUCTION + _links("") + "\n\n## Rooms\n\n" + listed} | {
        f"{room}.md": _page(room) for room in rooms()
    }


def _links(room: str) -> str:
    module = importlib.import_module(f"ppl_vae.{room}" if room else "ppl_vae")
    lines = [f"- {{py:obj}}`{name} <{home}>`" for name, home in offered(room).items()]
    told = [_first_line(getattr(module, name)) for name in offered(room)]
    return "\n".join(f"{line}: {words}" if words else line for line, words in zip(lines, told, strict=True))


def _first_line(value: object) -> str:
    """Of what describes it; a constant's is that of its type, and no word of ours."""
    text = inspect.getdoc(value) if hasattr(value, "__name__") else ""
    line = (text or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", line).replace("*", r"\*").replace("|", r"\|")


def _page(room: str) -> str:
    names = _links(room)
    own = [name for name, home in offered(room).items() if home == f"ppl_vae.{room}.{name}"]
    members = f":members: {', '.join(own)}" if own else ":no-members:"
    parts = [f"# {room}", f"```{{eval-rst}}\n.. automodule:: ppl_vae.{room}\n   {members}\n```"]
    parts += [f"It offers:\n\n{names}"] if names else []
    for module in modules(room)[1:]:
        parts += [
            f"## {module.removeprefix(f'ppl_vae.{room}.')}",
            f"```{{eval-rst}}\n.. automodule:: {module}\n   :ignore-module-all:\n```",
        ]
    return "\n\n".join(parts) + "\n"
