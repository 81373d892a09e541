"""What a command finds around it: hostile environments, signals at any moment, streams that are closed or full."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from ppl_vae.cli import train as train_module
from tests.marks import slow_after

SMALL = ["train", "--epochs", "1", "--hidden", "8", "--latent-dim", "2"]


def environment(**changes):
    """The tests' own with changes; None takes a variable away."""
    changed = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    return {name: str(value) for name, value in changed.items() if value is not None}


def start(*arguments, **settings):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "ppl_vae", *map(str, arguments)]
    return subprocess.Popen(command, **{**pipes, "text": True, "env": environment(), **settings})


def ended(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def ours(err):
    """The lines of stderr but libgomp's own, which it says before there is any Python, and how far what takes long is:
    on a busy machine anything may."""
    told = re.compile(r"libgomp:|\w+ +[\d,]+ (of [\d,]+ )?\w+ (after|took) \d+ s$")
    return [line for line in err.splitlines() if line and not told.match(line)]


# --- What is imported when ------------------------------------------------------------------------------------------


def test_help_waits_for_what_it_needs_alone():
    """What draws and what counts take two seconds, which nobody who asks a command for help has."""
    code = """
import sys
from contextlib import suppress
from ppl_vae.cli.main import COMMANDS, main
from ppl_vae.cli.sample import WHAT
for arguments in (*([name] for name in COMMANDS if name != "sample"), *(["sample", "RUN", what] for what in WHAT)):
    with suppress(SystemExit):
        main([*arguments, "--help"])
slow = {"matplotlib", "sklearn", "scipy", "pandas", "torchvision", "arviz_stats", "torch._dynamo", "torch._inductor"}
print("torch" in sys.modules, sorted(slow & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert run.stdout.splitlines()[-1] == "True []", run.stderr
    assert "usage: ppl-vae train" in run.stdout
    assert "usage: ppl-vae sample" in run.stdout


def test_help_needs_no_torch_and_no_backend():
    code = """
import sys
from ppl_vae.cli.main import main
assert main(["--help"]) == 0
slow = {"torch", "pyro", "tyro", "pydantic", "numpy", "matplotlib"} & set(sys.modules)
assert not slow, slow
import matplotlib
assert matplotlib.get_backend() == "agg"
"""
    hostile = environment(MPLBACKEND="module://matplotlib_inline.backend_inline")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=hostile)
    assert run.returncode == 0, run.stderr
    assert "usage: ppl-vae" in run.stdout


@pytest.mark.slow
def test_a_notebook_keeps_its_backend():
    code = "import ppl_vae.figures, ppl_vae.cli.main, ppl_vae.cli.train, matplotlib; print(matplotlib.get_backend())"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(MPLBACKEND="svg"), check=True
    )
    assert run.stdout.strip() == "svg"


# --- Signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_torch_is_imported(tmp_path, number):
    """A stand-in takes its time over the import, and makes another error of whatever it raises."""
    said = "import sys, time\nprint('importing', flush=True)\n"
    (tmp_path / "torch.py").write_text(said + "try:\n    time.sleep(60)\nexcept BaseException:\n    raise ImportError")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = start("train", "--out", tmp_path / "run", env=environment(PYTHONPATH=paths))
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    assert ended(process) == (130, "", "ppl-vae: interrupted\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("also", slow_after(1, [None, RuntimeError("a library's own words")]))
def test_a_signal_in_the_pictures(cli, tmp_path, monkeypatch, also):
    def stopped(*args):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            if also is None:
                raise
            raise also from None

    monkeypatch.setattr(train_module, "draw_run", stopped)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    out = tmp_path / "run"
    status, _, err = cli(*SMALL, "--out", out)
    assert status == 130
    whole = f"stopped; {out} is trained and saved. Its pictures and report are made by: ppl-vae report {out}"
    assert err == f"ppl-vae: {'interrupted' if also else whole}\n"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert (out / "checkpoint.pt").exists()
    assert not (out / "report.html").exists()
    monkeypatch.undo()
    assert cli("report", out)[0] == 0
    assert (out / "report.html").exists()


def test_a_signal_while_a_step_is_compiled(cli, tmp_path, monkeypatch):
    """It does not wait for the compiler, and what there is goes on."""
    monkeypatch.setattr("ppl_vae.training.loop.choose_step", lambda *args: signal.raise_signal(signal.SIGINT))
    status, _, err = cli(*SMALL, "--out", tmp_path / "run")
    assert status == 130
    assert err == f"ppl-vae: stopped; go on from its last checkpoint with: ppl-vae train --resume {tmp_path / 'run'}\n"
    monkeypatch.undo()
    assert cli("train", "--resume", tmp_path / "run")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_at_any_moment_from_import_to_report(tmp_path, name):
    """One line and 130, or done; what there is of a run goes on. (Python's own start, 0.1 s, is not ours to guard.)"""
    moments = random.Random(name)
    start_of_one = time.monotonic()
    assert ended(start(*SMALL, "--out", tmp_path / "whole"))[0] == 0
    whole = time.monotonic() - start_of_one
    for number in range(8):
        out = tmp_path / f"run-{number}"
        process = start(*SMALL, "--out", out)
        time.sleep(moments.uniform(0.5, 1.1 * whole))
        process.send_signal(getattr(signal, name))
        status, _, err = ended(process)
        assert status in (0, 130), err
        assert len(ours(err)) == (status == 130), err
        if (out / "checkpoint.pt").exists():
            assert ended(start("train", "--resume", out))[0] == 0


@pytest.mark.parametrize("columns", ["1", "3"])
def test_help_on_a_terminal_of_no_width(columns):
    status, out, err = ended(start("explore", "--help", env=environment(COLUMNS=columns)))
    assert (status, err) == (0, "")
    assert "--num-images" in out
    assert len(out.splitlines()) < 300  # not a character a line


# --- Streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
@pytest.mark.parametrize(
    ("redirection", "status"), [("2>&-", 0), (">&-", 0), (">&- 2>&- <&-", 0), ("2>/dev/full", 0), (">/dev/full", 2)]
)
def test_training_goes_on_without_its_streams(tmp_path, redirection, status):
    command = " ".join([sys.executable, "-m ppl_vae", *SMALL, "--out", str(tmp_path / "run")])
    run = subprocess.run(f"{command} {redirection}", shell=True, capture_output=True, text=True, env=environment())
    assert run.returncode == status
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    full = "ppl-vae: cannot write the standard output: No space left on device"
    assert ours(run.stderr) == ([full] if status else [])


# --- Memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "status"),
    [("import os\nos._exit(7)", 7), ("raise ImportError('libtorch.so: failed to map segment from shared object')", 2)],
)
def test_a_memory_limit_below_torch_is_one_line(tmp_path, failure, status):
    """A stand-in does what loading torch does under a small limit; what fails otherwise is not taken for that."""
    resource = pytest.importorskip("resource")
    (tmp_path / "torch.py").write_text(failure)
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))

    process = start("train", "--out", tmp_path / "run", env=environment(PYTHONPATH=paths), preexec_fn=limit)
    found, out, err = ended(process)
    assert (found, out) == (status, "")
    said = "ppl-vae: the memory limit of 2.0 GiB (ulimit -v) is too small to load torch; raise it, 8 GiB are enough.\n"
    assert err == (said if status == 2 else "")


