"""Settings of the site: README, the pages and notebooks of docs, and the reference, read from the docstrings.

Its source is the whole checkout, so that the links between pages hold here as they do in the repository.
"""

import ast
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import parser

import ppl_vae

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import as_rst
from reference import offered, pages
from signatures import signatures

project, author, release = "ppl_vae", "the ppl_vae authors", ppl_vae.__version__
copyright = author  # Sphinx's name
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md", "docs/**"]
exclude_patterns = ["docs/pictures/**"]

html_theme = "furo"
html_title = f"ppl_vae {release}"
html_additional_pages = {"index": "home.html"}  # the address without a page leads to the README
html_static_path, html_css_files = ["static"], ["site.css"]
templates_path = ["templates"]

myst_heading_anchors = 4
myst_links_external_new_tab = False
nb_execution_mode = "force"
nb_execution_timeout = -1  # a loaded machine takes as long as it takes
nb_execution_in_temp = True  # what notebooks write is gone with it
nb_execution_raise_on_error = True

toc_object_entries_show_parents = "hide"
default_role = "code"  # settings stand in single backticks
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
napoleon_custom_sections = ["Source"]
suppress_warnings = ["ref.python"]  # a word of a type, such as Networks, that two rooms have
parser.ast_unparse = lambda node, *_: node and ast.unparse(node)  # Sphinx's own stumbles over f"{...}" in a type
# "What: more of it" is a sentence of ours, and no type.
GoogleDocstring._consume_inline_attribute = lambda self: ("", self._dedent(self._consume_to_end()))
GoogleDocstring._consume_returns_section = lambda self, preprocess_types=False: [
    ("", "", self._dedent(self._consume_to_next_section()))
]

_PAGES = ["docs/tutorial", "docs/ideas", "docs/how-to", "docs/python", "docs/compiled", "docs/glossary"]
_TREES = {
    "Pages": _PAGES,
    "Reference": ["docs/site/reference/index"],
    "Project": ["CHANGELOG", "CONTRIBUTING", "benchmarks/RESULTS"],
}


def _write_reference(app: Sphinx) -> None:
    """The pages of the reference, which git ignores."""
    folder = app.srcdir / "docs/site/reference"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)


def _with_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """The README is the home page; there the list of all others is added."""
    if name == root_doc:
        notebooks = sorted(f"docs/notebooks/{path.stem}" for path in (app.srcdir / "docs/notebooks").glob("*.ipynb"))
        trees = {"Pages": _TREES["Pages"], "Notebooks": notebooks, **_TREES}
        source[0] += "".join(
            f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
            for caption, pages in trees.items()
            if pages
        )


def _at_home(app: Sphinx, env: BuildEnvironment, node: Any, content: nodes.Element) -> nodes.Element | None:
    """A name that a room offers leads to where it is described."""
    room, _, name = node.get("reftarget", "").rpartition(".")
    if node.get("refdomain") != "py" or not re.fullmatch(r"ppl_vae(\.\w+)?", room):
        return None
    home = offered(room.partition(".")[2]).get(name)
    found = home and env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)
    return found or None


def _short_types(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Types without what holds their range: ``Annotated[int, ...]`` is int."""
    for annotation in list(content.parent.findall(addnodes.desc_annotation)):
        if found := re.match(r": Annotated\[([\w.]+)", annotation.astext()):
            annotation.clear()
            annotation += nodes.Text(f": {found[1]}")


def _docstring(app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst([*lines, *(_fields(value) if isinstance(value, type) else [])])


def _fields(kind: type) -> list[str]:
    """What stands in the type of a setting, ``Annotated[T, Doc("what it is")]``."""
    hints = vars(kind).get("__annotations__", {}) if dataclasses.is_dataclass(kind) else {}
    told = {
        name: words
        for name, hint in hints.items()
        for each in getattr(hint, "__metadata__", ())
        if (words := getattr(each, "documentation", ""))
    }
    return ["", "Attributes:", *(f"    {name}: {words}" for name, words in told.items())] if told else []


def _signature(
    app: Sphinx, kind: str, name: str, value: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or not module.__name__.startswith("ppl_vae"):
        return signature, returned
    return signatures(module.__name__, Path(str(module.__file__))).get(name, (signature, returned))


def _skipped(app: Sphinx, kind: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    """What scikit-learn and matplotlib add to classes, and fields of tuples, which their class describes."""
    made = str(getattr(value, "__module__", "")).startswith("matplotlib.")
    added = made or (name.startswith("set_") and name.endswith("_request"))
    return True if added or str(getattr(value, "__doc__", "")).startswith("Alias for field") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("builder-inited", _write_reference)
    app.connect("source-read", _with_contents)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before Args are read
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skipped)
    app.connect("missing-reference", _at_home)
    app.connect("object-description-transform", _short_types)
    return {"parallel_read_safe": True}
