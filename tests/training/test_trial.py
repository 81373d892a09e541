"""What a pair raises in training is one line with the place: tried before anything is written, told after."""

import warnings
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.models import Model
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.processes import Group
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.training import saving
from ppl_vae.training.trial import sizes_to_come, told, try_steps
from tests.fits import TRAIN, assert_same, settings, weights
from tests.pairs import amortized, bits, vae_pair

ROWS = 33


class Normalized(Model):
    """A decoder with running statistics, which one row alone has none of; it can be made to fail at a step."""

    def __init__(self, fails_at: int = -1, fault: Any = None) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 12))
        self.fails_at, self.fault, self.steps = fails_at, fault, 0

    def forward(self, batch: Batch) -> Tensor:
        one = torch.ones_like(self.net[0].weight[0])
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(0 * one, one).to_event(1))
            flat = z.reshape(-1, 2)
            self.steps += self.training and flat.requires_grad
            if self.steps == self.fails_at:
                flat = self.fault(flat)
            logits = self.net(flat).reshape(*z.shape[:-1], 3, 4)
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


def pair(**options: Any) -> tuple[Normalized, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Normalized(**options)
        return model, amortized(model, bits(2))


def data(rows: int = ROWS) -> Dataset:
    return Dataset(bits(rows))


def test_a_last_batch_of_one_row_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path, (model, guide) = tmp_path / "run.pt", pair()
    before, modes = weights(model, guide), [module.training for module in model.modules()]
    with pytest.raises(UserError) as caught:
        fit(model, guide, data(), settings=settings(patience=0), checkpoint_path=path)
    message = str(caught.value)
    assert message.startswith(
        "a step on 1 of the 33 rows, x of shape (1, 3, 4), failed (ValueError: Expected more than"
    )
    assert "test_trial.py:" in message
    assert message.endswith("; fix the pair, or choose a batch size that leaves no such batch.")
    assert "\n" not in message
    assert isinstance(caught.value.__cause__, ValueError)
    assert not path.exists()
    assert_same(weights(model, guide), before)
    assert [module.training for module in model.modules()] == modes


def test_without_a_batch_of_one_row_it_trains(tmp_path: Path) -> None:
    assert len(fit(*pair(), data(32), settings=settings(patience=0, epochs=2))) == 2


def test_a_trial_leaves_no_trace() -> None:
    """Statistics, gradients and modes as they were, in a model whose training step moves its statistics."""
    model, guide = pair()
    model.eval()
    before = weights(model, guide)
    try_steps(model, guide, TraceELBO(), data(), [16, 7])
    assert_same(weights(model, guide), before)
    assert not any(module.training for module in model.modules())
    assert all(param.grad is None for program in (model, guide) for param in program.parameters())
    model.train()
    fit(model, guide, data(32), settings=settings(patience=0, epochs=1))
    assert not torch.equal(model.net[1].running_mean, before["0 net.1.running_mean"])  # a step does move them


@pytest.mark.parametrize(
    ("num_data", "batch_size", "accumulate", "processes", "sizes"),
    [
        (33, 16, 1, 1, [[16, 1]]),
        (32, 16, 1, 1, [[16]]),
        (10, 16, 1, 1, [[10]]),
        (33, 16, 1, 2, [[8, 1], [8]]),
        (35, 16, 1, 2, [[8, 2], [8, 1]]),
        (50, 15, 1, 4, [[4, 2], [4, 1], [4, 1], [3, 1]]),
        (33, 8, 2, 1, [[8, 1]]),
        (20, 8, 4, 1, [[8, 4]]),
        (33, 6, 3, 2, [[3, 2], [3, 1]]),
        (23, 5, 2, 2, [[3, 2], [3, 2, 1]]),
    ],
)
def test_the_sizes_that_will_come(
    num_data: int, batch_size: int, accumulate: int, processes: int, sizes: list[list[int]]
) -> None:
    chosen = FitConfig(batch_size=batch_size, accumulate=accumulate)
    pair = vae_pair()
    step = EagerStep(*pair, TraceELBO(), PairOptimizer(*pair, chosen.optimizer), TRAIN, at_once=batch_size)
    groups = [Group(rank, processes) for rank in range(processes)]
    assert [sizes_to_come(num_data, chosen, group) for group in groups] == sizes
    for group, expected in zip(groups, sizes, strict=True):
        steps = torch.arange(num_data).split(chosen.step_size)
        parts = [part for index in steps for part in DistributedStep(step, group).parts_of(index)]
        assert {len(part) for part in parts} == set(expected)
        if processes == 1:
            assert [len(part) for index in steps for part in step.parts_of(index)] == list(map(len, parts))


def out_of_range(z: Tensor) -> Tensor:
    return torch.distributions.Normal(z, -z.abs(), validate_args=True).rsample()


def no_such_row(z: Tensor) -> Tensor:
    return z[torch.arange(len(z)) + 1]


def out_of_memory(z: Tensor) -> Tensor:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (out_of_range, r"ValueError: Expected parameter scale .* of distribution Normal"),
        (no_such_row, r"IndexError: index 16 is out of bounds"),
    ],
)
def test_a_step_that_fails_is_one_line_and_the_last_checkpoint_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, said: str
) -> None:
    """The trial is the first step of the model's count; then 2 an epoch."""
    monkeypatch.setattr(saving, "CHECKPOINT_SECONDS", -1.0)
    path, plain = tmp_path / "run.pt", settings(patience=0, epochs=4)
    whole = pair()
    fit(*whole, data(32), settings=plain)
    with pytest.raises(UserError, match=rf"^step 2 of epoch 3 failed \({said}.*, test_trial\.py:\d+\); fix") as caught:
        fit(*pair(fails_at=7, fault=fault), data(32), settings=plain, checkpoint_path=path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    state = checkpoint.load(path)
    assert (len(state["history"]), state["step"]) == (2, 1)
    mended = pair()
    fit(*mended, data(32), settings=plain, checkpoint_path=path, resume=True)
    assert_same(weights(*mended), weights(*whole))


def test_a_want_of_memory_is_no_fault_of_the_program(tmp_path: Path) -> None:
    """The command line has a line of its own for it."""
    with pytest.raises(RuntimeError, match="allocate memory"):
        fit(*pair(fails_at=4, fault=out_of_memory), data(32), settings=settings(patience=0))


def test_what_a_callback_of_the_user_s_raises_is_the_user_s() -> None:
    def callback(_: object) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(*pair(), data(32), settings=settings(patience=0), on_epoch=callback)


def test_a_validation_that_fails_is_one_line() -> None:
    class Unlike(nn.Module):
        """As many rows as the validation data has are too many for it."""

        def __init__(self, guide: nn.Module) -> None:
            super().__init__()
            self.guide = guide

        def forward(self, batch: Batch) -> object:
            if len(batch.x) == 8:
                raise KeyError("no such row")
            return self.guide(batch)

    model, guide = vae_pair()
    with pytest.raises(UserError, match=r"^the validation after epoch 1 failed \(KeyError: 'no such row', test_trial"):
        fit(model, Unlike(guide), data(32), data(8), settings())


class Undefined(Model):
    """A scale that is the logarithm of a negative number, in a density that does not look at it."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(-1.0))

    def forward(self, batch: Batch) -> Tensor:
        one = torch.ones(2)
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(0 * one, one).to_event(1))
            loc = z.sum(-1)[..., None, None].expand(*z.shape[:-1], 3, 4)
            density = dist.Normal(loc, self.raw.log(), validate_args=False)
            return pyro.sample("x", density.to_event(2), obs=batch.x)


def test_a_log_density_that_is_not_a_number_is_one_line_of_ours(tmp_path: Path) -> None:
    """Pyro warns of it; nobody sees the warning."""
    model, path = Undefined(), tmp_path / "run.pt"
    guide = amortized(model, bits(2))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(UserError, match=r"failed \(NaN in log_prob_sum at site 'x'\); fix the pair"):
            fit(model, guide, data(32), settings=settings(patience=0), checkpoint_path=path)
    assert not seen
    assert not path.exists()


def test_an_error_of_ours_stays_as_it_is() -> None:
    with pytest.raises(UserError, match=r"^ours$"), told("anything", "do something"):
        raise UserError("ours")


def test_a_diverged_scale_is_a_divergence(tmp_path: Path) -> None:
    wild = settings(patience=0, optimizer=OptimizerConfig(learning_rate=1e30))
    with pytest.raises(UserError, match="training diverged in epoch 1"):
        fit(*vae_pair(), data(32), settings=wild, checkpoint_path=tmp_path / "run.pt")
