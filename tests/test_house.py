"""The laws of the house that can be counted."""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import torch

import ppl_vae
from ppl_vae.baselines.bayes import Kind as BaselineKind
from ppl_vae.evaluation.named import ESTIMATORS
from ppl_vae.objectives.named import OBJECTIVES
from ppl_vae.registry.factories import TABLES

PACKAGE = Path(ppl_vae.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
in_checkout = pytest.mark.skipif(
    not (ROOT / "CONTRIBUTING.md").exists(), reason="needs the checkout, not an installed wheel"
)
FULLEST = 17  # files of a room
MOST_OF_CLI = 1_500  # lines of definitions
# The only rooms that know the names of models, guides and families: the registry, and the page that computes ours.
_KNOWING = {"registry/factories.py", "registry/files.py", "explorer/exploring.py", "explorer/networks.py"}


@cache
def _sources() -> list[tuple[str, ast.Module]]:
    # A glob follows no link on its way.
    linked = [path for room in ("models", "guides") for path in (PACKAGE / room).glob("**/*.py")]
    paths = sorted({*PACKAGE.glob("**/*.py"), *linked})
    return [(str(path.relative_to(PACKAGE)), ast.parse(path.read_text())) for path in paths]


def _own_classes() -> set[str]:
    """The classes of models, guides and families, likelihoods and priors."""
    return {
        node.name
        for name, tree in _sources()
        if name.startswith(("models/", "guides/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


OURS = _own_classes()


def type_tests(tree: ast.AST) -> list[int]:
    """The lines that ask whether something is a class of ours, by type or by the type's name.

    A likelihood may have the name of a distribution; it is meant where it is imported.
    """
    classes = (OURS - set(torch.distributions.__all__)) | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("ppl_vae.models", "ppl_vae.guides"))
        for alias in node.names
        if alias.name in OURS
    }
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                asked = _names(kinds)
            case ast.Compare(left=left, comparators=others) if any(map(_is_type, (left, *others))):
                asked = _names(node) | {text.value for text in ast.walk(node) if isinstance(text, ast.Constant)}
            case ast.MatchClass(cls=kind):
                asked = _names(kind)
            case _:
                continue
        if asked & classes:
            found.append(node.lineno)
    return found


def _is_type(node: ast.expr) -> bool:
    """``type(x)``, ``x.__class__``, ``type(x).__name__``."""
    match node:
        case ast.Call(func=ast.Name(id="type")) | ast.Attribute(attr="__class__" | "__name__" | "__qualname__"):
            return True
    return False


def _names(node: ast.AST) -> set[object]:
    names: set[object] = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return names | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


def test_nothing_asks_for_the_class_of_a_model_guide_or_family() -> None:
    """What a run may do is read off its programs, so that a user's own pair has every command that ours have."""
    assert {"VAE", "ConditionalVAE", "SequenceVAE", "Guide", "PerDatapoint", "Family", "Point", "VampPrior"} <= OURS
    found = {f"{name}:{line}" for name, tree in _sources() if name not in _KNOWING for line in type_tests(tree)}
    assert found == set()


@pytest.mark.parametrize(
    "planted",
    [
        "isinstance(model, VAE)",
        "isinstance(opened.pair.model, models.ConditionalVAE)",
        "isinstance(guide, Tensor | PerDatapoint)",
        "isinstance(guide, (Tensor, PerDatapoint))",
        "issubclass(kind, Family)",
        "type(model) is VAE",
        "type(model) in (VAE, LinearGaussian)",
        "model.__class__ == VAE",
        "type(family).__name__ == 'Point'",
        "type(family).__name__ in ('Point', 'Delta')",
        "from ppl_vae.models.likelihoods import Normal\nisinstance(likelihood, Normal)",
        "from ppl_vae.models import VAE as Usual\ntype(model) is Usual",
        "match guide:\n    case PerDatapoint():\n        pass",
    ],
)
def test_a_planted_type_test_is_found(planted: str) -> None:
    assert type_tests(ast.parse(planted)) == [2 if "\n" in planted else 1]


@pytest.mark.parametrize("innocent", ["isinstance(q, Normal)", "type(fn).__name__ == 'Delta'", "VAE(decoder, 2)"])
def test_others_are_not(innocent: str) -> None:
    assert type_tests(ast.parse(innocent)) == []


# Names of models, guides, families, likelihoods, priors and objectives; some stand for an estimator or a baseline too.
NAMED = (
    ({name for table in TABLES.values() for name in table} | OBJECTIVES.keys())
    - ESTIMATORS.keys()
    - set(get_args(BaselineKind))
)


def names_asked(tree: ast.AST) -> list[int]:
    """The lines that ask whether something has the name of a part of a pair, or look something up by it."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Compare() | ast.MatchValue():
                texts = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
            case ast.Subscript(value=value, slice=ast.Constant(value=text)) if _names(value) != {"Literal"}:
                texts = {text}
            case _:
                continue
        if texts & NAMED:
            found.append(node.lineno)
    return found


def test_nothing_asks_for_the_name_of_a_part_of_a_pair() -> None:
    found = {
        f"{name}:{line}"
        for name, tree in _sources()
        if name not in _KNOWING and not name.startswith("registry/")
        for line in names_asked(tree)
    }
    assert found == set()


@pytest.mark.parametrize(
    "planted",
    [
        "config.pair.family == 'point'",
        "pair.model in ('sequence', 'hierarchical')",
        "'diagonal' in families",
        "families['diagonal']",
        "fit.objective != 'dreg'",
        "match guide:\n    case 'per-datapoint':\n        pass",
    ],
)
def test_a_planted_question_for_a_name_is_found(planted: str) -> None:
    assert names_asked(ast.parse(planted)) == [2 if "\n" in planted else 1]


@pytest.mark.parametrize("innocent", ["kind == 'mixture'", "PairConfig(family='point')", "'elbo' in results"])
def test_other_names_are_not(innocent: str) -> None:
    assert names_asked(ast.parse(innocent)) == []


# --- Rooms and floors -------------------------------------------------------------------------------------------------

FLOORS = [
    {"runtime"},
    {"programs", "tracing"},
    {"figures"},
    {"data", "networks", "objectives"},
    {"models", "inference", "svi", "baselines", "estimates"},
    {"guides", "predictive"},
    {"evaluation"},
    {"diagnostics", "training", "registry", "testing", "bench"},
    {"runs", "explorer", "sklearn"},
    {"reports"},
    {"cli"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
_OF_THE_ROOT = {"__init__.py", "__main__.py"}
# What still imports upwards; a line may go, none may come.
LEFT: set[str] = set()


def upward_imports(room: str, tree: ast.AST) -> list[str]:
    """Rooms on its own floor or above that a module of this room imports, types apart."""
    typed = {id(each) for node in ast.walk(tree) if _is_type_checking(node) for each in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith("ppl_vae."):
                modules = [module]
            case ast.ImportFrom(module="ppl_vae", names=names):
                modules = [f"ppl_vae.{each.name}" for each in names]
            case ast.Import(names=names):
                modules = [each.name for each in names if each.name.startswith("ppl_vae.")]
            case _:
                continue
        for other in (module.split(".")[1] for module in modules):
            if other in FLOOR_OF and other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
                found.append(other)
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_rooms_import_downwards_only() -> None:
    found = {
        f"{name} -> {other}"
        for name, tree in _sources()
        if "/" in name
        for other in upward_imports(name.split("/")[0], tree)
    }
    assert found == LEFT


@pytest.mark.parametrize(
    "planted",
    [
        "from ppl_vae.runs.run import Run",
        "from ppl_vae import cli",
        "import ppl_vae.reports.page",
        "def f():\n    from ppl_vae.diagnostics import diagnose",
        "from ppl_vae.registry.build import Pair",
    ],
)
def test_a_planted_upward_import_is_found(planted: str) -> None:
    assert upward_imports("evaluation", ast.parse(planted))


def test_a_type_alone_may_come_from_above() -> None:
    typed = "if TYPE_CHECKING:\n    from ppl_vae.training.metrics import EpochMetrics"
    assert upward_imports("figures", ast.parse(typed)) == []


def test_every_module_is_in_a_room_and_every_room_on_a_floor() -> None:
    rooms = {name.split("/")[0] for name, _ in _sources() if "/" in name}
    assert rooms == set(FLOOR_OF)
    assert {name for name, _ in _sources() if "/" not in name} == _OF_THE_ROOT


@in_checkout
def test_the_map_in_contributing_is_that_of_the_floors() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where things are")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)/` \|", table, flags=re.MULTILINE)
    assert {room: int(floor) - 1 for floor, room in rows} == FLOOR_OF


def files_by_room() -> Counter[str]:
    return Counter(name.rpartition("/")[0] for name, _ in _sources() if not name.endswith("__init__.py"))


def over(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """What has more than that; the bench apart, where each contender and each measurement is a file."""
    return {name: count for name, count in counts.items() if count > most and name != "bench"}


def test_no_room_is_too_full_and_no_file_too_long() -> None:
    assert over(files_by_room(), FULLEST) == {}
    assert over({name: len((PACKAGE / name).read_text().splitlines()) for name, _ in _sources()}, 300) == {}


def test_a_planted_room_or_file_that_is_too_large_is_found() -> None:
    assert over({"figures": FULLEST, "models": FULLEST + 1}, FULLEST) == {"models": FULLEST + 1}
    assert over({"bench/a.py": 301, "cli/main.py": 300}, 300) == {"bench/a.py": 301}


def foreign_exports(room: str, tree: ast.AST) -> list[str]:
    """Names that a room offers though another room is their home."""
    offered = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id == "__all__" for each in node.targets)
        for name in ast.literal_eval(node.value)
    }
    return [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(f"ppl_vae.{room}.")
        for alias in node.names
        if (alias.asname or alias.name) in offered
    ]


def test_a_public_name_has_one_home() -> None:
    """The face of the package apart, which has names of all rooms for those who want one import."""
    rooms = [(name.split("/")[0], tree) for name, tree in _sources() if name.endswith("/__init__.py")]
    assert {f"{room}: {name}" for room, tree in rooms for name in foreign_exports(room, tree)} == set()


def test_a_planted_second_home_is_found() -> None:
    planted = "from ppl_vae.programs.latents import Latents\nfrom ppl_vae.guides.base import Guide\n"
    assert foreign_exports("guides", ast.parse(f"{planted}__all__ = ['Guide', 'Latents']")) == ["Latents"]


# --- The library does, the command line says --------------------------------------------------------------------------

# They build command lines, for messages and the report's "Do it again".
_WRITES_COMMANDS = {"runs/command_line.py", "reports/report.py", "runtime/processes.py"}
_SPEAKING = ("cli/", "bench/")
_DRAWING = ("figures/",)  # "--" is the style of a line


def flags_named(tree: ast.AST) -> list[int]:
    """The lines of texts, docstrings apart, that name or begin a flag; how a run is gone on with may be said."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if re.search(r"(?<![\w-])--([a-z]|$)", node.value.replace("ppl-vae train --resume", ""))
    ]


def test_below_the_command_line_no_message_names_a_flag() -> None:
    silent = (*_SPEAKING, *_DRAWING)
    below = [each for each in _sources() if not each[0].startswith(silent) and each[0] not in _WRITES_COMMANDS]
    assert {f"{name}:{line}" for name, tree in below for line in flags_named(tree)} == set()


@pytest.mark.parametrize("planted", ['f"raise --epochs of {x}"', 'f"--{name} is wrong"', '"no --seed"'])
def test_a_planted_flag_is_found(planted: str) -> None:
    assert flags_named(ast.parse(f"say({planted})")) == [1]


def test_below_the_command_line_nothing_prints() -> None:
    def prints(tree: ast.AST) -> bool:
        return any(
            isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print" for n in ast.walk(tree)
        )

    assert {name for name, tree in _sources() if not name.startswith(_SPEAKING) and prints(tree)} == set()
    assert prints(ast.parse("def f(): print(1)"))


def test_commands_are_short() -> None:
    """What parses them, and settles where they run, is longer; of all, the lines of definitions are counted."""
    helping = {"cli/main.py", "cli/surroundings.py", "cli/pair_flags.py"}
    files = [name for name, _ in _sources() if name.startswith("cli/")]
    lines = {name: len((PACKAGE / name).read_text().splitlines()) for name in files}
    assert {name: count for name, count in lines.items() if count > 120 and name not in helping} == {}
    assert lines_of_cli() <= MOST_OF_CLI


def lines_of_cli() -> int:
    return sum(defined_lines(tree) for name, tree in _sources() if name.startswith("cli/"))


def defined_lines(tree: ast.Module) -> int:
    """How many lines the classes and functions of a module have, decorators among them."""
    return sum(
        (node.end_lineno or 0) - min([node.lineno, *(each.lineno for each in node.decorator_list)]) + 1
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )


def test_lines_of_definitions_are_counted() -> None:
    assert defined_lines(ast.parse("import a\n\n@b\nclass C:\n    x = 1\n\ndef f(): pass\n")) == 4


# --- "To add one" -----------------------------------------------------------------------------------------------------


def recipes() -> dict[str, list[str]]:
    """The files that each row of the table in CONTRIBUTING.md names; NAME stands for what is added."""
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## To add one")[2].partition("\n## ")[0]
    rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| a"))
    return {what: re.findall(r"`([\w./-]+\.(?:py|md))`", " ".join(cells)) for what, *cells in rows}


@in_checkout
def test_recipes_name_files_that_are_there() -> None:
    assert len(recipes()) == 8
    for what, files in recipes().items():
        for name in files:
            new = name.replace("NAME.py", "__init__.py")
            assert (ROOT / new).is_file() or (PACKAGE / new).is_file(), f"{what}: {name}"


@in_checkout
def test_where_recipes_lead_there_is_a_place_for_one_more() -> None:
    """Where this fails, what was added has taken the last one: move what belongs elsewhere."""
    rooms = {file.rpartition("/")[0] for files in recipes().values() for file in files if file.endswith("NAME.py")}
    assert {"models", "guides", "objectives", "evaluation", "cli", "figures"} <= rooms
    full = {room for room in (*rooms, "reports") if files_by_room()[room] >= FULLEST}
    assert full == set()
    assert lines_of_cli() <= MOST_OF_CLI - 15  # a short command


# --- The pages --------------------------------------------------------------------------------------------------------


def python_blocks(page: str) -> list[ast.Module]:
    return [ast.parse(block) for block in re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)]


def imports_of(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def takes_the_command_line(tree: ast.Module) -> bool:
    modules = [alias.name for node in imports_of(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [str(node.module) for node in imports_of(tree) if isinstance(node, ast.ImportFrom)]
    return any(module.startswith("ppl_vae.cli") for module in modules)


@in_checkout
def test_no_page_sends_python_users_to_the_command_line() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    assert sum(len(python_blocks(page.read_text())) for page in pages) > 10
    found = {page.name for page in pages if any(map(takes_the_command_line, python_blocks(page.read_text())))}
    assert found == set()
    assert takes_the_command_line(ast.parse("from ppl_vae.cli.main import main"))


@in_checkout
def test_the_example_of_the_readme_has_few_imports() -> None:
    imports = imports_of(python_blocks((ROOT / "README.md").read_text())[0])
    assert 0 < len(imports) <= 3
    assert sum(len(node.names) for node in imports) <= 8