@pytest.mark.slow
@pytest.mark.parametrize("gib", [1, 2, 3])
def test_memory_limits(tmp_path, gib):
    """From too little for torch on; in between, torch's libraries abort as they are loaded."""
    resource = pytest.importorskip("resource")

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (gib * 2**30, gib * 2**30))

    status, _, err = ended(start(*SMALL, "--out", tmp_path / "run", preexec_fn=limit))
    assert status == 2 or (status == 0 and (tmp_path / "run" / "report.html").exists())  # torch without CUDA is smaller
    assert len(ours(err)) == (status == 2), err


# --- Environments -----------------------------------------------------------------------------------------------------

HOSTILE = {
    "a notebook's backend": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "a backend of nobody's": {"MPLBACKEND": "nonsense"},
    "matplotlib's folder": {"MPLCONFIGDIR": "/proc/nowhere"},
    "home": {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, "MPLCONFIGDIR": None},
    "optimized": {"PYTHONOPTIMIZE": "1"},
    "ascii": {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    "narrow": {"COLUMNS": "1", "LINES": "1", "NO_COLOR": "1"},
    "threads": {"OMP_NUM_THREADS": "many"},
}


@pytest.mark.slow
@pytest.mark.parametrize("row", HOSTILE)
def test_environments(tmp_path, row):
    status, out, err = ended(start("train", "--help", env=environment(**HOSTILE[row])))
    assert (status, ours(err)) == (0, [])
    assert "--latent-dim" in out
    status, out, err = ended(start(*SMALL, "--out", tmp_path / "run", env=environment(**HOSTILE[row])))
    assert (status, ours(err)) == (0, [])
    assert (tmp_path / "run" / "figures" / "training.png").stat().st_size > 5000


def test_a_home_folder_behind_an_equals_sign(cli, tmp_path, monkeypatch):
    """A shell hands ``--out=~/runs`` on as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    status, _, err = cli("train", "--data=~/none.npz")
    assert status == 2
    assert f"{tmp_path}/none.npz" in err
    status, _, err = cli(*SMALL, "--out=~/runs/mine")
    assert status == 0, err
    assert (tmp_path / "runs/mine/checkpoint.pt").exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
def test_without_docstrings_pyro_does_not_run():
    process = start("train", "--help", env=environment(PYTHONOPTIMIZE="2"))
    status, out, err = ended(process)
    assert (status, out) == (2, "")
    assert err.startswith("ppl-vae: Pyro reads docstrings")
    assert err.count("\n") == 1
