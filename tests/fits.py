"""What the tests of fit() share: settings, data, and what it means for two runs to be the same."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ppl_vae import FitConfig
from ppl_vae.evaluation import elbo
from ppl_vae.runtime.seeding import stream
from ppl_vae.svi import OptimizerConfig
from tests.pairs import stripes_data


def settings(**changes: Any) -> FitConfig:
    """Everything that a resumed run could get wrong is on: a schedule, warm-up, early stopping, uneven batches."""
    usual = FitConfig(
        epochs=5,
        batch_size=16,
        kl_warmup=min(3, changes.get("epochs", 5) - 1),
        patience=4,
        optimizer=OptimizerConfig(learning_rate=0.01, schedule="cosine", clip_norm=10.0),
        seed=3,
        device="cpu",
    )
    return dataclasses.replace(usual, **changes)


TRAIN, VALIDATION = stripes_data(50), stripes_data(20, seed=9)


def weights(*modules: nn.Module) -> dict[str, Tensor]:
    return {f"{i} {k}": v.clone() for i, module in enumerate(modules) for k, v in module.state_dict().items()}


def assert_same(a: object, b: object, where: str = "") -> None:
    """Equal bit for bit, all the way down; only the clock may differ."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a.keys() - {"seconds"}:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_same(left, right, f"{where}/{i}")
    elif isinstance(a, Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def validated(model: nn.Module, guide: nn.Module, chosen: FitConfig) -> float:
    """The ELBO of the validation data, on the draws that ``fit`` uses for it."""
    return elbo(model, guide, VALIDATION, seed=stream(chosen.seed, "validation")).elbo.mean
