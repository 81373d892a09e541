"""Recording as a CUDA graph. Without a GPU the graph is played by a call of the function that writes to one place."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep
from ppl_vae.tracing import cuda_graph
from ppl_vae.tracing.cuda_graph import Recorded
from tests.pairs import stripes_data, vae_pair


def played(call: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], object], tuple[Tensor, ...]]:
    for _ in range(3):
        call()
    results = tuple(result.clone() for result in call())

    def replay() -> None:
        for result, value in zip(results, call(), strict=True):
            result.copy_(value)

    return replay, results


def walk(position: Tensor, towards: Tensor) -> tuple[Tensor]:
    position += 0.5 * (towards - position) + torch.rand(())
    return (position.sum(),)


def test_recording_changes_nothing_and_calls_change_what_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph, "record", played)
    position, other = torch.zeros(3), torch.zeros(3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    recorded = Recorded(walk, [position], [torch.ones(3)])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(position, torch.zeros(3))
    mine = [recorded(torch.full((3,), value))[0].clone() for value in (4.0, -2.0)]
    torch.manual_seed(0)
    plain = [walk(other, torch.full((3,), value))[0] for value in (4.0, -2.0)]
    assert torch.equal(position, other)
    assert [float(value) for value in mine] == [float(value) for value in plain]
    assert mine[0] != mine[1]


@pytest.mark.cuda
def test_recorded_steps_learn_what_eager_ones_do() -> None:
    """Inductor draws noise of its own, so that they agree in what they come to."""
    last = []
    for kind in (EagerStep, TracedStep):
        model, guide = (program.cuda() for program in vae_pair())
        data = stripes_data(200).to(torch.device("cuda"))
        optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.01))
        more = () if kind is EagerStep else (50,)
        step = kind(model, guide, TraceELBO(), optimizer, data, *more)
        first = step(torch.arange(50, device="cuda")).clone()
        for _ in range(300):
            step(torch.randperm(200, device="cuda")[:50])
        sums = torch.stack([step(torch.arange(50, device="cuda")).clone() for _ in range(20)]).mean(0) / 50
        assert sums[0] > first[0] / 50 + 0.5
        last.append(sums[0])
    assert abs(last[0] - last[1]) < 0.3
