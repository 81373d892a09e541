"""fit(): it learns what its settings say, its history tells, and it leaves alone what is not its own."""

import dataclasses
import itertools
import threading

import pyro
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides import FullRank
from ppl_vae.models import LinearGaussian
from ppl_vae.objectives.elbo import Objective
from ppl_vae.objectives.named import OBJECTIVES, ObjectiveName
from ppl_vae.svi import EagerStep, OptimizerConfig
from ppl_vae.training import fitting
from ppl_vae.training.metrics import EpochMetrics
from tests.fits import TRAIN, VALIDATION, assert_same, settings, validated, weights
from tests.marks import slow_after
from tests.pairs import amortized, optimal, oracle, simulate, stripes_data, vae_pair


@pytest.mark.parametrize("objective", slow_after(1, OBJECTIVES))
def test_reaches_the_maximum_likelihood_optimum(objective: ObjectiveName) -> None:
    """Probabilistic PCA from a random start, a linear encoder and a full-rank family: no gap is left but training's."""
    x = simulate(oracle(6, 2, 0.5), 600)
    best = LinearGaussian.maximum_likelihood(x, 2).log_px(x).mean().item()
    model = LinearGaussian((6,), 2).double()
    guide = amortized(model, x, FullRank)
    assert model.log_px(x).mean().item() < best - 5
    history = fit(
        model,
        guide,
        Dataset(x),
        settings=FitConfig(
            epochs=80,
            batch_size=100,
            objective=objective,
            optimizer=OptimizerConfig(learning_rate=0.05, schedule="cosine"),
            device="cpu",
        ),
        progress=False,
    )
    reached = model.log_px(x).mean().item()
    assert best - 0.01 < reached <= best
    evaluated = elbo(model, guide, Dataset(x), num_samples=20).elbo.mean
    assert reached - 0.02 < evaluated < reached + 0.005
    assert history[-1].elbo == pytest.approx(best, abs=0.05)


def test_vae_learns_and_its_history_tells() -> None:
    model, guide = vae_pair()
    test = stripes_data(200, seed=7, dynamic=False)
    before = elbo(model, guide, test, num_samples=5).elbo
    heard: list[EpochMetrics] = []
    history = fit(
        model, guide, stripes_data(500), settings=settings(epochs=15, patience=0, kl_warmup=0), on_epoch=heard.append
    )
    after = elbo(model, guide, test, num_samples=5).elbo
    assert before.mean < -7
    assert after.mean > before.mean + 2
    assert heard == history
    assert [metrics.epoch for metrics in history] == list(range(1, 16))
    assert history[-1].elbo > history[0].elbo + 1
    for metrics in history:
        assert metrics.elbo == metrics.reconstruction - metrics.kl
        assert metrics.validation_bound is None
        assert metrics.seconds > 0


def test_history_is_the_mean_over_datapoints_not_over_minibatches() -> None:
    """With the learning rate as good as 0 and an exact guide, each epoch's ELBO is the data's mean log p(x)."""
    model = oracle()
    x = simulate(model, 11)
    guide, mean = optimal(model, FullRank), model.log_px(x).mean().item()
    tiny = OptimizerConfig(learning_rate=1e-30)
    history = fit(model, guide, Dataset(x), settings=FitConfig(epochs=2, batch_size=4, optimizer=tiny, device="cpu"))
    assert [metrics.elbo for metrics in history] == pytest.approx([mean, mean], abs=1e-9)
    parts = [model.log_px(part).mean().item() for part in x.split(4)]
    assert abs(sum(parts) / 3 - mean) > 1e-3


def test_validation_is_the_elbo_of_the_validation_data() -> None:
    model, guide = vae_pair()
    history = fit(model, guide, TRAIN, VALIDATION, settings(epochs=2, patience=0))
    assert history[-1].validation_bound == validated(model, guide, settings())
    assert history[-1].validation_bound != history[0].validation_bound


