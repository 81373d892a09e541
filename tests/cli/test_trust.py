"""Runs that name their model and guide by file: whose code they may run, and how that is remembered."""

import hashlib
import importlib.util
import py_compile
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ppl_vae.cli.main import main
from tests.cli.test_opening import OTHER, READING, TINY, images, some_of, words_of

MINE = Path(__file__).resolve().parents[2] / "examples" / "mine.py"
TELLTALE = '\nfrom pathlib import Path\n\nPath(__file__).with_name("ran").touch()\n'


def as_a_new_process():
    """What has run in this one is forgotten."""
    for name in [name for name in sys.modules if name.startswith("ppl_vae_user_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def handed_on(tmp_path_factory):
    """A folder with a run and the file of its pair, which leaves a ``ran`` beside itself."""
    folder = tmp_path_factory.mktemp("handed on")
    (folder / "mine.py").write_text(MINE.read_text() + TELLTALE)
    np.savez(folder / "mine.npz", x=images(60, 4), y=np.arange(60) % 3)
    pair = ["--model", f"{folder}/mine.py:Mine", "--guide", f"{folder}/mine.py:Guide"]
    words = ["train", *TINY, *pair, "--data", folder / "mine.npz", "--out", folder / "run"]
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def elsewhere(handed_on, tmp_path, monkeypatch):
    """Another user, who has run nothing yet."""
    as_a_new_process()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (handed_on / "ran").unlink(missing_ok=True)
    yield handed_on
    (handed_on / "mine.py").write_text(MINE.read_text() + TELLTALE)
    as_a_new_process()


ALL = {**READING, **OTHER}


@pytest.mark.parametrize("command", ALL)
def test_nothing_runs_without_consent(cli, elsewhere, tmp_path, command):
    run = shutil.copytree(elsewhere / "run", tmp_path / "run")
    file = elsewhere / "mine.py"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    line = (
        f"ppl-vae: {run} runs the code of '{file}' (SHA-256 {digest}), which you have not run before; read it, then "
        "add --trust.\n"
    )
    before = sorted(tmp_path.rglob("*"))
    words = words_of(ALL[command], run, tmp_path)
    assert cli(*words) == (2, "", line)
    assert not (elsewhere / "ran").exists()
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "new.npz"])


@pytest.mark.parametrize("command", some_of(sorted(set(ALL) - {"explore"}), "elbo", "infer", "prior"))
def test_with_consent_it_runs(cli, elsewhere, tmp_path, command):
    run = shutil.copytree(elsewhere / "run", tmp_path / "run")
    status, _, err = cli(*words_of(ALL[command], run, tmp_path), "--trust")
    assert status == 0, err
    assert (elsewhere / "ran").exists()


def test_asked_once(cli, elsewhere):
    words = ["evaluate", elsewhere / "run", "--limit", "4", "--no-diagnose"]
    assert cli(*words)[0] == 2
    assert cli(*words, "--trust")[0] == 0
    as_a_new_process()
    assert cli(*words)[::2] == (0, "")


def test_a_file_that_is_gone_is_named_with_its_hash(cli, elsewhere, tmp_path):
    run, file = shutil.copytree(elsewhere / "run", tmp_path / "run"), elsewhere / "mine.py"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    moved = Path(shutil.move(file, tmp_path / "moved.py"))
    status, out, err = cli("evaluate", run, "--trust")
    assert (status, out) == (2, "")
    assert err == (
        f"ppl-vae: {run} runs the code of '{file}' (SHA-256 {digest}), which is not there; put it back, or name in "
        f"{run / 'config.yaml'} where it is.\n"
    )
    record = run / "config.yaml"
    record.write_text(record.read_text().replace(str(file), str(moved)))
    assert cli("evaluate", run, "--trust")[0] == 0


def test_who_trains_is_not_asked(cli, elsewhere, tmp_path):
    pair = ["--model", f"{elsewhere}/mine.py:Mine", "--guide", f"{elsewhere}/mine.py:Guide"]
    assert cli("train", *TINY, *pair, "--data", elsewhere / "mine.npz", "--out", "mine")[0] == 0
    as_a_new_process()
    assert cli("evaluate", "mine", "--limit", "4")[::2] == (0, "")
    store = tmp_path / "state" / "ppl_vae" / "trusted"
    digest = hashlib.sha256((elsewhere / "mine.py").read_bytes()).hexdigest()
    assert store.read_text() == f"{digest}  '{elsewhere}/mine.py'\n"


def test_a_changed_file_is_told(cli, elsewhere):
    run, file = elsewhere / "run", elsewhere / "mine.py"
    words = ["evaluate", run, "--limit", "4", "--no-diagnose"]
    file.write_text(file.read_text() + "# changed\n")
    status, out, err = cli(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "which you have not run before, and it has changed since the run was trained; read it" in err
    told = f"warning: '{file}' has changed since {run} was trained with it.\n"
    assert cli(*words, "--trust")[::2] == (0, told)
    as_a_new_process()
    assert cli(*words)[::2] == (0, told)  # trusted, and still another than it was trained with


@pytest.mark.slow
def test_a_file_that_changes_while_it_trains_is_no_stranger(cli, elsewhere, tmp_path, monkeypatch):
    """What was read at the beginning runs to the end."""
    from ppl_vae.cli import train

    def edited(*arguments, **settings):
        (elsewhere / "mine.py").write_text("raise SystemExit")
        return train_run(*arguments, **settings)

    train_run = train.train_run
    monkeypatch.setattr(train, "train_run", edited)
    words = ["train", *TINY, "--model", f"{elsewhere}/mine.py:Mine", "--data", elsewhere / "mine.npz", "--out", "mine"]
    status, out, err = cli(*words)
    assert (status, err) == (0, "")
    assert (elsewhere / "mine.py").read_text() == "raise SystemExit"
    assert "report " in out


def test_trust_that_cannot_be_remembered(cli, elsewhere, tmp_path, monkeypatch):
    (tmp_path / "state").write_text("no folder")
    words = ["evaluate", elsewhere / "run", "--limit", "4", "--no-diagnose"]
    assert cli(*words)[0] == 2
    status, _, err = cli(*words, "--trust")
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith("warning: which files you trust could not be stored (")


def test_a_compiled_file_beside_it_is_not_run(cli, elsewhere, tmp_path):
    """It may hold anything, whatever the source that was read says."""
    source = tmp_path / "evil.py"
    source.write_text("from pathlib import Path\n\nPath('evil').touch()\n")
    cached = Path(importlib.util.cache_from_source(str(elsewhere / "mine.py")))
    py_compile.compile(
        str(source), str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True
    )
    assert cli("evaluate", elsewhere / "run", "--limit", "4", "--trust")[0] == 0
    assert not Path("evil").exists()


def test_a_name_cannot_add_a_line_to_what_is_trusted(cli, elsewhere, tmp_path):
    from ppl_vae.registry.trust import _known, remember

    remember({f"mine.py\n{'1' * 64}  other.py": "0" * 64})
    assert _known() == {"0" * 64}


def test_trust_belongs_to_a_run(cli):
    line = "ppl-vae: --trust is for --resume: files that you name yourself are run without it.\n"
    assert cli("train", "--trust") == (2, "", line)
