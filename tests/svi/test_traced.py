"""The traced step takes the eager step's steps: on the same noise, the same sums and parameters."""

import copy
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal, Family, FullRank, PerDatapoint, SemiAmortized
from ppl_vae.models import LinearGaussian, Model, SequenceVAE
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from ppl_vae.objectives.elbo import Objective, TraceELBO
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.programs.latents import Latents
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep, choose_step
from ppl_vae.testing import Case
from ppl_vae.tracing.capture import NotTraceableError
from tests.conformance import ALL_CASES, CASES, WORDS
from tests.marks import slow_after
from tests.pairs import amortized, oracle, simulate, stripes_data, vae_pair

Step = EagerStep | TracedStep
Pair = tuple[nn.Module, nn.Module]
BATCH = 5


def as_traced(graph: GraphModule, examples: object) -> Callable[..., tuple[Tensor, ...]]:
    """The graph as it is, operation by operation: seconds less than compiling it."""
    return graph


def both(
    pair: Pair, data: Dataset, objective: Objective, settings: OptimizerConfig, *, compile_it: bool = False
) -> list[tuple[Step, Pair]]:
    """An eager and a traced step of two copies of a pair."""
    found: list[tuple[Step, Pair]] = []
    for kind in (EagerStep, TracedStep):
        model, guide = copy.deepcopy(pair)
        optimizer = PairOptimizer(model, guide, settings)
        eager = EagerStep(model, guide, objective, optimizer, data)
        more = () if compile_it else (as_traced,)
        found.append((eager if kind is EagerStep else TracedStep(eager, BATCH, *more), (model, guide)))
    return found


def steps(step: Step, data: Dataset, count: int) -> Tensor:
    """Take steps, every seventh with a ragged batch, with a KL weight that changes."""
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(3)
    sums = []
    with pyro.validation_enabled(False):
        for number in range(count):
            size = BATCH if number % 7 else BATCH - 1
            index = torch.randperm(len(data), generator=generator)[:size]
            sums.append(step(index, min(1.0, 0.1 + number / 50)))
    return torch.stack(sums)


def assert_equal(
    pair: Pair,
    data: Dataset,
    objective: Objective | None = None,
    settings: OptimizerConfig | None = None,
    count: int = 100,
    tolerance: float = 1e-10,
    *,
    compile_it: bool = False,
) -> None:
    """The same sums, the same parameters, which have moved, and the same moments, which the gradients have made."""
    objective, settings = objective or TraceELBO(), settings or OptimizerConfig(learning_rate=0.01)
    before = copy.deepcopy(pair)
    (eager, one), (traced, other) = both(pair, data, objective, settings, compile_it=compile_it)
    close = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(steps(traced, data, count), steps(eager, data, count), **close)
    torch.testing.assert_close(traced.optimizer.state_tensors(), eager.optimizer.state_tensors(), **close)
    moved = False
    for a, b, start in zip(*([*m.parameters(), *g.parameters()] for m, g in (one, other, before)), strict=True):
        torch.testing.assert_close(b, a, **close)
        moved = moved or not torch.equal(b, start)
    assert moved


def oracle_pair(family: type[Family] = Diagonal) -> tuple[Pair, Dataset]:
    torch.manual_seed(0)
    x = simulate(oracle(), 60)
    model = LinearGaussian((5,), 3).double()
    return (model, amortized(model, x, family)), Dataset(x)


# --- Equality -----------------------------------------------------------------------------------------------------


# Tracing a flow's inverse or a refinement takes seconds, so the rest of the table is for `make test-all`; so does an
# LSTM, which is hundreds of operations in float64, and convolutions.
QUICK = [
    "two-latents, diagonal, amortized",
    "vae, full-rank, per-datapoint",
]


def _is_quick(name: str) -> bool:
    return name.startswith(tuple(QUICK))


TABLE = [
    pytest.param(case, id=case.name, marks=() if case in CASES and _is_quick(case.name) else pytest.mark.slow)
    for case in ALL_CASES
]


