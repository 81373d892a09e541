"""NumPyro's estimates are those of ours, at the same weights and on the same bits."""

import numpy as np
import pytest
import torch

from ppl_vae.bench import evaluation
from ppl_vae.bench.contenders import AbsentError
from ppl_vae.bench.evaluation import _rival, _Watch
from ppl_vae.bench.ours import build_pair
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import Size
from ppl_vae.bench.table import as_markdown
from ppl_vae.data import Dataset
from ppl_vae.evaluation import annealed_importance_bound, importance_bound
from ppl_vae.evaluation.annealing import AnnealingConfig, temperatures

SIZE = Size(pixels=20, hidden=(8,), latent_dim=2, batch_size=64, num_rows=400, activation="tanh")


def at_odds(found, expected):
    """By how many standard errors two estimates of the same datapoints differ in their means."""
    difference = torch.tensor(np.asarray(found)) - expected
    return float(difference.mean().abs() / (difference.std() / len(difference) ** 0.5))


@pytest.mark.slow
def test_numpyro_finds_the_same():
    pytest.importorskip("numpyro", reason="NumPyro is a benchmark extra and not installed")
    torch.manual_seed(0)
    model, guide = build_pair(SIZE)
    with torch.no_grad():
        for param in (*model.parameters(), *guide.parameters()):
            param.mul_(3)  # a posterior that is neither the prior nor q
    x = torch.bernoulli(torch.from_numpy(SIZE.observations()))
    data, rival = Dataset(x), _rival(model, guide, SIZE, "cpu")
    ours = importance_bound(model, guide, data, 200, engine="eager").values
    assert at_odds(rival.importance_bound(x.numpy(), 200, 30, 0), ours) < 5
    assert at_odds(rival.importance_bound(x.numpy(), 3, 2, 0), ours) > 5  # a looser bound is told from it
    settings = AnnealingConfig(temperatures=20, engine="eager")
    ours = annealed_importance_bound(model, None, data, 10, settings).log_px.values
    levels = [temperatures(count).numpy() for count in (20, settings.pilot)]
    assert at_odds(rival.annealed_bound(x.numpy(), 10, *levels, settings.leapfrog, 0), ours) < 5
    few = [temperatures(2).numpy()] * 2
    assert at_odds(rival.annealed_bound(x.numpy(), 1, *few, 1, 0), ours) > 5


def test_the_first_part_is_apart(monkeypatch):
    times = iter([0.0, 10.0, 12.0, 14.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    watch = _Watch("cpu")
    for _ in range(3):
        watch(5)
    turn = watch.turn(100, torch.zeros(2))
    assert (turn.first, turn.rate) == (10.0, 50.0)


def test_without_numpyro_ours_are_timed(monkeypatch):
    def absent(device):
        raise AbsentError("it is not there")

    monkeypatch.setattr(evaluation, "numpyro_device", absent)
    monkeypatch.setattr(evaluation, "_SIZES", ("tiny",))
    monkeypatch.setattr(evaluation, "_OURS", ("eager",))
    monkeypatch.setattr(evaluation, "NUM_IMAGES", 4)
    monkeypatch.setitem(evaluation.SIZES, "tiny", SIZE)
    result = evaluation.measure_evaluation(Clock("cpu", repeats=2, seconds=1.0, steps=3, report=lambda what: None))
    for of_size in result.values():
        assert of_size["tiny"]["absent"] == {"numpyro": "it is not there"}
        assert 0 < of_size["tiny"]["contenders"]["eager"]["min"] <= of_size["tiny"]["contenders"]["eager"]["max"]
    table = as_markdown({"evaluation": result, "machine": {}, "command": "ppl-vae bench"})
    assert "numpyro: left out, it is not there." in table
