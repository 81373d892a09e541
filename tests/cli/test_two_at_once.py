"""Two commands at once: each has its own place, and whoever comes second touches nothing of the first's.

What another process does in between is done here just when the command claims its place: after it has seen that the
place is free.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ppl_vae.cli.main import main
from ppl_vae.runtime.folders import locked

SMALL = ["--hidden", "8", "--latent-dim", "2", "--epochs", "1", "--batch-size", "512"]
COMPARE = [
    "compare",
    "--guides",
    "amortized",
    "--seeds",
    "1",
    *SMALL,
    "--limit",
    "5",
    "--num-samples",
    "2",
    "--workers",
    "1",
]
BASELINE = ["baseline", "gaussian", "--dims", "3", "--data", "data.npz"]
GAPS = ["--families", "diagonal", "--limit", "2", "--infer-steps", "40", "--chains", "1"]
GAPS += ["--temperatures", "2", "--prior-temperatures", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run, and where it is; the arrays that the commands read."""
    folder = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((90, 3, 4), dtype=np.float32), y=np.arange(90) % 2)
    data = ["--data", str(folder / "data.npz")]
    assert main(["train", *SMALL, *data, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def here(run, tmp_path, monkeypatch):
    """A folder with a copy of them all."""
    import shutil

    shutil.copytree(run, tmp_path / "run")
    shutil.copy(run.parent / "data.npz", tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Rival:
    """Another process that makes the same folder or file just before we do, and holds a folder while we look."""

    def __init__(self, monkeypatch, held):
        self.made = None
        mkdir, link = os.mkdir, os.link

        def mkdir_(path, *arguments, **keywords):
            path = Path(path)
            if (
                not self.made
                and path.parent.is_dir()
                and not path.exists()
                and path.name not in ("runs", "samples", "figures")
            ):
                mkdir(path)
                held.enter_context(locked(path))
                (path / "theirs").write_text("theirs")
                self.made = path
            mkdir(path, *arguments, **keywords)

        def link_(source, path, **keywords):
            path = Path(path)
            if not self.made and not path.exists():
                path.write_text("theirs")
                self.made = path
            link(source, path, **keywords)

        monkeypatch.setattr(os, "mkdir", mkdir_)
        monkeypatch.setattr(os, "link", link_)


@pytest.fixture
def rival(monkeypatch):
    with ExitStack() as held:
        yield Rival(monkeypatch, held)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Every command that writes: what the rival takes, and what the command makes then; without --out, and with.
NUMBERED = {
    "train": (["train", *SMALL, "--data", "data.npz"], "runs/data-1", "runs/data-2/checkpoint.pt"),
    "baseline": (BASELINE, "runs/data-gaussian-1", "runs/data-gaussian-2/baseline.npz"),
    "sample": (["sample", "run", "prior"], "run/samples/prior-1.npz", "run/samples/prior-2.npz"),
    "calibration": (
        ["evaluate", "run", "--estimator", "sbc", "--limit", "20", "--num-samples", "19"],
        "run/figures/calibration-1.png",
        "run/figures/calibration-2.png",
    ),
    "explore": (["explore", "run", "--num-images", "5"], "run/explorer-1.html", "run/explorer-2.html"),
    "holes": (["holes", "run"], "holes-1.npz", "holes-2.npz"),
    "generators": (["generators", "run"], "generators-1.npz", "generators-2.npz"),
    "gaps": (["gaps", "run", *GAPS], "run/gaps-1", "run/gaps-2/gaps.json"),
    "compare": ([*COMPARE, "--data", "data.npz"], "runs/compare-1", "runs/compare-2/table.md"),
}
SLOW = ("compare", "gaps", "calibration", "holes", "generators")


def rows(table):
    return [pytest.param(row, marks=[pytest.mark.slow] * (row in SLOW)) for row in table]


@pytest.mark.parametrize("row", rows(NUMBERED))
def test_the_second_takes_the_next_number(cli, here, rival, row):
    command, theirs, ours = NUMBERED[row]
    before = files(here)
    status, _, err = cli(*command)
    assert status == 0, err
    assert rival.made == here / theirs or rival.made == Path(theirs)
    assert (here / ours).is_file()
    after = files(here)
    place = theirs if (here / theirs).is_file() else f"{theirs}/theirs"
    assert after[place] == b"theirs"
    assert not [name for name in after if name.startswith(f"{theirs}/") and name != place]
    assert before.items() <= after.items()
    assert not [name for name in after if name.endswith(".partial")]


NAMED = {
    "train": (["train", *SMALL, "--data", "data.npz"], "out"),
    "baseline": (BASELINE, "out"),
    "sample": (["sample", "run", "prior"], "out.npz"),
    "infer": (["infer", "run", "--input", "data.npz"], "out.npz"),
    "explore": (["explore", "run", "--num-images", "5"], "out.html"),
    "holes": (["holes", "run"], "out.npz"),
    "generators": (["generators", "run"], "out.npz"),
    "gaps": (["gaps", "run", *GAPS], "out"),
    "compare": ([*COMPARE, "--data", "data.npz"], "out"),
}


@pytest.mark.parametrize("row", rows(NAMED))
def test_the_second_of_one_name_is_refused_and_touches_nothing(cli, here, rival, row):
    command, name = NAMED[row]
    before = files(here)
    status, _, err = cli(*command, "--out", name)
    assert status == 2, err
    lines = [line for line in err.splitlines() if line.startswith("ppl-vae: ")]
    what = "exists; choose another name." if "." in name else "another process is writing there; wait until it has"
    assert len(lines) == 1
    assert what in lines[0]
    assert name in lines[0]
    assert "Traceback" not in err
    place = name if "." in name else f"{name}/theirs"
    assert files(here) == {**before, place: b"theirs"}


# What is worked on is worked on by one.
HELD = {
    "train --resume": (["train", "--resume", "run", "--epochs", "2"], "run"),
    "train --out": (["train", *SMALL, "--data", "data.npz", "--out", "new"], "new"),
    "baseline --out": ([*BASELINE, "--out", "new"], "new"),
    "compare --out": ([*COMPARE, "--data", "data.npz", "--out", "new"], "new"),
}


@pytest.mark.parametrize("row", HELD)
def test_the_second_in_a_folder_that_is_worked_on_is_refused(cli, here, row):
    command, folder = HELD[row]
    (here / folder).mkdir(exist_ok=True)
    before = files(here)
    with locked(here / folder):
        status, out, err = cli(*command)
    assert (status, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("ppl-vae: ")]
    assert line.startswith(f"ppl-vae: {folder}: another process is writing there; wait until it has ended")
    assert files(here) == before


def test_what_only_reads_or_adds_does_not_wait_for_training(cli, here):
    with locked(here / "run"):
        for command in (["sample", "run", "prior"], ["explore", "run"], ["evaluate", "run", "--limit", "5"]):
            status, _, err = cli(*command)
            assert status == 0, err
