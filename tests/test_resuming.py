"""fit() can be stopped anywhere and goes on as if it had not been."""

import dataclasses
import itertools
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import UserError, fit
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.svi import EagerStep, OptimizerConfig, TracedStep, engine, schedule
from ppl_vae.tracing.capture import Engine
from ppl_vae.training import fitting, saving
from ppl_vae.training.metrics import EpochMetrics
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import stripes_data, vae_pair


def uninterrupted(path: Path) -> tuple[dict[str, Tensor], checkpoint.State]:
    model, guide = vae_pair()
    fit(model, guide, TRAIN, VALIDATION, settings(), checkpoint_path=path)
    return weights(model, guide), checkpoint.load(path)


def resumed(path: Path) -> tuple[dict[str, Tensor], checkpoint.State]:
    """In a new pair, initialised otherwise, and from other global random numbers."""
    model, guide = vae_pair(seed=99)
    torch.manual_seed(77)
    history = fit(model, guide, TRAIN, VALIDATION, settings(), checkpoint_path=path, resume=True)
    assert [metrics.epoch for metrics in history] == [1, 2, 3, 4, 5]
    return weights(model, guide), checkpoint.load(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_two_steps_and_resuming_is_as_if_it_had_not(tmp_path: Path, number: int) -> None:
    whole = uninterrupted(tmp_path / "whole.pt")
    path = tmp_path / "cut.pt"

    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 2:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    model, guide = vae_pair()
    with pytest.raises(Interrupted):
        fit(model, guide, TRAIN, VALIDATION, settings(), checkpoint_path=path, on_epoch=stop)
    assert signal.getsignal(number) is before
    cut = checkpoint.load(path)
    assert (len(cut["history"]), cut["step"]) == (2, 1)  # in the middle of the third epoch
    assert_same(dict(model.state_dict()), dict(cut["model"]))
    assert not torch.equal(cut["model"]["decoder.net.0.weight"], whole[1]["model"]["decoder.net.0.weight"])
    assert_same(resumed(path), whole)


@pytest.mark.parametrize("kind", ["eager", pytest.param("traced", marks=pytest.mark.slow)])
def test_on_step_sees_each_step_and_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Engine
) -> None:
    """From the untrained pair on, through an interruption in mid-epoch; the run is the one that nobody watched."""
    monkeypatch.setattr(engine, "TracedStep", partial(TracedStep, compile_graph=lambda graph, examples: graph))
    plain = settings(engine=kind, patience=0, epochs=3)
    unseen = vae_pair()
    fit(*unseen, TRAIN, VALIDATION, plain)

    seen: list[int] = []
    values: list[dict[str, Tensor]] = []

    def watch(pair: tuple[nn.Module, nn.Module], stop_at: int, step: int) -> None:
        seen.append(step)
        values.append(weights(*pair))
        if step == stop_at:
            signal.raise_signal(signal.SIGINT)

    pair, path = vae_pair(), tmp_path / "cut.pt"
    with pytest.raises(Interrupted):
        fit(*pair, TRAIN, VALIDATION, plain, checkpoint_path=path, on_step=partial(watch, pair, 6))
    pair = vae_pair(seed=99)
    fit(*pair, TRAIN, VALIDATION, plain, checkpoint_path=path, resume=True, on_step=partial(watch, pair, -1))
    assert seen == [*range(7), *range(6, 13)]  # three epochs of four steps
    assert_same(values[0], weights(*vae_pair()))
    assert_same(values[6], values[7])
    assert all(
        not torch.equal(a["0 decoder.net.0.weight"], b["0 decoder.net.0.weight"])
        for a, b in itertools.pairwise(values[:7])
    )
    assert_same(values[-1], weights(*unseen))


