"""README and docs do what they say: blocks run in their order, links lead somewhere, pictures come from the table.

By default trainings and estimates are made small by ``SMALLER``; the slow test runs them as they stand, with the
digits in MNIST's place.
"""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import COMMANDS, _parse, main
from ppl_vae.cli.sample import WHAT
from ppl_vae.reports import effort

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [page.name for page in PAGES]

# Flags that are added to a command: the last value of a flag counts.
SMALLER = {
    "train": "--epochs 2 --hidden 16 --batch-size 1294 --engine eager",
    "train --resume": "--epochs 3",
    "evaluate": "--limit 20 --num-samples 8 --engine eager --infer-steps 5",
    "evaluate --temperatures": "--limit 20 --num-samples 8 --engine eager --temperatures 3",
    "gaps": "--limit 3 --elbo-samples 4 --num-samples 4 --chains 2 --temperatures 3 --prior-temperatures 3 "
    "--infer-steps 5 --engine eager",
    "compare": "--guides amortized mean-field --seeds 1 --epochs 1 --hidden 16 --batch-size 1294 --limit 4 "
    "--num-samples 10 --infer-steps 5",
    "tune": "--trials 2 --epochs 1 --hidden 16 --batch-size 1294 --num-samples 5",
    "explore": "--num-images 5",
    "bench": "--sizes digits --contenders eager --repeats 1 --steps 1 --device cpu",
}
# What Python blocks say, and what is run in its place.
SMALLER_PYTHON = {
    "epochs=40, seeds=1": "epochs=1, seeds=1, limit=4, num_samples=10, workers=1",
    "epochs=40": "epochs=2",
    "trials=20": "trials=2, epochs=1",
    "num_samples=500": "num_samples=20",
    "infer_starts=2": "infer_starts=1, infer_steps=5",
    "chains=2)": 'chains=2, temperatures=3, prior_temperatures=3, engine="eager")',
}
# Needs MNIST and minutes: it is parsed, no more.
ONLY_PARSED = ("bench --only epoch", "bench --only first-epoch")

pytestmark = pytest.mark.skipif(not PAGES[0].exists(), reason="needs the checkout, not an installed wheel")


# --- Blocks -----------------------------------------------------------------------------------------------------------


def blocks(page):
    """The fenced blocks of a page, each with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(block):
    """The commands of a shell block, each as words."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def ideas(page):
    """The commands and pictures of a page's table of ideas."""
    found = re.findall(r"^\|.*\| `(ppl-vae .*?)` \| `(.*?)` \|$", page.read_text(), flags=re.MULTILINE)
    return [(shlex.split(command), picture) for command, picture in found]


def shown(page):
    """All commands of a page."""
    in_blocks = [words for language, block in blocks(page) if language == "sh" for words in commands(block)]
    return in_blocks + [words for words, _ in ideas(page)]


