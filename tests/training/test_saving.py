"""What is not finite is never written over what is, and no checkpoint grows old."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppl_vae import UserError, fit
from ppl_vae.runtime import checkpoint
from ppl_vae.svi import EagerStep
from ppl_vae.training import fitting, saving
from ppl_vae.training.loop import Loop
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import vae_pair
from tests.training.test_resume import KINDS


def poison_sums(step: EagerStep, sums: Tensor) -> Tensor:
    return sums * torch.nan


def poison_weights(step: EagerStep, sums: Tensor) -> Tensor:
    with torch.no_grad():
        next(step.model.parameters()).view(-1)[:1] = torch.nan
    return sums


def poison_moments(step: EagerStep, sums: Tensor) -> Tensor:
    assert step.optimizer.of_shared
    next(iter(step.optimizer.of_shared.state.values()))["exp_avg_sq"].view(-1)[:1] = torch.inf
    return sums


def poison_rows(step: EagerStep, sums: Tensor) -> Tensor:
    step.optimizer.row_adam.moments[0].mean[7] = torch.nan
    return sums


@pytest.mark.parametrize(
    "often",
    [
        pytest.param(True, id="saved in mid-epoch"),
        pytest.param(False, id="saved between epochs", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("kind", "poison", "named"),
    [
        ("early stopping", poison_sums, "the bound is not finite|reconstruction nan, KL nan"),
        ("early stopping", poison_weights, r"model\.decoder\.net\.0\.weight is not finite|reconstruction nan"),
        ("early stopping", poison_moments, "exp_avg_sq of parameter 0 is not finite"),
        ("rows", poison_rows, "mean of row table 0 is not finite"),
    ],
)
def test_what_is_not_finite_is_never_written_over_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, poison: object, named: str, often: bool
) -> None:
    """Something becomes NaN at step 3 of epoch 2; the run goes on from the last checkpoint as if it had not."""
    run, path = KINDS[kind], tmp_path / "run.pt"
    whole = run.pair()
    fit(*whole, TRAIN, run.validation, run.fits)
    count = 0

    class Poisoned(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            nonlocal count
            count += 1
            sums = super().__call__(index, kl_weight)
            return poison(self, sums) if count == 7 else sums  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "EagerStep", Poisoned)
        patch.setattr(saving, "CHECKPOINT_SECONDS", -1.0 if often else 1e9)
        with pytest.raises(UserError, match=rf"^training diverged in epoch 2 \(({named}).*lower the learning rate"):
            fit(*run.pair(), TRAIN, run.validation, run.fits, checkpoint_path=path)
    state = checkpoint.load(path)
    assert (len(state["history"]), state["step"]) == ((1, 2) if often else (0, 0))
    resumed = run.pair()
    fit(*resumed, TRAIN, run.validation, run.fits, checkpoint_path=path, resume=True)
    assert_same(weights(*resumed), weights(*whole))


def test_the_last_epoch_s_weights_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without validation nobody else would: the bound of its last step is from before it."""
    count = 0

    class Poisoned(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            nonlocal count
            count += 1
            sums = super().__call__(index, kl_weight)
            return poison_weights(self, sums) if count == 8 else sums

    monkeypatch.setattr(fitting, "EagerStep", Poisoned)
    with pytest.raises(UserError, match=r"diverged in epoch 2 \(model\.decoder\.net\.0\.weight is not finite\)"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=2))


@pytest.mark.parametrize("slow", [True, False])
def test_a_checkpoint_that_would_grow_old_in_a_validation_is_written_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """From the second one on it is known how long a validation takes."""
    path, found = tmp_path / "run.pt", []
    ours = Loop._validated

    def validate(self: Loop, data: object) -> float:
        state = checkpoint.load(path)
        found.append((len(state["history"]), state["step"]))
        if slow:
            time.sleep(0.3)
        return ours(self, data)  # type: ignore[arg-type]

    monkeypatch.setattr(Loop, "_validated", validate)
    monkeypatch.setattr(saving, "CHECKPOINT_SECONDS", 0.3 if slow else 60.0)
    whole = vae_pair()
    fit(*whole, TRAIN, VALIDATION, settings(epochs=3), checkpoint_path=path)
    assert found[1:] == ([(1, 4), (2, 4)] if slow else [(0, 0), (0, 0)])


def test_killed_in_a_validation_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is taken twice, and the end is the one of never having stopped."""
    path, plain = tmp_path / "run.pt", settings(epochs=3)
    whole = vae_pair()
    fit(*whole, TRAIN, VALIDATION, plain)

    def killed(self: Loop, data: object) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_validated", killed)
        patch.setattr(saving, "CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(KeyboardInterrupt):
            fit(*vae_pair(), TRAIN, VALIDATION, plain, checkpoint_path=path)
    steps: list[int] = []
    resumed = vae_pair(seed=5)
    fit(*resumed, TRAIN, VALIDATION, plain, checkpoint_path=path, resume=True, on_step=steps.append)
    assert steps == list(range(4, 13))
    assert_same(weights(*resumed), weights(*whole))