def test_warm_up_reaches_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    rates: list[float] = []

    class Recorder(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            seen.append(float(kl_weight))
            rates.append(self.optimizer.of_shared.param_groups[0]["lr"])
            return super().__call__(index, kl_weight)

    monkeypatch.setattr(fitting, "EagerStep", Recorder)
    history = fit(*vae_pair(), TRAIN, settings=settings(epochs=3, kl_warmup=2, kl_weight=0.5, patience=0))
    steps = 4  # 50 rows in batches of 16
    assert seen == pytest.approx([0.5 * (i + 1) / 8 for i in range(2 * steps)] + [0.5] * steps)
    assert [metrics.kl_weight for metrics in history] == pytest.approx([0.25, 0.5, 0.5])
    assert rates[0] == 0.01
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.0005


def test_every_row_is_visited_once_an_epoch_in_a_new_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    class Recorder(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            seen.append(index.tolist())
            return super().__call__(index, kl_weight)

    monkeypatch.setattr(fitting, "EagerStep", Recorder)
    fit(*vae_pair(), TRAIN, settings=settings(epochs=2, patience=0))
    assert [len(index) for index in seen] == [16, 16, 16, 2] * 2
    first, second = list(itertools.chain(*seen[:4])), list(itertools.chain(*seen[4:]))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first != sorted(first)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_settings_choose_the_objective(monkeypatch: pytest.MonkeyPatch, name: ObjectiveName) -> None:
    seen: list[Objective] = []

    class Recorder(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            seen.append(self.objective)
            return super().__call__(index, kl_weight)

    monkeypatch.setattr(fitting, "EagerStep", Recorder)
    fit(*vae_pair(), TRAIN, settings=settings(epochs=1, objective=name, num_particles=3, patience=0))
    (objective,) = set(seen)
    expected = OBJECTIVES[name].make(3)
    assert type(objective) is type(expected)
    assert vars(objective) == vars(expected)


@pytest.mark.slow
def test_beta_trades_reconstruction_for_kl() -> None:
    def trained(kl_weight: float) -> EpochMetrics:
        chosen = settings(epochs=30, batch_size=50, kl_weight=kl_weight, patience=0, kl_warmup=0)
        return fit(*vae_pair(), stripes_data(300), settings=chosen)[-1]

    free, usual, held = trained(0.0), trained(1.0), trained(20.0)
    assert free.kl > usual.kl + 1 > held.kl + 1
    assert free.reconstruction > held.reconstruction + 0.5
    assert usual.elbo > max(free.elbo, held.elbo)


def test_random_numbers_and_switches_are_left_alone() -> None:
    states = torch.get_rng_state(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args
    fit(*vae_pair(), TRAIN, VALIDATION, settings(epochs=1))
    with pytest.raises(UserError):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, optimizer=OptimizerConfig(learning_rate=1e30)))
    after = torch.get_rng_state(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args
    assert torch.equal(states[0], after[0])
    assert states[1:] == after[1:]


def test_two_pairs_in_one_process_do_not_touch_each_other() -> None:
    """Sites and parameters of the same names; the first pair's weights do not know that the second one lives."""
    x = simulate(oracle(), 60)

    def pair() -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(1)
        model = LinearGaussian((5,), 2).double()
        return model, amortized(model, x)

    chosen = settings(epochs=1, patience=0, kl_warmup=0)

    def train(model: nn.Module, guide: nn.Module, seed: int) -> None:
        fit(model, guide, Dataset(x), settings=dataclasses.replace(chosen, seed=seed))

    alone = pair()
    train(*alone, 1)
    train(*alone, 2)
    first, second = pair(), pair()
    train(*first, 1)
    kept = weights(*first)
    train(*second, 5)
    assert_same(weights(*first), kept)
    train(*first, 2)
    assert_same(weights(*first), weights(*alone))
    assert not torch.equal(first[0].weight, second[0].weight)
    assert not list(pyro.get_param_store().keys())


def test_works_outside_the_main_thread() -> None:
    """Where Python cannot catch signals."""
    done: list[list[EpochMetrics]] = []
    thread = threading.Thread(
        target=lambda: done.append(fit(*vae_pair(), TRAIN, settings=settings(epochs=1, patience=0)))
    )
    thread.start()
    thread.join()
    assert len(done) == 1


def test_one_datapoint_is_enough() -> None:
    history = fit(*vae_pair(), stripes_data(1), settings=settings(epochs=2, patience=0))
    assert len(history) == 2


def test_progress_goes_to_stderr_only_when_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    fit(*vae_pair(), TRAIN, settings=settings(epochs=2, patience=0), progress=False)
    assert capsys.readouterr() == ("", "")
    fit(*vae_pair(), TRAIN, settings=settings(epochs=2, patience=0), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 2, bound -" in err
