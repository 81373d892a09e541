"""``ppl-vae train`` from beginning to end: what it writes, going on, users' own pairs."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml

from ppl_vae.data import load
from ppl_vae.runs.run import Run
from ppl_vae.runtime import checkpoint

SMALL = ["--hidden", "16", "--latent-dim", "2"]

USER_PAIR = '''
import pyro, pyro.distributions as dist, torch
from pyro.nn import PyroModule
from torch import nn
from torch.nn.functional import softplus


class Model(PyroModule):
    """Laplace prior, which no model of the package has."""

    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.event_shape = event_shape
        size = int(torch.Size(event_shape).numel())
        self.net = nn.Linear(latent_dim, size)
        self.register_buffer("loc", torch.zeros(latent_dim))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x)):
            z = pyro.sample("z", dist.Laplace(self.loc, torch.ones_like(self.loc)).to_event(1))
            logits = self.net(z).unflatten(-1, self.event_shape)
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(len(self.event_shape)), obs=batch.x)


class Guide(PyroModule):
    def __init__(self, event_shape, latent_dim):
        super().__init__()
        self.net = nn.Linear(int(torch.Size(event_shape).numel()), 2 * latent_dim)

    def forward(self, batch):
        loc, raw = self.net(batch.x.flatten(1)).chunk(2, -1)
        with pyro.plate("data", len(batch.x)):
            pyro.sample("z", dist.Laplace(loc, softplus(raw) + 1e-3).to_event(1))


class Greedy(PyroModule):
    def __init__(self, budget):
        super().__init__()


class Mute(PyroModule):
    def forward(self, batch):
        pass
'''


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(USER_PAIR)
    return path


def rows(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_writes_what_it_promises(trained):
    record = yaml.safe_load((trained / "config.yaml").read_text())
    assert record["config"]["data"]["binarization"] == "dynamic"
    assert record["config"]["fit"]["epochs"] == 4
    assert set(record["versions"]) == {"python", "ppl_vae", "torch", "pyro-ppl", "numpy"}
    assert [int(row["epoch"]) for row in rows(trained)] == [1, 2, 3, 4]
    for row in rows(trained):
        assert float(row["elbo"]) == pytest.approx(float(row["reconstruction"]) - float(row["kl"]))
    pictures = {path.name for path in (trained / "figures").iterdir()}
    drawn = (
        "graphical-model",
        "networks",
        "reparameterisation",
        "training",
        "reconstructions",
        "prior",
        "latent",
        "posteriors",
        "grid",
        "kl-by-unit",
    )
    assert pictures == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    assert all(path.stat().st_size < 300_000 for path in (trained / "figures").iterdir())
    assert (trained / "report.html").is_file()


def test_numbers_its_runs(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        status, out, _ = cli("train", *SMALL, "--epochs", "1")
        assert status == 0
        assert f"runs/digits-{number}" in out
        assert (tmp_path / "runs" / f"digits-{number}" / "checkpoint.pt").is_file()


@pytest.mark.slow
def test_training_learns(cli, tmp_path):
    assert cli("train", *SMALL, "--epochs", "80", "--learning-rate", "0.01", "--out", tmp_path / "run")[0] == 0
    elbos = [float(row["validation_bound"]) for row in rows(tmp_path / "run")]
    splits = load("digits")
    rates = splits.train.x.mean(0).clamp(0.001, 0.999)
    x = splits.validation.x
    independent = float((x * rates.log() + (1 - x) * (1 - rates).log()).sum((1, 2)).mean())
    assert elbos[0] < independent + 0.1  # the untrained decoder knows how often each pixel is lit, and no more
    assert elbos[-1] > independent + 0.7


def test_same_seed_same_run_and_another_seed_another(cli, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert cli("train", *SMALL, "--epochs", "1", "--seed", seed, "--out", tmp_path / name)[0] == 0
    weights = [Run.open(tmp_path / name).load_pair(torch.device("cpu")).model.state_dict() for name in "abc"]
    name = "decoder.net.0.weight"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])


def equal_states(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal_states(left[k], right[k]) for k in left if k != "seconds")
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal_states, left, right))
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


def start_training(out, *flags):
    command = [sys.executable, "-m", "ppl_vae", "train", *SMALL, "--engine", "eager", *flags, "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 300  # of a machine that has much else to do
    while not ((out / "metrics.csv").exists() and len(rows(out)) >= 2):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_ctrl_c_then_resume_equals_never_having_stopped(cli, tmp_path):
    flags = ["--epochs", "20", "--patience", "19"]
    process = start_training(tmp_path / "stopped", *flags)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"ppl-vae train --resume {tmp_path / 'stopped'}" in err
    assert "Traceback" not in err
    done = len(Run.open(tmp_path / "stopped").history())
    assert 2 <= done < 20
    assert cli("train", "--resume", tmp_path / "stopped")[0] == 0
    assert cli("train", *SMALL, "--engine", "eager", *flags, "--out", tmp_path / "whole")[0] == 0
    states = [checkpoint.load(tmp_path / n / "checkpoint.pt") for n in ("stopped", "whole")]
    assert equal_states(*states)
    assert len(rows(tmp_path / "stopped")) == 20


@pytest.mark.slow
def test_kill_leaves_a_run_that_goes_on(cli, tmp_path):
    process = start_training(tmp_path / "killed", "--epochs", "100000")
    process.kill()
    process.wait()
    process.stderr.close()
    assert cli("evaluate", tmp_path / "killed", "--limit", "20")[0] == 0
    done = len(Run.open(tmp_path / "killed").history())
    assert cli("train", "--resume", tmp_path / "killed", "--epochs", done + 2)[0] == 0
    assert [int(row["epoch"]) for row in rows(tmp_path / "killed")] == list(range(1, done + 3))


@pytest.mark.slow
def test_resume_for_more_epochs(cli, tmp_path):
    assert cli("train", *SMALL, "--epochs", "2", "--out", tmp_path / "run")[0] == 0
    assert cli("train", "--resume", tmp_path / "run", "--epochs", "3")[0] == 0
    assert cli("train", *SMALL, "--epochs", "3", "--out", tmp_path / "whole")[0] == 0
    states = [checkpoint.load(tmp_path / n / "checkpoint.pt") for n in ("run", "whole")]
    assert equal_states(*states)


def test_a_cosine_schedule_cannot_be_lengthened(cli, tmp_path):
    flags = [*SMALL, "--epochs", "1", "--schedule", "cosine"]
    assert cli("train", *flags, "--out", tmp_path / "run")[0] == 0
    status, _, err = cli("train", "--resume", tmp_path / "run", "--epochs", "2")
    assert status == 2
    assert "cosine" in err


def test_users_own_pair(cli, tmp_path, user_file):
    names = ["--model", f"{user_file}:Model", "--guide", f"{user_file}:Guide"]
    run = tmp_path / "run"
    assert cli("train", *names, "--latent-dim", "2", "--epochs", "30", "--learning-rate", "0.01", "--out", run)[0] == 0
    elbos = [float(row["elbo"]) for row in rows(run)]
    assert elbos[0] < -40  # no bias from the data's mean: far worse than independent pixels
    assert elbos[-1] > -30
    assert cli("evaluate", run)[0] == 0
    assert cli("sample", run, "grid")[0] == 0


def test_users_own_model_with_our_guide(cli, tmp_path, user_file):
    names = ["--model", f"{user_file}:Model", "--family", "full-rank"]
    assert cli("train", *names, *SMALL, "--epochs", "1", "--out", tmp_path / "run")[0] == 0


USER_ROWS = {
    "class that is not there": ("Modle", ["unknown model in", "did you mean 'Model'"]),
    "asks for what is not available": ("Greedy", ["asks for 'budget'", "latent_dim"]),
    "observes nothing": ("Mute", ["no latent"]),
}


@pytest.mark.parametrize("row", USER_ROWS)
def test_users_file_that_cannot_be_used(cli, tmp_path, user_file, row):
    class_name, parts = USER_ROWS[row]
    status, _, err = cli("train", "--model", f"{user_file}:{class_name}", "--out", tmp_path / "run")
    assert status == 2
    assert err.count("\n") == 1
    for part in parts:
        assert part in err
    assert not (tmp_path / "run").exists()


def test_users_file_that_does_not_run(cli, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    status, _, err = cli("train", "--model", f"{path}:Model", "--out", tmp_path / "run")
    assert status == 2
    assert "does not run: ZeroDivisionError" in err


def test_pair_that_does_not_match_leaves_no_run(cli, tmp_path, user_file):
    text = USER_PAIR.replace('pyro.sample("z", dist.Laplace(loc', 'pyro.sample("w", dist.Laplace(loc')
    user_file.with_name("other.py").write_text(text)
    names = ["--model", f"{user_file}:Model", "--guide", f"{user_file.with_name('other.py')}:Guide"]
    status, _, err = cli("train", *names, "--out", tmp_path / "run")
    assert status == 2
    assert "site 'z' is sampled by the model but not by the guide" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape", [(5,), pytest.param((3, 5), marks=pytest.mark.slow), (4, 4, 3)])
def test_npz_of_any_shape(shown, cli, tmp_path, npz, shape):
    x = np.random.default_rng(0).random((60, *shape), dtype=np.float32)
    flags = ["--data", npz(x=x), *SMALL, "--epochs", "1", "--out", tmp_path / "run"]
    with shown("prior"):
        status, _, err = cli("train", *flags)
    assert status == 0, err
    assert (tmp_path / "run" / "figures" / "prior.png").exists()
    assert cli("infer", tmp_path / "run", "--input", npz(x=x), "--out", tmp_path / "z.npz")[0] == 0


def test_linear_gaussian_by_name(cli, tmp_path):
    flags = ["--model", "linear-gaussian", "--binarization", "none", "--family", "full-rank", "--epochs", "2"]
    assert cli("train", *flags, "--hidden", "--out", tmp_path / "run")[0] == 0
    assert Run.open(tmp_path / "run").record.config.pair.settings["hidden"] == []


def test_which_weights_are_kept_is_said_and_a_warm_up_that_never_ends_is_warned_of(cli, tmp_path):
    flags = [*SMALL, "--epochs", "2", "--weight-average", "0.9", "--kl-warmup", "2", "--out", tmp_path / "run"]
    status, out, err = cli("train", *flags)
    assert status == 0
    assert "; weights: their running mean over steps, with decay 0.9\n" in out
    assert "warning: --kl-warmup 2 is no shorter than the training, --epochs 2: the KL has its full size" in err


def test_tensorboard_events(cli, tmp_path):
    pytest.importorskip("tensorboard")
    assert cli("train", *SMALL, "--epochs", "1", "--tensorboard", "--out", tmp_path / "run")[0] == 0
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert events.stat().st_size > 0


def test_diverging_training_says_what_to_do(cli, tmp_path):
    status, _, err = cli("train", *SMALL, "--learning-rate", "1e30", "--epochs", "3", "--out", tmp_path / "run")
    assert status == 2
    assert "lower the learning rate" in err
    assert err.count("\n") == 1