@pytest.mark.parametrize("case", TABLE)
def test_every_pair_of_the_table_takes_the_eager_steps(case: Case) -> None:
    case = case.double()
    assert_equal(case.pair(), Dataset(case.x, case.y), tolerance=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("objective", slow_after(1, reversed(OBJECTIVES)), ids=str)
def test_every_objective(objective: ObjectiveName) -> None:
    pair, data = oracle_pair(FullRank)
    assert_equal(pair, data, OBJECTIVES[objective].make(5), OptimizerConfig(learning_rate=0.01, clip_norm=1.0))


def test_compiled_on_the_oracle() -> None:
    assert_equal(*oracle_pair(), compile_it=True)


@pytest.mark.slow
def test_compiled_with_a_table_of_rows() -> None:
    (model, guide), data = oracle_pair(FullRank)
    local = PerDatapoint(guide.latents, guide.family, len(data)).double()
    assert_equal((model, local), data, compile_it=True)


@pytest.mark.slow
def test_compiled_in_float32_with_fresh_bits() -> None:
    assert_equal(vae_pair(), stripes_data(60), count=100, tolerance=1e-3, compile_it=True)


@pytest.mark.slow
@pytest.mark.parametrize("refined", [False, True])
def test_compiled_with_an_lstm_in_float32(refined: bool) -> None:
    """Word dropout included, and where a guide differentiates the model, gradients of its gradients."""
    torch.manual_seed(0)
    model = SequenceVAE(RecurrentDecoder(2, WORDS.shape[1:], (6,)), 2, "text", word_dropout=0.5)
    family, data = Diagonal(2), Dataset(WORDS.float().repeat(4, 1, 1))
    encoder = RecurrentEncoder(WORDS.shape[1:], family.num_params, (6,), "text")
    guide = Amortized(Latents.of(model, data.probe()), family, encoder)
    pair = model, SemiAmortized(guide, model, refinement_steps=2) if refined else guide
    assert_equal(pair, data, count=30, tolerance=1e-3, compile_it=True)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_every_pair_of_the_table_compiled(case: Case) -> None:
    case = case.double()
    assert_equal(case.pair(), Dataset(case.x, case.y), tolerance=1e-8, compile_it=True)


# --- What a replay must not have frozen ---------------------------------------------------------------------------


@pytest.mark.slow
def test_noise_is_fresh_at_every_replay() -> None:
    pair, data = vae_pair(), stripes_data(60)
    step = both(pair, data, TraceELBO(), OptimizerConfig(learning_rate=1e-12), compile_it=True)[1][0]
    index = torch.arange(BATCH)
    first, second = step(index), step(index)
    assert not torch.equal(first, second)


@pytest.mark.slow
def test_the_noise_follows_the_seed() -> None:
    """Resuming puts the generators' state back, and a compiled step draws from them."""
    outcomes = []
    for seed in (1, 1, 2):
        step, _ = both(vae_pair(), stripes_data(60), TraceELBO(), OptimizerConfig(), compile_it=True)[1]
        torch.manual_seed(seed)
        outcomes.append(torch.stack([step(torch.arange(BATCH)) for _ in range(5)]))
    assert torch.equal(outcomes[0], outcomes[1])
    assert not torch.equal(outcomes[0], outcomes[2])


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_weight_decay(clip_norm: float | None) -> None:
    pair, data = oracle_pair()
    assert_equal(pair, data, settings=OptimizerConfig(learning_rate=0.01, weight_decay=0.5, clip_norm=clip_norm))


@pytest.mark.slow
def test_a_step_size_may_change_on_the_way() -> None:
    pair, data = oracle_pair()
    for factor in (1.0, 0.0):
        (step, (model, _)) = both(pair, data, TraceELBO(), OptimizerConfig())[1]
        step(torch.arange(BATCH))
        before = model.weight.detach().clone()
        step.optimizer.scale_rates(factor)
        step(torch.arange(BATCH))
        assert torch.equal(model.weight, before) == (factor == 0.0)


def test_building_a_step_changes_nothing() -> None:
    pair, data = vae_pair(), stripes_data(60)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    _, (_, other) = both(pair, data, TraceELBO(), OptimizerConfig())
    assert torch.equal(torch.get_rng_state(), state)
    for program, copied in zip(pair, other, strict=True):
        for param, same in zip(program.parameters(), copied.parameters(), strict=True):
            assert torch.equal(param, same)
            assert isinstance(same, nn.Parameter)


def test_a_frozen_parameter_stays() -> None:
    (model, guide), data = oracle_pair()
    model.mean.requires_grad_(False)
    (_, _), (step, (copied, _)) = both((model, guide), data, TraceELBO(), OptimizerConfig())
    step(torch.arange(BATCH))
    assert torch.equal(copied.mean, model.mean)
    assert not torch.equal(copied.weight, model.weight)


@pytest.mark.slow
def test_rows_that_were_not_read_stay() -> None:
    (model, guide), data = oracle_pair()
    local = PerDatapoint(guide.latents, guide.family, len(data)).double()
    step, (_, copied) = both((model, local), data, TraceELBO(), OptimizerConfig(), compile_it=True)[1]
    for _ in range(5):
        step(torch.arange(BATCH))
    assert not copied.table.weight[:BATCH].eq(0).any()
    assert torch.equal(copied.table.weight[BATCH:], torch.zeros_like(copied.table.weight[BATCH:]))


# --- What cannot be traced ----------------------------------------------------------------------------------------


class Undecided(Model):
    """A program that looks at its draw before it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = z.sum(-1, keepdim=True) * (self.scale if z.sum() > 0 else 2 * self.scale)
            return pyro.sample("x", dist.Normal(loc.expand(*loc.shape[:-1], 5), 1.0).to_event(1), obs=batch.x)


class Counting(Undecided):
    """A program that counts its runs in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        self.runs += 1
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = (z.sum(-1, keepdim=True) * self.scale).expand(*z.shape[:-1], 5)
            return pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=batch.x)