@pytest.mark.slow
def test_a_traced_run_is_the_eager_one_and_resuming_it_is_as_if_it_had_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, not compiled, which would take seconds: the order of a sum's terms is all that compiling changes."""
    as_traced = partial(TracedStep, compile_graph=lambda graph, examples: graph)
    monkeypatch.setattr(engine, "TracedStep", as_traced)
    ends, said = [], []
    for kind in ("eager", "traced"):
        model, guide = vae_pair()
        fit(model, guide, TRAIN, VALIDATION, settings(engine=kind), on_engine=said.append)
        ends.append(weights(model, guide))
    assert [words.partition(":")[0] for words in said] == ["eager", "traced"]
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-4, atol=1e-5)

    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    path = tmp_path / "cut.pt"
    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, settings(engine="traced"), checkpoint_path=path, on_epoch=stop)
    model, guide = vae_pair(seed=99)
    fit(model, guide, TRAIN, VALIDATION, settings(engine="traced"), checkpoint_path=path, resume=True)
    assert_same(weights(model, guide), ends[1])


MANNERS = {
    "cosine after a warm-up": OptimizerConfig(0.01, schedule="cosine", rate_warmup=2, weight_decay=0.3),
    "plateau": OptimizerConfig(0.3, schedule="plateau", weight_decay=0.1),
    "RMSprop": OptimizerConfig(
        0.003,
        schedule="cosine",
        rate_warmup=2,
        weight_decay=0.3,
        weight_average=0.9,
        clip_norm=10.0,
        optimizer="RMSprop",
        optimizer_options=("momentum=0.5", "centered=true"),
    ),
}


@pytest.mark.parametrize("manner", MANNERS)
def test_step_sizes_go_on_as_if_it_had_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    """In the middle of an epoch, and under a plateau after it has been reached."""
    monkeypatch.setattr(schedule, "PLATEAU_EPOCHS", 1)
    chosen = settings(epochs=9, kl_warmup=1, patience=0, optimizer=MANNERS[manner])
    rates: list[float] = []

    class Recorder(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            rates.append(self.optimizer.of_shared.param_groups[0]["lr"])
            return super().__call__(index, kl_weight)

    monkeypatch.setattr(fitting, "EagerStep", Recorder)
    whole = vae_pair()
    fit(*whole, TRAIN, VALIDATION, chosen)
    told, path = rates.copy(), tmp_path / "cut.pt"
    rates.clear()
    assert len(set(told)) > 1
    assert max(told) > 3 * min(told)

    def stop(step: int) -> bool:
        if step == 26:
            signal.raise_signal(signal.SIGINT)
        return False

    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, chosen, checkpoint_path=path, on_step=stop)
    pair = vae_pair(seed=99)
    fit(*pair, TRAIN, VALIDATION, chosen, checkpoint_path=path, resume=True)
    assert rates == told
    assert_same(weights(*pair), weights(*whole))


@pytest.mark.parametrize("last_step", [False, True])
def test_stopped_at_any_step_of_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: bool) -> None:
    """Also after an epoch's last step, when nothing is left of it but to be reckoned up."""
    whole = uninterrupted(tmp_path / "whole.pt")
    stop_at = 12 if last_step else 11
    count = 0

    class Stopping(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            nonlocal count
            count += 1
            if count == stop_at:
                signal.raise_signal(signal.SIGINT)
            return super().__call__(index, kl_weight)

    path = tmp_path / "cut.pt"
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "EagerStep", Stopping)
        with pytest.raises(Interrupted):
            fit(*vae_pair(), TRAIN, VALIDATION, settings(), checkpoint_path=path)
    assert checkpoint.load(path)["step"] == stop_at - 8
    assert_same(resumed(path), whole)


