"""Several processes train as one does, are stopped and resumed in any number, and none waits for a dead one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed import TCPStore

from ppl_vae import UserError
from ppl_vae.evaluation import elbo
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.processes import Group, current
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from ppl_vae.svi.distributed import DistributedStep
from tests.pairs import stripes_data, vae_pair
from tests.svi import several_processes as jobs

ROOT = Path(__file__).resolve().parents[2]
_STORES: list[TCPStore] = []  # to outlive their processes
TRAIN = ["-m", "ppl_vae", "train", "--hidden", "16", "--latent-dim", "2"]


def start(*arguments: Any, size: int = 2, last: Sequence[Any] = ()) -> list[subprocess.Popen[str]]:
    """Start Python that often, as torchrun would: it tells each process its rank, and keeps a store for them all.

    ``last`` are arguments that the last process gets alone.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    _STORES.append(store)
    shared = {
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": store.port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "TORCHELASTIC_RESTART_COUNT": 0,
    }
    processes = []
    for rank in range(size):
        told = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **told}
        command = [sys.executable, *map(str, [*arguments, *(last if rank == size - 1 else ())])]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment))
    return processes


def outcomes(processes: list[subprocess.Popen[str]], timeout: float = 120) -> list[tuple[int, str, str]]:
    """Exit status, standard output and standard error of each."""
    try:
        texts = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def wait_for(condition: Callable[[], bool], processes: list[subprocess.Popen[str]], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if any(process.poll() is not None for process in processes) or time.monotonic() > deadline:
            pytest.fail(str(outcomes(processes, 1)))
        time.sleep(0.02)


def assert_close(a: Any, b: Any, where: str = "", within: float = 1e-10) -> None:
    """Equal to rounding, or bit for bit within 0, all the way down; only the clock and the engine may differ."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a.keys() - {"seconds", "engine"}:
            assert_close(a[key], b[key], f"{where}/{key}", within)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_close(left, right, f"{where}/{i}", within)
    elif isinstance(a, Tensor):
        torch.testing.assert_close(a, b, rtol=within, atol=within, msg=lambda text: f"{where}: {text}")
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=within, abs=within), where
    else:
        assert a == b, where


def state(path: Path, *names: str) -> dict[str, Any]:
    loaded = checkpoint.load(path)
    return {name: loaded[name] for name in names or loaded.keys() - {"rng"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jobs' outcomes, of two processes; ``one-….pt`` are one process's."""
    path = tmp_path_factory.mktemp("jobs")
    jobs.train_exact(path / "one-exact.pt")
    jobs.train_exact(path / "one-rmsprop.pt", optimizer=jobs.RMSPROP)
    jobs.train_tables(path / "one-tables.pt")
    for name in jobs.GIVEN:
        jobs.train_given(path / f"one-{name}.pt", name)
    jobs.interrupted(jobs.train_tables, path / "for-two.pt", 2)
    for status, _, err in outcomes(start(jobs.__file__, path)):
        assert status == 0, err
    return path


# --- The same training ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", jobs.ENGINES)
@pytest.mark.parametrize("name", ["exact", "tables"])
def test_two_processes_take_the_steps_of_one(folder: Path, name: str, engine: str) -> None:
    """Weights, rows, moments and metrics, where nothing is drawn; ragged batches, clipping, warm-up, early stopping.

    The one process is eager; what it is compared with is two that are, and two that have traced their steps.
    """
    one, two = state(folder / f"one-{name}.pt"), state(folder / f"{name}-{engine}.pt")
    assert_close(two, one)
    before = dict(jobs.exact_pair()[0].state_dict() if name == "exact" else jobs.table_pair()[0].state_dict())
    assert all((one["model"][key] - value).abs().max() > 0.01 for key, value in before.items())
    if name == "tables":
        (moments,) = one["optimizer"]["rows"]["tables"]
        assert (moments["steps"] == jobs.TABLES.epochs).all()  # each row once an epoch
        assert all(row.abs().max() > 0.01 for row in one["guide"]["table.weight"])


def test_two_processes_take_the_steps_of_one_by_another_optimizer(folder: Path) -> None:
    one, two = state(folder / "one-rmsprop.pt"), state(folder / "rmsprop.pt")
    assert_close(two, one)
    assert set(one["optimizer"]["shared"]["state"][0]) == {"step", "square_avg", "momentum_buffer"}


@pytest.mark.parametrize("engine", jobs.ENGINES)
@pytest.mark.parametrize("name", jobs.GIVEN)
def test_two_processes_take_the_steps_of_one_with_the_same_noise(folder: Path, name: str, engine: str) -> None:
    """A Gaussian guide and bits drawn anew, where each datapoint's noise is given by its row."""
    one, two = state(folder / f"one-{name}.pt"), state(folder / f"{name}-{engine}.pt")
    assert_close(two, one)
    model = jobs.vae_pair()[0].state_dict()
    assert all((one["model"][key] - value).abs().max() > 0.01 for key, value in model.items() if "weight" in key)


@pytest.mark.slow
@pytest.mark.parametrize("name", jobs.GIVEN)
def test_two_compiled_processes_take_the_steps_of_one(folder: Path, name: str) -> None:
    """And three, on batches of 5: two graphs compiled for each size that a part has."""
    code = f"""
from pathlib import Path
from ppl_vae.runtime.processes import joined
from tests.svi.several_processes import train_given
with joined() as group:
    train_given(Path({str(folder)!r}) / f"{name}-{{group.size}}-compiled.pt", {name!r}, "traced")
"""
    for size in (2, 3):
        for status, _, err in outcomes(start("-c", code, size=size), 300):
            assert status == 0, err
        assert_close(state(folder / f"{name}-{size}-compiled.pt"), state(folder / f"one-{name}.pt"))


def test_noise_differs_between_processes_and_weights_do_not(folder: Path) -> None:
    first, second = (torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(map(torch.equal, first["weights"], second["weights"]))
    assert not set(first["draws"]) & set(second["draws"])


def test_bounds_of_two_processes_are_those_of_the_pair(folder: Path) -> None:
    """With the learning rate as good as 0 the epochs' ELBOs estimate the pair's, by draws of both processes."""
    told = [torch.load(folder / f"still-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert told[0] == told[1]
    epochs = torch.tensor(told[0], dtype=torch.float64)
    data = stripes_data(64)
    runs = [elbo(*vae_pair(), data, seed=seed).elbo.mean for seed in range(80)]  # binarized anew in each
    expected = torch.tensor(runs, dtype=torch.float64)
    stderr = (epochs.var() / len(epochs) + expected.var() / len(expected)).sqrt()
    assert abs(epochs.mean() - expected.mean()) < 5 * stderr
    assert stderr < 0.1


# --- Stopping and going on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [("noisy-again", "noisy"), ("tables-again", "tables-whole"), ("traced-again", "traced-whole")],
    ids=lambda n: n[1],
)
def test_as_many_processes_go_on_as_if_they_had_not_stopped(folder: Path, names: tuple[str, str]) -> None:
    again, whole = (state(folder / f"{name}.pt", "model", "guide", "optimizer") for name in names)
    assert_close(again, whole, within=0)


def test_one_process_goes_on_with_what_two_began(folder: Path) -> None:
    cut = state(folder / "for-one.pt")
    assert (len(cut["history"]), cut["step"]) == (2, 1)
    jobs.train_tables(folder / "for-one.pt")
    assert_close(state(folder / "for-one.pt"), state(folder / "one-tables.pt"))


def test_two_processes_go_on_with_what_one_began(folder: Path) -> None:
    assert_close(state(folder / "for-two.pt"), state(folder / "one-tables.pt"))


@pytest.mark.slow
def test_three_processes_go_on_with_what_one_began(folder: Path) -> None:
    """Batches of 5 in parts of 2, 2 and 1, and one of 1, of which two processes have none."""
    jobs.interrupted(jobs.train_tables, folder / "for-three.pt", 2)
    for status, _, err in outcomes(start(jobs.__file__, folder, "for-three.pt", size=3)):
        assert status == 0, err
    assert_close(state(folder / "for-three.pt"), state(folder / "one-tables.pt"))


# --- Alone ------------------------------------------------------------------------------------------------------------


def test_alone_everything_is_free() -> None:
    group = current()
    assert group == Group()
    tensor = torch.ones(3)
    assert group.total(tensor) is tensor
    assert group.any(True, False) == [True, False]
    assert group.from_first("mine") == "mine"
    assert group.one_before_all(lambda: 7) == 7
    assert group.says_first("x")
    assert group.says_first("x")
    with pytest.raises(UserError, match="wrong"), group.together():
        raise UserError("wrong")


def test_precision_is_that_of_the_eager_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: None)
    outcome = []
    for precision in ("float32", "bf16"):
        for alone in (True, False):
            model, guide = vae_pair()
            optimizer = PairOptimizer(model, guide, OptimizerConfig())
            eager = EagerStep(model, guide, TraceELBO(), optimizer, stripes_data(20), precision)
            step = eager if alone else DistributedStep(eager, Group())
            torch.manual_seed(0)
            sums = [step(torch.arange(8)) for _ in range(3)]
            outcome.append(torch.cat([*sums, *(param.detach().flatten() for param in optimizer.shared)]))
    full, full_again, short, short_again = outcome
    assert torch.equal(full, full_again)
    assert torch.equal(short, short_again)
    assert not torch.equal(full, short)


@pytest.mark.parametrize(("device", "message"), [("mps", "not for several processes"), ("cuda:1", "one device each")])
def test_devices_of_several_processes(device: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Group(0, 2, 0, 2).choose_device(device)


def test_no_more_processes_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="2 processes on a machine of 1 CUDA devices"):
        Group(0, 2, 0, 2).choose_device("cuda")


# --- The command line -------------------------------------------------------------------------------------------------


def epochs_done(out: Path) -> int:
    file = out / "metrics.csv"
    return max(0, len(file.read_text().splitlines()) - 1) if file.exists() else 0


def run_with_a_killed_process(out: Path, victim: int, *flags: str) -> None:
    """Train by two processes, kill one, and see that the other ends with one line."""
    processes = start(*TRAIN, *flags, "--epochs", "100000", "--out", out)
    wait_for(lambda: epochs_done(out) >= 2, processes)
    processes[victim].send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    status, _, err = outcomes(processes)[1 - victim]
    assert time.monotonic() - killed_at < 60  # at once, and not when its patience ends
    assert status == 1
    (line,) = [line for line in err.splitlines() if line.startswith("ppl-vae:")]
    command = f"torchrun --nproc-per-node 2 -m ppl_vae train --resume {out}"
    assert line == f"ppl-vae: lost contact with another process; go on with: {command}"
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("engine", jobs.ENGINES)
def test_a_killed_process_ends_the_others(tmp_path: Path, engine: str) -> None:
    run_with_a_killed_process(tmp_path / "run", 1, "--engine", engine)
    assert checkpoint.load(tmp_path / "run" / "checkpoint.pt")["format"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", jobs.ENGINES)
def test_any_number_goes_on_with_what_a_killed_process_left(tmp_path: Path, engine: str) -> None:
    out = tmp_path / "run"
    flags = ("--guide", "mean-field", "--binarization", "static", "--engine", engine)
    run_with_a_killed_process(out, 0, *flags)
    done = len(checkpoint.load(out / "checkpoint.pt")["history"])
    for size in (1, 3):
        done += 1
        for status, _, err in outcomes(start(*TRAIN[:3], "--resume", out, "--epochs", done, size=size)):
            assert status == 0, err
        assert epochs_done(out) == len(checkpoint.load(out / "checkpoint.pt")["history"]) == done


BAD = {
    "of the command line": (["--batch-size", "0"], "--batch-size"),
    "of the data": (["--data", "nowhere.npz"], "nowhere.npz"),
    "found by the first alone": (["--out", str(ROOT / "tests")], "exists and is not empty"),
}


@pytest.mark.slow
@pytest.mark.parametrize("row", BAD)
def test_bad_input_is_said_once(tmp_path: Path, row: str) -> None:
    flags, message = BAD[row]
    out = [] if "--out" in flags else ["--out", tmp_path / "run"]
    ends = outcomes(start(*TRAIN, *flags, *out))
    assert [status for status, _, _ in ends] == [2, 2]
    said = "".join(err for _, _, err in ends)
    (line,) = [line for line in said.splitlines() if line.startswith("ppl-vae:")]
    assert message in line
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


UNLIKE = {
    "length": (["--epochs", "2"], "epochs (1 and 2)"),
    "seed": (["--seed", "5"], "seed (0 and 5)"),
    "split": (["--data-seed", "5"], "data_seed (0 and 5)"),
    "family": (["--family", "full-rank"], "family ('diagonal' and 'full-rank')"),
}


@pytest.mark.slow
@pytest.mark.parametrize("row", UNLIKE)
def test_unlike_commands_are_refused_at_once(tmp_path: Path, row: str) -> None:
    flags, what = UNLIKE[row]
    ends = outcomes(start(*TRAIN, "--epochs", "1", "--out", tmp_path / "run", last=flags))
    assert [status for status, _, _ in ends] == [2, 2]
    said = "".join(err for _, _, err in ends)
    (line,) = [line for line in said.splitlines() if line.startswith("ppl-vae:")]
    assert f"do not agree on {what}" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_unlike_settings_and_data_are_refused_by_fit(tmp_path: Path) -> None:
    """From Python: what would hang, and what would be silent."""
    code = """
import sys, torch
from dataclasses import replace
from ppl_vae import UserError, fit
from ppl_vae.runtime.processes import joined
from tests.pairs import stripes_data, vae_pair
from tests.svi.several_processes import STILL

with joined() as group:
    settings = replace(STILL, epochs=1)
    for changes, rows in (({"epochs": 1 + group.rank}, 10), ({"seed": group.rank}, 10), ({}, 10 + group.rank)):
        try:
            fit(*vae_pair(), stripes_data(rows), settings=replace(settings, **changes))
        except UserError as error:
            print(error)
    fit(*vae_pair(), stripes_data(10), settings=settings)
"""
    for status, out, err in outcomes(start("-c", code)):
        assert status == 0, err
        words = [line.partition("(")[0] for line in out.splitlines()]
        assert words == [f"the processes do not agree on {name} " for name in ("epochs", "seed", "data")]


@pytest.mark.slow
def test_torchrun_is_stopped_and_goes_on_elsewhere(tmp_path: Path) -> None:
    """From torchrun itself: one run directory, one voice, Ctrl-C, on with one process, then with two."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TRAIN]
    flags = ["--guide", "mean-field", "--binarization", "static"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [*run, *flags, "--engine", "traced", "--epochs", "100000"],
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    out = tmp_path / "runs" / "digits-1"
    wait_for(lambda: epochs_done(out) >= 2, [process])
    process.send_signal(signal.SIGINT)
    ((status, _, err),) = outcomes([process])
    assert status != 0
    assert err.count("ppl-vae: stopped; go on with: ppl-vae train --resume runs/digits-1") == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits-1"]
    done = len(checkpoint.load(out / "checkpoint.pt")["history"])
    assert done >= 2
    alone = [sys.executable, *TRAIN[:3], "--resume", str(out), "--epochs", str(done + 1)]
    subprocess.run(alone, check=True, capture_output=True, env=environment)
    both = [*run[: -len(TRAIN)], *TRAIN[:3], "--resume", str(out), "--epochs", str(done + 2)]
    ended = subprocess.run(both, check=True, capture_output=True, text=True, env=environment)
    assert ended.stdout.count("run      ") == 1
    assert "traced: one step compiled" in ended.stdout
    assert "each shared by 2 processes" in ended.stdout
    assert epochs_done(out) == done + 2