class Annealing(Undecided):
    """A program whose temperature is a Python number that falls."""

    temperature = 2.0

    def forward(self, batch: Batch) -> Tensor:
        self.temperature *= 0.9
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = (z.sum(-1, keepdim=True) * self.scale).expand(*z.shape[:-1], 5)
            return pyro.sample("x", dist.Normal(loc, self.temperature).to_event(1), obs=batch.x)


class Elsewhere(Undecided):
    """A program that draws from NumPy's generator."""

    def forward(self, batch: Batch) -> Tensor:
        noise = torch.from_numpy(np.random.default_rng().normal(size=5)).float()
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = (z.sum(-1, keepdim=True) * self.scale).expand(*z.shape[:-1], 5) + noise
            return pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=batch.x)


NOT_TRACED = [
    (Undecided, "reads a tensor's value"),
    (Counting, "buffer 'runs'"),
    (Annealing, "another at each call"),
    (Elsewhere, "another at each call"),
]


@pytest.mark.parametrize(("kind", "words"), slow_after(1, NOT_TRACED))
def test_what_cannot_be_traced_is_taken_eagerly_and_says_why(kind: type[Model], words: str) -> None:
    data = Dataset(torch.randn(20, 5))
    model = kind()
    guide = amortized(model, data.x)
    optimizer = PairOptimizer(model, guide, OptimizerConfig())
    before = [buffer.clone() for buffer in model.buffers()]
    with pytest.raises(NotTraceableError, match=words):
        TracedStep(EagerStep(model, guide, TraceELBO(), optimizer, data), BATCH)
    assert all(map(torch.equal, model.buffers(), before))  # as if it had not been tried
    chosen = choose_step("traced", EagerStep(model, guide, TraceELBO(), optimizer, data), BATCH, 10)
    assert isinstance(chosen.step, EagerStep)
    assert words in chosen.why
    assert chosen.step(torch.arange(BATCH)).isfinite().all()


@pytest.mark.slow
def test_auto_compiles_only_what_is_worth_it() -> None:
    pair, data = oracle_pair()
    optimizer = PairOptimizer(*pair, OptimizerConfig())
    few = choose_step("auto", EagerStep(*pair, TraceELBO(), optimizer, data), BATCH, 100)
    assert isinstance(few.step, EagerStep)
    many = choose_step("auto", EagerStep(*pair, TraceELBO(), optimizer, data), BATCH, 1_000_000)
    assert isinstance(many.step, TracedStep)
    assert isinstance(
        choose_step("eager", EagerStep(*pair, TraceELBO(), optimizer, data), BATCH, 1_000_000).step, EagerStep
    )
