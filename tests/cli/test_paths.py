"""Names of what commands write: the next free one, also when somebody takes it in between."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ppl_vae import UserError
from ppl_vae.data import DataConfig, read_source
from ppl_vae.runs.baseline import BaselineRun
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.paths import numbered, write_new, write_together
from ppl_vae.runs.run import Run
from ppl_vae.runtime.files import TakenError, write_text


def test_a_run_is_named_by_a_string_too(trained):
    assert Run.open(str(trained)) == Run.open(trained)
    assert open_run(str(trained), "cpu").run.path == trained
    for kind in (Run, BaselineRun):
        with pytest.raises(UserError, match=r"^nowhere does not exist; name one that"):
            kind.open("nowhere")
    assert (
        DataConfig(data_root="there").absolute().data_root == DataConfig(data_root=Path("there")).absolute().data_root
    )
    assert len(read_source("digits", "nowhere").x) == 1797


def test_numbers_go_on_after_any_suffix(tmp_path):
    (tmp_path / "prior-1.npz").touch()
    (tmp_path / "prior-2.png").touch()
    assert numbered(tmp_path, "prior", ".npz", ".png") == tmp_path / "prior-3.npz"
    assert numbered(tmp_path, "run") == tmp_path / "run-1"


def test_a_link_that_leads_nowhere_has_its_number(tmp_path):
    (tmp_path / "run-1").symlink_to(tmp_path / "nowhere")
    assert numbered(tmp_path, "run") == tmp_path / "run-2"


def test_a_name_taken_in_between_gives_the_next(tmp_path):
    def write(path):
        if path.name == "page-1.html":
            path.write_text("theirs")  # between the choice of the name and the writing
        write_text(path, "ours", new=True)

    found = write_new(None, lambda: numbered(tmp_path, "page", ".html"), write)
    assert found == tmp_path / "page-2.html"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "page-1.html": "theirs",
        "page-2.html": "ours",
    }


@pytest.mark.parametrize("name", ["a.npz", "a.png", "a.svg", "a.txt", "a/1.mid"])
def test_of_several_files_all_or_none(tmp_path, name):
    """What somebody else has made under one of the names stays as it was."""
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("theirs")
    files = {"a.txt": b"x", "a/1.mid": b"x", "a/2.mid": b"x"}
    with pytest.raises(TakenError, match=r"exists; choose another name\.$"):
        write_together(tmp_path / "a.npz", {"x": np.zeros(2)}, Figure(), files)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_text() == "theirs"


def test_several_files_are_written(tmp_path):
    write_together(tmp_path / "a.npz", {"x": np.arange(2)}, Figure(), {"a.txt": b"x", "a/1.mid": b"y"})
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"a.npz", "a.png", "a.svg", "a.txt", "a/1.mid"}
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["x"].tolist() == [0, 1]
