"""The site: every public name is in its reference and says what it is, and it builds without a warning."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="needs the checkout, not an installed wheel")


@pytest.fixture(scope="module")
def reference() -> Any:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "site" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public(reference: Any) -> dict[str, object]:
    """All public names by their dotted home."""
    found = {}
    for room in ("", *reference.rooms()):
        module = importlib.import_module(f"ppl_vae.{room}" if room else "ppl_vae")
        found |= {home: getattr(module, name) for name, home in reference.offered(room).items()}
    return found


def test_every_public_name_is_on_a_page(reference: Any) -> None:
    names, pages = public(reference), reference.pages()
    assert len(names) > 120
    assert {"evaluation.md", "models.md", "sklearn.md"} < set(pages)
    for home in names:
        module = home.rpartition(".")[0]
        assert f".. automodule:: {module}\n" in pages[f"{home.split('.')[1]}.md"], home
        assert f"<{home}>" in "".join(pages.values())
    assert all(room in pages["index.md"] for room in reference.rooms())


def test_every_public_name_says_what_it_is(reference: Any) -> None:
    """What it does, and each of its arguments; the checks for users' own pairs all take a case."""
    for home, value in public(reference).items():
        if inspect.isfunction(value) or inspect.isclass(value):
            text = inspect.getdoc(value) or ""
            assert text, home
        else:
            assert home.rpartition(".")[2] in described(home.rpartition(".")[0]), home
            continue
        if inspect.isfunction(value) and not home.startswith("ppl_vae.testing."):
            arguments = text.partition("Args:")[2]
            for name in inspect.signature(value).parameters:
                assert re.search(rf"\b{name}\b.*:", arguments), f"{home}: {name}"


def described(module: str) -> set[str]:
    """The constants of a module that a text stands under."""
    body = ast.parse(Path(str(importlib.import_module(module).__file__)).read_text()).body
    found = set()
    for node, below in pairwise(body):
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found |= {each.id for each in targets if isinstance(each, ast.Name)}
    return found


@pytest.mark.slow
def test_it_builds_without_a_warning_and_has_every_name(reference: Any, tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    pytest.importorskip("myst_nb")
    line = ["-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs/site", "-b", "html", ".", str(tmp_path)]
    built = subprocess.run([sys.executable, *line], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = {path.name: path.read_text() for path in (tmp_path / "docs" / "site" / "reference").glob("*.html")}
    missing = [home for home in public(reference) if f'id="{home}"' not in pages[f"{home.split('.')[1]}.html"]]
    assert missing == []
    assert (tmp_path / "index.html").exists()
    assert any((tmp_path / "_images").iterdir())
