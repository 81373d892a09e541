"""What to do next: a training that ended too soon goes on before anything else is advised."""

from pathlib import Path

import pytest
import torch

from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.estimates.caveats import of_seen
from ppl_vae.reports.next_steps import ended_too_soon, longer_training
from ppl_vae.runs.run import Record, Run, TrainConfig
from ppl_vae.svi.optimizer import OptimizerConfig
from ppl_vae.training.config import FitConfig
from ppl_vae.training.metrics import EpochMetrics, History

RISING = [-100.0 + n for n in range(40)]
LEVEL = [-100.0 * 0.5**n for n in range(40)]


def history(bounds):
    return History([EpochMetrics(n, b, b, b, 0.0, 1.0, b, 1.0) for n, b in enumerate(bounds, start=1)])


def run(num_data=1000, **fit):
    config = TrainConfig(fit=FitConfig(epochs=40, batch_size=100, **fit))
    return Run(Path("runs/a"), Record(config, DataInfo((8, 8), 0, num_data, "")))


def test_a_bound_that_still_rose_is_trained_on():
    step = longer_training(run(), history(RISING))
    assert step.command == "ppl-vae train --resume runs/a --epochs 80"
    assert step.gives.startswith("the bound still rose when training ended: train longer")


def test_one_that_has_levelled_off_is_not():
    assert ended_too_soon(run(), history(LEVEL)) == ""
    assert longer_training(run(), history(LEVEL)) is None


@pytest.mark.parametrize("bounds", [RISING[:3], LEVEL[:3], [-1.0, -2.0, -3.0]])
def test_few_steps_tell_nothing(bounds):
    assert ended_too_soon(run(), history(bounds)) == "3 epochs of training, 30 steps, are few"
    assert longer_training(run(), history(bounds)).command.endswith("--epochs 50")  # 500 steps


def test_few_epochs_of_many_steps_may_be_enough():
    assert ended_too_soon(run(num_data=1_000_000), history([-1.0, -2.0, -3.0])) == ""


def test_what_validation_ended_has_ended():
    assert ended_too_soon(run(patience=5), history(RISING[:20])) == ""
    assert ended_too_soon(run(patience=5), history(RISING))


def test_a_schedule_over_all_epochs_begins_anew():
    """Since `train` refuses to go on with one for longer."""
    of_cosine = run(optimizer=OptimizerConfig(schedule="cosine"))
    command = longer_training(of_cosine, history(RISING)).command
    assert "--resume" not in command
    assert "--epochs 80" in command
    assert command.endswith("--out runs/a-longer")


def test_of_holes_it_is_said_that_what_was_seen_is_estimated():
    x = torch.zeros(3, 2)
    assert of_seen(Dataset(x)) == ""
    assert "log p of the numbers seen" in of_seen(Dataset(x, mask=torch.ones(3, 2, dtype=torch.bool)))
