"""The running mean of the weights: what it is, and that it is what is validated, kept and gone on with."""

import dataclasses
import signal
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from ppl_vae import UserError, fit
from ppl_vae.svi import OptimizerConfig, TracedStep, engine
from ppl_vae.training.average import Average
from ppl_vae.training.earlier import Earlier
from tests.fits import TRAIN, VALIDATION, assert_same, settings, validated, weights
from tests.pairs import vae_pair
from tests.runtime.test_weights import named
from tests.training.test_resume import per_datapoint_pair

AVERAGED = settings(patience=0, optimizer=OptimizerConfig(0.05, weight_average=0.8))


def mean_of(weights: list[Tensor], decay: float) -> Tensor:
    """By its formula, from the first weights on."""
    mean = weights[0]
    for step, value in enumerate(weights[1:], start=1):
        share = min(decay, (1 + step) / (10 + step))
        mean = share * mean + (1 - share) * value
    return mean


def test_it_is_a_running_mean_that_soon_forgets_its_beginning() -> None:
    layer, model = nn.Linear(2, 1), nn.Module()
    seen, average = [layer.weight.detach().clone()], Average(model, layer, 0.9)
    for step in range(1, 200):
        with torch.no_grad():
            layer.weight.add_(torch.randn(1, 2))
        seen.append(layer.weight.detach().clone())
        average.update(step)
    with average.in_place():
        torch.testing.assert_close(layer.weight.detach(), mean_of(seen, 0.9))
    assert torch.equal(layer.weight, seen[-1])
    average.put()
    torch.testing.assert_close(layer.weight.detach(), mean_of(seen, 0.9))


@pytest.mark.parametrize("patience", [0, 4])
def test_it_is_what_is_validated_and_kept(tmp_path: Path, patience: int) -> None:
    pair, seen = vae_pair(), []

    def watch(step: int) -> bool:
        seen.append(pair[0].decoder.net[0].weight.detach().clone())
        return False

    chosen = dataclasses.replace(AVERAGED, patience=patience, kl_warmup=0)
    paths = {"checkpoint_path": tmp_path / "a.pt", "weights_path": tmp_path / "a.safetensors"}
    history = fit(*pair, TRAIN, VALIDATION, chosen, on_step=watch, **paths)
    kept = history.best.epoch if patience else 5
    mean = mean_of(seen[: 1 + 4 * kept], 0.8)
    torch.testing.assert_close(pair[0].decoder.net[0].weight.detach(), mean, rtol=1e-4, atol=1e-6)
    assert not torch.equal(mean, seen[4 * kept])
    assert history[kept - 1].validation_bound == validated(*pair, chosen)
    assert_same(dict(safetensors.torch.load_file(paths["weights_path"])), named(*pair))


def test_resuming_is_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole, pair = vae_pair(), vae_pair(seed=99)
    history = fit(*whole, TRAIN, VALIDATION, AVERAGED)

    def stop(step: int) -> bool:
        if step == 10:
            signal.raise_signal(signal.SIGINT)
        return False

    paths = {"checkpoint_path": tmp_path / "a.pt", "weights_path": tmp_path / "a.safetensors"}
    with pytest.raises(KeyboardInterrupt):
        fit(*vae_pair(), TRAIN, VALIDATION, AVERAGED, on_step=stop, **paths)
    again = fit(*pair, TRAIN, VALIDATION, AVERAGED, resume=True, **paths)
    assert_same(weights(*pair), weights(*whole))
    assert [row.validation_bound for row in again] == [row.validation_bound for row in history]


def test_traced_steps_have_the_same_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TracedStep", partial(TracedStep, compile_graph=lambda graph, examples: graph))
    ends = []
    for kind in ("eager", "traced"):
        pair = vae_pair()
        fit(*pair, TRAIN, VALIDATION, dataclasses.replace(AVERAGED, engine=kind, epochs=4))
        ends.append(weights(*pair))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5)


def test_where_there_can_be_none_it_is_refused() -> None:
    with pytest.raises(UserError, match="`weight_average` needs a guide without rows per datapoint"):
        fit(*per_datapoint_pair(), TRAIN, settings=AVERAGED)
    with pytest.raises(UserError, match="`weight_average` is of one fit alone"):
        fit(*vae_pair(), TRAIN, settings=AVERAGED, earlier=Earlier())
