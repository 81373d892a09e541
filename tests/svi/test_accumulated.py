"""Batches whose gradients are added up take the step of one batch of all their datapoints."""

import copy
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppl_vae import fit
from ppl_vae.data import Dataset
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep, engine
from ppl_vae.svi.engine import Step
from ppl_vae.testing import Case
from ppl_vae.tracing.capture import NotTraceableError
from tests.conformance import CASES
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import vae_pair
from tests.svi import several_processes as jobs

TRACED = ("two-latents, diagonal, amortized", "vae, full-rank, per-datapoint")
AS_TRACED = partial(TracedStep, compile_graph=lambda graph, examples: graph)


def steps(step: Step, num_rows: int, size: int) -> Tensor:
    """The sums of two epochs in batches of a size, with a KL weight that changes."""
    torch.manual_seed(3)
    indices = [index for _ in range(2) for index in torch.randperm(num_rows).split(size)]
    torch.manual_seed(4)
    return torch.stack([step(index, 0.3 + 0.1 * number) for number, index in enumerate(indices)])


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
@pytest.mark.parametrize("pair", [jobs.exact_pair, jobs.table_pair])
def test_a_step_is_that_of_one_batch(pair, optimizer: str) -> None:
    """Where nothing is drawn: 21 rows in steps of 10 and a last one of 1; batches of 4, 4 and 2."""
    chosen = OptimizerConfig(0.05, clip_norm=5.0, weight_decay=0.1, optimizer=optimizer)
    found = []
    for at_once in (None, 4, 1):
        programs = pair()
        step = EagerStep(*programs, TraceELBO(), PairOptimizer(*programs, chosen), Dataset(jobs.X), at_once=at_once)
        found.append((steps(step, 21, 10), weights(*programs), step.optimizer.state_dict()))
    for other in found[1:]:
        jobs_close(other, found[0])
    assert any((found[0][1][name] - value).abs().max() > 0.01 for name, value in weights(*pair()).items())


def jobs_close(one: object, other: object) -> None:
    torch.testing.assert_close(_flat(one), _flat(other), rtol=1e-10, atol=1e-10)


def _flat(value: object) -> list[Tensor]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    if parts is None:
        return [value] if isinstance(value, Tensor) else []
    return [each for part in parts for each in _flat(part)]


def test_a_short_batch_counts_by_its_datapoints() -> None:
    """The mean of its parts' means, which would weigh 2 rows as much as 8, is another gradient."""
    model, guide = jobs.exact_pair()
    data, index = Dataset(jobs.X), torch.arange(10)

    def gradient(step: EagerStep, parts: list[Tensor], num_rows: int) -> Tensor:
        model.zero_grad()
        step.add_gradients(parts, num_rows, 1.0)
        return torch.cat([param.grad.flatten() for param in model.parameters()])

    step = EagerStep(model, guide, TraceELBO(), PairOptimizer(model, guide, OptimizerConfig()), data)
    whole = gradient(step, [index], 10)
    torch.testing.assert_close(gradient(step, [index[:8], index[8:]], 10), whole, rtol=1e-10, atol=1e-10)
    means = (gradient(step, [index[:8]], 8) + gradient(step, [index[8:]], 2)) / 2
    assert (means - whole).abs().max() > 0.01 * whole.abs().max()


@pytest.mark.parametrize("name", ["rows", "encoder"])
def test_a_fit_is_that_of_larger_batches_with_the_same_noise(tmp_path: Path, name: str) -> None:
    """21 rows: two steps of 8 and one of 5; rows of a per-datapoint guide, and a bound of three draws."""
    large = jobs.train_given(tmp_path / "large.pt", name, batch_size=8)
    small = jobs.train_given(tmp_path / "small.pt", name, batch_size=3, accumulate=1)
    parts = jobs.train_given(tmp_path / "parts.pt", name, batch_size=2, accumulate=4)
    assert [each.elbo for each in parts] == pytest.approx([each.elbo for each in large], abs=1e-9)
    assert [each.elbo for each in parts] != pytest.approx([each.elbo for each in small], abs=1e-3)
    states = [checkpoint.load(tmp_path / file) for file in ("large.pt", "parts.pt")]
    jobs_close(*[[state[key] for key in ("model", "guide", "optimizer")] for state in states])


@pytest.mark.parametrize("case", [case for case in CASES if case.name in TRACED], ids=lambda case: case.name)
def test_traced_steps_are_the_eager_ones(case: Case) -> None:
    case = case.double()
    pair, data, found = case.pair(), Dataset(case.x, case.y), []
    for traced in (False, True):
        programs = copy.deepcopy(pair)
        optimizer = PairOptimizer(*programs, OptimizerConfig(0.01, clip_norm=1.0, weight_decay=0.1))
        step = EagerStep(*programs, TraceELBO(), optimizer, data, at_once=2)
        found.append((steps(AS_TRACED(step, 6) if traced else step, len(data), 6), optimizer.state_tensors()))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-8)
    assert not torch.equal(found[0][1][0], PairOptimizer(*pair, OptimizerConfig()).state_tensors()[0])


def test_batches_of_unlike_sizes_are_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = vae_pair()
    step = EagerStep(*pair, TraceELBO(), PairOptimizer(*pair, OptimizerConfig()), TRAIN, at_once=4)
    with pytest.raises(NotTraceableError, match="a step's 10 rows are 3 batches, not all of one size"):
        AS_TRACED(step, 10)
    monkeypatch.setattr(engine, "TracedStep", AS_TRACED)
    said: list[str] = []
    for batch_size in (16, 10):  # 50 rows in one step
        chosen = settings(patience=0, epochs=2, kl_warmup=1, engine="traced", batch_size=batch_size, accumulate=5)
        fit(*vae_pair(), TRAIN, settings=chosen, on_engine=said.append)
    assert [words.partition(":")[0] for words in said] == ["eager", "traced"]


def test_schedules_count_steps_and_a_stopped_fit_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """50 rows in batches of 8, two to a step: four steps an epoch, the last one of two rows."""
    chosen, counts, path = settings(batch_size=8, accumulate=2), list[int](), tmp_path / "cut.pt"
    assert chosen.steps_per_epoch(len(TRAIN)) == 4
    whole = vae_pair()
    history = fit(*whole, TRAIN, VALIDATION, chosen, on_step=counts.append)
    assert counts == list(range(21))
    assert [each.kl_weight for each in history] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])

    def stop(step: int) -> bool:
        if step == 10:
            signal.raise_signal(signal.SIGINT)
        return False

    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, chosen, checkpoint_path=path, on_step=stop)
    pair = vae_pair(seed=99)
    fit(*pair, TRAIN, VALIDATION, chosen, checkpoint_path=path, resume=True)
    assert_same(weights(*pair), weights(*whole))
