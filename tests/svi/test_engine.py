"""Which way steps are taken: auto shows the first epoch as soon as an eager run does, and compiles then."""

import signal
from functools import partial
from pathlib import Path

import pytest
from torch import Tensor

from ppl_vae import fit
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep, engine
from ppl_vae.svi.engine import begins_eagerly
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
