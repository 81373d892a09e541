"""What fit() refuses, and that it says what is wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ppl_vae import UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.runtime import checkpoint
from ppl_vae.svi import OptimizerConfig
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import TwoLatents, amortized, vae_pair


def test_a_diverging_run_is_an_error_and_the_checkpoint_stays_sound(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    wild = settings(patience=0, optimizer=OptimizerConfig(learning_rate=1e30))
    with pytest.raises(UserError, match=r"training diverged in epoch 1 .*lower the learning rate or set a clip norm"):
        fit(*vae_pair(), TRAIN, settings=wild, checkpoint_path=path)
    state = checkpoint.load(path)
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": -3}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_particles": 0}, "num_particles"),
        ({"kl_weight": -0.1}, "kl_weight"),
        ({"kl_weight": float("nan")}, "kl_weight"),
        ({"kl_weight": float("inf")}, "kl_weight"),
        ({"kl_warmup": -1}, "kl_warmup"),
        ({"patience": -1}, "patience"),
        ({"seed": -1}, "seed"),
        ({"objective": "elbow"}, "objective"),
        ({"optimizer": OptimizerConfig(learning_rate=0.0)}, "learning_rate"),
        ({"optimizer": OptimizerConfig(learning_rate=float("nan"))}, "learning_rate"),
        ({"optimizer": OptimizerConfig(adam_epsilon=0.0)}, "adam_epsilon"),
        ({"optimizer": OptimizerConfig(clip_norm=0.0)}, "clip_norm"),
        ({"optimizer": OptimizerConfig(clip_norm=float("nan"))}, "clip_norm"),
        ({"optimizer": OptimizerConfig(schedule="linear")}, "schedule"),
        ({"optimizer": OptimizerConfig(weight_decay=-0.1)}, "weight_decay"),
        ({"optimizer": OptimizerConfig(rate_warmup=-1)}, "rate_warmup"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_out_of_range_are_named(changes: dict[str, Any], name: str) -> None:
    model, guide = vae_pair()
    before = weights(model, guide)
    with pytest.raises(UserError, match=f"^`{name}`: must be") as caught:
        fit(model, guide, TRAIN, VALIDATION, settings(**changes))
    assert "\n" not in str(caught.value)
    assert_same(weights(model, guide), before)


@pytest.mark.parametrize(
    ("device", "message"), [("tpu-9", "unknown device"), ("cuda:99", "not there"), ("meta", "not supported")]
)
def test_a_device_that_is_not_there(device: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, device=device))


def test_a_kl_without_a_closed_form_is_named() -> None:
    model, x = TwoLatents(), torch.randn(20, 4)
    with pytest.raises(UserError, match=r"site 'rate': .*no closed form"):
        fit(model, amortized(model, x), Dataset(x), settings=settings(patience=0, objective="elbo-analytic-kl"))


def test_a_pair_without_parameters_is_refused() -> None:
    model, guide = vae_pair()
    for program in (model, guide):
        program.requires_grad_(False)
    with pytest.raises(UserError, match="nothing to train"):
        fit(model, guide, TRAIN, settings=settings(patience=0))


def test_patience_needs_validation_data() -> None:
    with pytest.raises(UserError, match="patience needs validation data"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=3))


def test_a_plateau_needs_validation_data() -> None:
    plateau = settings(patience=0, optimizer=OptimizerConfig(schedule="plateau"))
    with pytest.raises(UserError, match=r"^`schedule` plateau needs validation data; .* or `schedule` cosine"):
        fit(*vae_pair(), TRAIN, settings=plateau)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 2, "kl_warmup": 2}, "`kl_warmup` 2 is no shorter than the training, `epochs` 2: the KL has"),
        ({"epochs": 2, "rate_warmup": 3}, "`rate_warmup` 3 is no shorter than the training, `epochs` 2: step sizes"),
        ({"schedule": "plateau", "patience": 5}, "`patience` 5 ends training before `schedule` plateau"),
    ],
)
def test_what_never_comes_to_its_end_is_warned_of_in_one_line(changes: dict[str, Any], words: str) -> None:
    said: list[str] = []
    usual = {"epochs": 3, "kl_warmup": 1, "patience": 0, "rate_warmup": 1, "schedule": "constant"}
    fit(*vae_pair(), TRAIN, VALIDATION, settings(), warn=said.append, **{**usual, **changes})
    (line,) = said
    assert line.startswith(words)
    assert "\n" not in line


def test_a_pair_that_does_not_match_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    model, _ = vae_pair()
    _, guide = vae_pair(latent_dim=3)
    path = tmp_path / "run.pt"
    with pytest.raises(UserError, match="site 'z'"):
        fit(model, guide, TRAIN, settings=settings(patience=0), checkpoint_path=path)
    assert not path.exists()


def test_values_outside_the_support_are_refused() -> None:
    with pytest.raises(UserError, match=r"site 'x': values outside the support"):
        fit(*vae_pair(), Dataset(2 * TRAIN.x), settings=settings(patience=0))