def test_resuming_from_the_last_save_is_as_if_it_had_not_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in a step: what is on disk is the state before it, for it was time to save after the one before."""
    whole = uninterrupted(tmp_path / "whole.pt")
    count = 0

    class Crashing(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            nonlocal count
            count += 1
            if count == 15:
                raise RuntimeError("the power failed")
            return super().__call__(index, kl_weight)

    path = tmp_path / "cut.pt"
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "EagerStep", Crashing)
        patch.setattr(saving, "CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(UserError, match=r"^step 3 of epoch 4 failed \(RuntimeError: the power failed\)"):
            fit(*vae_pair(), TRAIN, VALIDATION, settings(), checkpoint_path=path)
    cut = checkpoint.load(path)
    assert (len(cut["history"]), cut["step"]) == (3, 2)
    assert_same(resumed(path), whole)


def test_a_seed_decides_everything() -> None:
    def run(seed: int) -> dict[str, Tensor]:
        torch.seed()  # whatever the global generator holds
        model, guide = vae_pair()
        fit(model, guide, TRAIN, settings=settings(epochs=2, patience=0, seed=seed))
        return weights(model, guide)

    first = run(1)
    assert_same(run(1), first)
    other = run(2)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    model, guide = vae_pair()
    history = fit(model, guide, TRAIN, VALIDATION, settings(), checkpoint_path=path)
    again_model, again_guide = vae_pair(seed=99)
    again = fit(again_model, again_guide, TRAIN, VALIDATION, settings(), checkpoint_path=path, resume=True)
    assert again == history
    assert_same(weights(again_model, again_guide), weights(model, guide))


@pytest.mark.parametrize("patience", [0, 4])
def test_more_epochs_go_on_from_the_end(tmp_path: Path, patience: int) -> None:
    """Also where the shorter run has ended with its best weights: its checkpoint has the last ones."""
    path = tmp_path / "run.pt"
    constant = settings(patience=patience, kl_warmup=0, optimizer=OptimizerConfig(learning_rate=0.01))
    whole = vae_pair()
    fit(*whole, TRAIN, VALIDATION, constant)
    fit(*vae_pair(), TRAIN, VALIDATION, dataclasses.replace(constant, epochs=2), checkpoint_path=path)
    longer = vae_pair(seed=99)
    fit(*longer, TRAIN, VALIDATION, constant, checkpoint_path=path, resume=True)
    assert_same(weights(*longer), weights(*whole))


def test_a_signal_in_the_last_epoch_is_not_swallowed(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"

    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        fit(*vae_pair(), TRAIN, VALIDATION, settings(), checkpoint_path=path, on_epoch=stop)
    assert len(checkpoint.load(path)["history"]) == 5
    assert_same(resumed(path), uninterrupted(tmp_path / "whole.pt"))


def test_resuming_for_fewer_epochs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=3, kl_warmup=0), checkpoint_path=path)
    with pytest.raises(UserError, match=r"has 3 epochs already"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=2, kl_warmup=0), checkpoint_path=path, resume=True)


def test_a_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_text("mine")
    with pytest.raises(UserError, match=r"run\.pt exists; resume it, or choose another path"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), checkpoint_path=path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "rows", "what"),
    [({"batch_size": 8}, 50, "batch_size"), ({"seed": 4}, 50, "seed"), ({}, 40, "number of datapoints")],
)
def test_resuming_needs_what_was_begun_with(tmp_path: Path, changes: dict[str, Any], rows: int, what: str) -> None:
    path = tmp_path / "run.pt"
    fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path)
    other = settings(**{"patience": 0, "epochs": 2, "kl_warmup": 0, **changes})
    with pytest.raises(UserError, match=f"{what} differ from the checkpoint's"):
        fit(*vae_pair(), stripes_data(rows), settings=other, checkpoint_path=path, resume=True)


def test_the_first_checkpoint_is_there_before_the_first_epoch_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"

    def stop(_: EpochMetrics) -> None:
        raise RuntimeError("early")

    with pytest.raises(RuntimeError, match="early"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), checkpoint_path=path, on_epoch=stop)
    assert checkpoint.load(path)["history"] == []


def test_resuming_needs_a_checkpoint_of_this_pair(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="path of a checkpoint"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), resume=True)
    path = tmp_path / "run.pt"
    with pytest.raises(UserError, match="no checkpoint there"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), checkpoint_path=path, resume=True)
    fit(*vae_pair(hidden=(7,)), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path)
    with pytest.raises(UserError, match="of another model or guide") as caught:
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, kl_warmup=0), checkpoint_path=path, resume=True)
    assert "\n" not in str(caught.value)
