"""Which way steps are taken: auto shows the first epoch as soon as an eager run does, and compiles then."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ppl_vae import fit
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.runtime.processes import Group
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep, choose_step, engine
from ppl_vae.svi.distributed import DistributedStep
from ppl_vae.svi.engine import after_callback, begins_eagerly
from ppl_vae.tracing.capture import Engine
from tests.fits import TRAIN, assert_same, settings, weights
from tests.pairs import vae_pair


@pytest.mark.parametrize(
    ("kind", "steps", "epochs", "eagerly"),
    [
        ("auto", 400, 100, True),
        ("auto", 400, 1, False),  # too few in all: never compiled
        ("auto", 10**6, 100, False),  # an epoch that is longer than compiling
        ("traced", 400, 100, False),
        ("eager", 400, 100, False),
    ],
)
def test_auto_begins_eagerly_where_an_epoch_is_over_before_compiling_pays(kind, steps, epochs, eagerly):
    pair = vae_pair()
    step = EagerStep(*pair, TraceELBO(), PairOptimizer(*pair, OptimizerConfig()), TRAIN)
    assert begins_eagerly(kind, step, 16, steps, epochs) == eagerly


class Besides(Group):
    """Two processes, as the first one sees them; the other has something to say, or nothing."""

    said: str | None = None

    def one_before_all(self, function: Callable[[], Any]) -> Any:
        return function()

    def first_of(self, message: str | None) -> str | None:
        return message or self.said


def test_none_of_several_processes_traces_where_one_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would wait for the message that the other does not send."""
    monkeypatch.setattr(engine, "TracedStep", partial(TracedStep, compile_graph=lambda graph, examples: graph))
    pair, group = vae_pair(), Besides(0, 2, 0, 2)
    shared = DistributedStep(EagerStep(*pair, TraceELBO(), PairOptimizer(*pair, OptimizerConfig()), TRAIN), group)
    step, why = choose_step("traced", shared, 16, 10)
    assert isinstance(step, TracedStep)
    assert why == "traced: one step compiled, 10 to take, each shared by 2 processes"
    said: list[str] = []
    assert after_callback(step, said.append) is step
    monkeypatch.setattr(Besides, "said", "there is no compiler")
    assert after_callback(step, said.append) is shared
    assert said == ["eager from here on: after a callback the step cannot be traced (there is no compiler)"]
    assert choose_step("traced", shared, 16, 10) == (shared, "eager: the step cannot be traced (there is no compiler)")


@pytest.mark.parametrize(("kind", "size"), [("eager", 16), ("traced", 1), ("auto", 16)])
def test_several_processes_take_eager_steps_where_one_does_and_where_a_part_would_be_empty(kind: Engine, size: int):
    pair = vae_pair()
    eager = EagerStep(*pair, TraceELBO(), PairOptimizer(*pair, OptimizerConfig()), TRAIN)
    shared = DistributedStep(eager, Besides(0, 2, 0, 2))
    step, why = choose_step(kind, shared, size, 10)
    assert step is shared
    assert why.startswith("eager: ")


def test_the_first_epoch_is_eager_the_others_traced_and_resuming_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, not compiled, which would take seconds. An epoch has four steps; five of them pay for compiling."""
    taken: list[str] = []

    class Eager(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            taken.append("eager")
            return super().__call__(index, kl_weight)

    class Traced(TracedStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            taken.append("traced")
            return super().__call__(index, kl_weight)

    monkeypatch.setattr("ppl_vae.training.fitting.EagerStep", Eager)
    monkeypatch.setattr(engine, "TracedStep", partial(Traced, compile_graph=lambda graph, examples: graph))
    monkeypatch.setattr(engine, "calls_that_pay", lambda elements, device: 5.0)
    monkeypatch.setattr(engine, "worth_compiling", lambda *job: True)
    auto, said, epochs = settings(engine="auto", patience=0), [], []
    whole = vae_pair()
    fit(
        *whole,
        TRAIN,
        settings=auto,
        on_engine=said.append,
        on_epoch=lambda metrics: epochs.append(len(said)),
        progress=False,
    )
    assert epochs[0] == 0
    assert said == ["traced: one step compiled, 20 to take"]
    assert taken[:4] == ["eager"] * 4
    assert taken.count("traced") == 16

    for stop_at in (2, 6):
        path = tmp_path / f"{stop_at}.pt"

        def stop(done: int, at: int = stop_at) -> bool:
            if done == at:
                signal.raise_signal(signal.SIGINT)
            return False

        with pytest.raises(Interrupted):
            fit(*vae_pair(), TRAIN, settings=auto, checkpoint_path=path, on_step=stop, progress=False)
        again = vae_pair(seed=99)
        fit(*again, TRAIN, settings=auto, checkpoint_path=path, resume=True, progress=False)
        assert_same(weights(*again), weights(*whole))
