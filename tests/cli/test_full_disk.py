"""A disk that is full or read-only: one line with the file's name, nothing half-written, nothing lost.

The limit is the kernel's own, on the size of any file, so that every writer meets it and no serializer is spared.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppl_vae.cli.main import main
from ppl_vae.runs.run import Run
from tests.marks import slow_after

SMALL = ["--hidden", "8", "--latent-dim", "2", "--epochs", "1", "--batch-size", "64"]
LIMITED = """
import resource, signal, sys
from ppl_vae.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(sys.argv[2:]))
"""


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=rng.random((90, 3, 4), dtype=np.float32), y=np.arange(90) % 2)
    assert main(["train", *SMALL, "--data", str(folder / "data.npz"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def here(run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(run.parent / "data.npz", tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# A command, and the file that it cannot write; what it may leave besides what was there.
WRITERS = {
    "the record": (["train", *SMALL, "--data", "data.npz", "--out", "new"], "new/config.yaml"),
    "a resumed run's record": (["train", "--resume", "run", "--epochs", "2"], "run/config.yaml"),
    "a classifier": (["baseline", "gaussian", "--dims", "3", "--data", "data.npz", "--out", "new"], "new/baseline.npz"),
    "draws": (["sample", "run", "prior"], "run/samples/prior-1.npz"),
    "latents": (["infer", "run", "--input", "data.npz", "--out", "new.npz"], "new.npz"),
    "a page": (["explore", "run"], "run/explorer-1.html"),
    "places": (["holes", "run", "--out", "new.npz"], "new.npz"),
    "images": (["generators", "run", "--out", "new.npz"], "new.npz"),
    "a calibration": (
        ["evaluate", "run", "--estimator", "sbc", "--limit", "20", "--num-samples", "19"],
        "run/figures/calibration-1.png",
    ),
}
SLOW = ("places", "images", "a calibration", "latents")
FAULTS = {"full": errno.ENOSPC, "read-only": errno.EROFS}


@pytest.mark.parametrize("fault", ["full", pytest.param("read-only", marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", [pytest.param(row, marks=[pytest.mark.slow] * (row in SLOW)) for row in WRITERS])
def test_what_cannot_be_written_is_one_line_with_its_name(cli, here, monkeypatch, row, fault):
    command, name = WRITERS[row]
    before = files(here)
    real = os.fsync
    target = Path(name).name

    def fsync(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith(f"{target}."):
            raise OSError(FAULTS[fault], os.strerror(FAULTS[fault]))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    status, _, err = cli(*command)
    assert status == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("ppl-vae: ")]
    assert f"{name}: cannot write ({os.strerror(FAULTS[fault])}); " in line
    assert "Traceback" not in err
    assert files(here) == before
    assert not (here / "new").exists()


def test_the_verdict_is_said_though_its_picture_cannot_be_written(cli, here, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status, out, err = cli("evaluate", "run", "--estimator", "sbc", "--limit", "20", "--num-samples", "19", "--json")
    assert status == 2
    assert '"picture": null' in out
    assert "calibration-1.png: cannot write" in err


@pytest.mark.parametrize("place", slow_after(1, ["figures/training.png", "report.html"]))
def test_a_trained_run_says_how_to_go_on(one_picture, cli, here, monkeypatch, place):
    """The disk is full after the last step: what was learned is there, and the same run can be gone on with."""
    real_open = os.open

    def open_(path, *arguments, **keywords):
        if f"new/{place}" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_open(path, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_)
        status, _, err = cli("train", *SMALL, "--data", "data.npz", "--out", "new")
    assert status == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("ppl-vae: ")]
    assert line == (
        f"ppl-vae: new/{place}: cannot write (No space left on device); make room on that disk, or write elsewhere. "
        "Then go on with: ppl-vae train --resume new"
    )
    assert cli("train", "--resume", "new")[0] == 0
    assert len(Run.open(here / "new").history()) == 1
    assert (here / "new" / "report.html").is_file()


def test_an_epoch_that_cannot_be_noted_before_anything_is_kept(cli, here, monkeypatch):
    before, real_open = files(here), os.open

    def open_(path, *arguments, **keywords):
        if str(path) == "new/metrics.csv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_open(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", open_)
    status, _, err = cli("train", *SMALL, "--data", "data.npz", "--out", "new")
    assert status == 2
    assert "new/metrics.csv: cannot write (No space left on device); make room" in err
    assert "--resume" not in err
    assert files(here) == before


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 300, 3_000, 30_000, 100_000])
def test_a_limit_of_the_kernels_on_every_file(here, limit):
    """Whatever meets it first: the record, the checkpoint in the middle of the serializer, a picture, the report."""
    before = files(here)
    arguments = ["train", *SMALL, "--data", "data.npz", "--out", "new"]
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ppl-vae: ")]
    if limit or "No usable temporary directory" not in line:  # which what torch imports may ask for
        assert "cannot write (File too large)" in line
        assert "new/" in line
    after = files(here)
    assert not [name for name in after if name.endswith(".partial")]
    assert before.items() <= after.items()
    if (here / "new").exists():  # then something was learned
        assert "go on with: ppl-vae train --resume new" in line
        assert Run.open(here / "new").history()