def recipe(target):
    """The words of a target's last command."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert found, f"the Makefile has no target '{target}'"
    return found[1].splitlines()[-1].replace("$(BIN)/", "").split()


def on_digits(words):
    """The same command on the data that is always there, and on the CPU."""
    changed = list(words)
    for place, word in enumerate(words[:-1]):
        if (word, words[place + 1]) == ("--data", "mnist"):
            changed[place + 1] = "digits"
    return ["cpu" if word == "cuda" else word for word in changed]


def run_shell(words, small):
    program, *rest = words
    if program == "make":
        made = recipe(rest[0])
        if rest == ["demo"]:
            run_shell(made, small)
        return
    assert program == "ppl-vae", f"{words}: neither ppl-vae nor make; give the block another language"
    line = " ".join(rest)
    if line.startswith(ONLY_PARSED):
        _parse(rest)
        return
    name = next((name for name in SMALLER if " " in name and set(name.split()) <= set(rest)), rest[0])
    arguments = on_digits(rest) + (SMALLER.get(name, "").split() if small else [])
    assert main(arguments) == 0, line


def run_page(page, small):
    for language, block in blocks(page):
        assert language in ("sh", "python", "text", "mermaid"), f"{page.name}: a block of language '{language}'"
        if language == "sh":
            for words in commands(block):
                run_shell(words, small)
        elif language == "python" and page.name != "README.md":  # those are test_readme's
            if small:
                for said, less in SMALLER_PYTHON.items():
                    block = block.replace(said, less)
            exec(compile(block, page.name, "exec"), {})


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what the pages take for granted, where blocks are run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    np.savez(tmp_path / "new.npz", x=np.zeros((3, 8, 8), dtype=np.uint8))
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_are_understood(page):
    for program, *rest in shown(page):
        if "--resume" in rest:  # of a run that is not there
            place = rest.index("--resume")
            del rest[place : place + 2]
        if program == "ppl-vae" and rest != ["sample"]:  # which lists what it draws
            _parse(rest)


# The others take most of a minute.
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page.name != "README.md")) for page in PAGES], ids=IDS
)
def test_blocks_run(page, workplace, in_this_process, monkeypatch):
    monkeypatch.setattr("ppl_vae.cli.train.effort_after_training", lambda *_: effort.FULL._replace(datapoints=5))
    monkeypatch.setattr("ppl_vae.reports.pictures._PICTURES", {})
    run_page(page, small=True)


@pytest.mark.slow
def test_every_idea_has_its_picture(workplace, in_this_process):
    page = ROOT / "docs" / "ideas.md"
    run_page(page, small=True)
    rows = ideas(page)
    assert len(rows) > 20
    for words, picture in rows:
        run_shell(words, small=True)
        assert (workplace / picture).is_file(), picture


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_blocks_run_in_full(page, workplace):
    run_page(page, small=False)


def test_every_command_is_in_the_how_to():
    how_to = [words[1:] for words in shown(ROOT / "docs" / "how-to.md")]
    assert {words[0] for words in how_to} == set(COMMANDS)
    assert {words[2] for words in how_to if words[0] == "sample"} == set(WHAT)


# --- Links ------------------------------------------------------------------------------------------------------------


def anchors(page):
    """What the headings of a page are called in links, as GitHub does it."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        file = (page.parent / target) if target else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_every_page_is_linked():
    linked = {link for page in PAGES for link in re.findall(r"\]\(([^)#]+\.md)", page.read_text())}
    assert {page.name for page in PAGES[1:]} <= {Path(link).name for link in linked}


# --- Pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "pictures" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_those_of_the_table_and_all_are_shown(table):
    there = {path.name for path in (ROOT / "docs" / "pictures").iterdir() if path.suffix in table.LARGEST}
    links = {link for page in PAGES for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())}
    assert there == {Path(link).name for link in links} == set(table.PICTURES)


def test_pictures_are_not_too_large(table):
    for name in table.PICTURES:
        path = ROOT / "docs" / "pictures" / name
        assert path.stat().st_size <= table.LARGEST[path.suffix], name


def test_pictures_are_made_by_commands_that_the_pages_show(table):
    commands = [recipe("demo"), *(words for page in PAGES for words in shown(page))]
    used = {run for picture in table.PICTURES.values() for run in table.runs_of(picture)}
    assert used == set(table.TRAININGS)
    for command in [*table.TRAININGS.values(), *filter(None, (each.command for each in table.PICTURES.values()))]:
        assert command.split() in commands, command


def test_a_picture_is_made_and_what_is_trained_is_used_again(table, tmp_path, monkeypatch, capsys):
    """Alone, by name, from a clean folder; a run trained by another command is trained anew."""
    monkeypatch.chdir(tmp_path)  # main changes it
    monkeypatch.setattr("ppl_vae.cli.train.effort_after_training", lambda *_: effort.FULL._replace(datapoints=5))
    monkeypatch.setattr("ppl_vae.reports.pictures._PICTURES", {})
    monkeypatch.setattr(table, "WORK_FOLDER", tmp_path / "work")
    monkeypatch.setattr(table, "PICTURES_FOLDER", tmp_path)
    command = "ppl-vae train --epochs 1 --hidden 16 --latent-dim 2 --out runs/small"
    monkeypatch.setattr(table, "TRAININGS", {"runs/small": command})
    prior = table.Picture("prior.png", "ppl-vae sample runs/small prior --num-samples 4 --out prior.npz")
    monkeypatch.setattr(table, "PICTURES", {"few.png": prior, "other.png": prior})
    with pytest.raises(SystemExit):
        table.main(["none.png"])
    assert "no picture none.png" in capsys.readouterr().err

    table.main(["few.png", "--data-root", "data"])
    assert (tmp_path / "few.png").stat().st_size > 1000
    assert not (tmp_path / "other.png").exists()
    first = capsys.readouterr().out
    assert "is there already" not in first
    table.main(["few.png"])
    assert "runs/small is there already" in capsys.readouterr().out
    monkeypatch.setattr(table, "TRAININGS", {"runs/small": command + " --seed 1"})
    table.main(["few.png"])
    assert "is there already" not in capsys.readouterr().out
