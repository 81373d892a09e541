"""fit(): it learns, it can be stopped anywhere and go on as if it had not been, and it says what is wrong."""

import dataclasses
import itertools
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import FitConfig, UserError, checkpoint, fit, training
from ppl_vae.capture import Engine
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides import FullRank
from ppl_vae.importance_weighted import ImportanceWeighted
from ppl_vae.interrupt import Interrupted
from ppl_vae.metrics import EpochMetrics, best_epoch
from ppl_vae.models import LinearGaussian
from ppl_vae.objectives import Objective, TraceELBO
from ppl_vae.seeding import stream
from ppl_vae.svi import EagerStep, OptimizerConfig, TracedStep, engine
from tests.pairs import TwoLatents, amortized, optimal, oracle, simulate, stripes_data, vae_pair


def settings(**changes: Any) -> FitConfig:
    """Everything that a resumed run could get wrong is on: a schedule, warm-up, early stopping, uneven batches."""
    usual = FitConfig(
        epochs=5,
        batch_size=16,
        kl_warmup=3,
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


# --- It learns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["elbo", "elbo-analytic-kl"])
def test_reaches_the_maximum_likelihood_optimum(objective: str) -> None:
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


def validated(model: nn.Module, guide: nn.Module, chosen: FitConfig) -> float:
    """The ELBO of the validation data, on the draws that ``fit`` uses for it."""
    return elbo(model, guide, VALIDATION, seed=stream(chosen.seed, "validation")).elbo.mean


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
            rates.append(self.optimizer.adam.param_groups[0]["lr"])
            return super().__call__(index, kl_weight)

    monkeypatch.setattr(engine, "EagerStep", Recorder)
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

    monkeypatch.setattr(engine, "EagerStep", Recorder)
    fit(*vae_pair(), TRAIN, settings=settings(epochs=2, patience=0))
    assert [len(index) for index in seen] == [16, 16, 16, 2] * 2
    first, second = list(itertools.chain(*seen[:4])), list(itertools.chain(*seen[4:]))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first != sorted(first)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("elbo", (TraceELBO, {"analytic_kl": False})),
        ("elbo-analytic-kl", (TraceELBO, {"analytic_kl": True})),
        ("iwae", (ImportanceWeighted, {"doubly_reparameterised": False})),
        ("dreg", (ImportanceWeighted, {"doubly_reparameterised": True})),
    ],
)
def test_settings_choose_the_objective(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: tuple[type[Objective], dict[str, bool]]
) -> None:
    seen: list[Objective] = []

    class Recorder(EagerStep):
        def __call__(self, index: Tensor, kl_weight: float | Tensor = 1.0) -> Tensor:
            seen.append(self.objective)
            return super().__call__(index, kl_weight)

    monkeypatch.setattr(engine, "EagerStep", Recorder)
    fit(*vae_pair(), TRAIN, settings=settings(epochs=1, objective=name, num_particles=3, patience=0))
    kind, switches = expected
    (objective,) = set(seen)
    assert type(objective) is kind
    assert objective.num_particles == 3
    assert switches.items() <= vars(objective).items()


def test_beta_trades_reconstruction_for_kl() -> None:
    def trained(kl_weight: float) -> EpochMetrics:
        chosen = settings(epochs=30, batch_size=50, kl_weight=kl_weight, patience=0, kl_warmup=0)
        return fit(*vae_pair(), stripes_data(300), settings=chosen)[-1]

    free, usual, held = trained(0.0), trained(1.0), trained(20.0)
    assert free.kl > usual.kl + 1 > held.kl + 1
    assert free.reconstruction > held.reconstruction + 0.5
    assert usual.elbo > max(free.elbo, held.elbo)


# --- Early stopping ---------------------------------------------------------------------------------------------------


def overfitting(**changes: Any) -> FitConfig:
    usual = {"epochs": 300, "batch_size": 8, "kl_warmup": 0, "optimizer": OptimizerConfig(learning_rate=0.02)}
    return settings(**{**usual, **changes})


def overfitted(chosen: FitConfig, seed: int = 0, **arguments: Any) -> tuple[nn.Module, nn.Module, list[EpochMetrics]]:
    """A pair that learns eight images by heart, judged on others."""
    model, guide = vae_pair(hidden=(64,), seed=seed)
    history = fit(model, guide, stripes_data(8, dynamic=False), VALIDATION, chosen, **arguments)
    return model, guide, history


def test_early_stopping_keeps_the_best_weights() -> None:
    chosen = overfitting(patience=7)
    model, guide, history = overfitted(chosen)
    values = [metrics.validation_bound for metrics in history]
    best = max(values)
    assert len(history) < 300
    assert len(values) - 1 - values.index(best) == 7
    assert values[-1] < best - 0.05
    assert validated(model, guide, chosen) == best
    assert best_epoch(history).validation_bound == best


def test_without_patience_the_last_weights_stay() -> None:
    chosen = overfitting(patience=0)
    model, guide, history = overfitted(chosen)
    assert len(history) == 300
    last = history[-1].validation_bound
    assert last < max(metrics.validation_bound for metrics in history) - 0.5
    assert validated(model, guide, chosen) == last


def test_patience_begins_after_the_warm_up() -> None:
    """While the KL counts for less, the ELBO is of another objective's weights."""
    chosen = overfitting(patience=7, kl_warmup=60)
    model, guide, history = overfitted(chosen)
    values = [metrics.validation_bound for metrics in history]
    assert max(values) == max(values[:60])
    assert len(values) > 60
    assert validated(model, guide, chosen) == max(values[60:]) < max(values)


def test_the_best_weights_outlive_an_interruption(tmp_path: Path) -> None:
    """Stopped after the best epoch and resumed, the run still ends with that epoch's weights."""
    chosen = overfitting(patience=7)
    *whole, history = overfitted(chosen)
    path, best = tmp_path / "run.pt", best_epoch(history).epoch

    def stop(metrics: EpochMetrics) -> None:
        if metrics.epoch == best + 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        overfitted(chosen, checkpoint_path=path, on_epoch=stop)
    *again, longer = overfitted(chosen, seed=99, checkpoint_path=path, resume=True)
    assert len(longer) == len(history)
    assert_same(weights(*again), weights(*whole))


# --- Stopping and going on --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("kind", ["eager", "traced"])
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
        patch.setattr(engine, "EagerStep", Stopping)
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
        patch.setattr(engine, "EagerStep", Crashing)
        patch.setattr(training, "_CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(RuntimeError, match="the power failed"):
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
    fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=3), checkpoint_path=path)
    with pytest.raises(UserError, match=r"has 3 epochs already"):
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, epochs=2), checkpoint_path=path, resume=True)


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
    other = settings(**{"patience": 0, "epochs": 2, **changes})
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
        fit(*vae_pair(), TRAIN, settings=settings(patience=0), checkpoint_path=path, resume=True)
    assert "\n" not in str(caught.value)


# --- What it leaves alone ---------------------------------------------------------------------------------------------


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


# --- What it refuses --------------------------------------------------------------------------------------------------


def test_a_diverging_run_is_an_error_and_the_checkpoint_stays_sound(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    wild = settings(patience=0, optimizer=OptimizerConfig(learning_rate=1e30))
    with pytest.raises(UserError, match=r"training diverged in epoch 1 .*lower the learning rate or set a clip norm"):
        fit(*vae_pair(), TRAIN, settings=wild, checkpoint_path=path)
    state = checkpoint.load(path)
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"epochs": -3}, "--epochs"),
        ({"batch_size": 0}, "--batch-size"),
        ({"num_particles": 0}, "--num-particles"),
        ({"kl_weight": -0.1}, "--kl-weight"),
        ({"kl_weight": float("nan")}, "--kl-weight"),
        ({"kl_weight": float("inf")}, "--kl-weight"),
        ({"kl_warmup": -1}, "--kl-warmup"),
        ({"patience": -1}, "--patience"),
        ({"seed": -1}, "--seed"),
        ({"objective": "elbow"}, "--objective"),
        ({"optimizer": OptimizerConfig(learning_rate=0.0)}, "--learning-rate"),
        ({"optimizer": OptimizerConfig(learning_rate=float("nan"))}, "--learning-rate"),
        ({"optimizer": OptimizerConfig(adam_epsilon=0.0)}, "--adam-epsilon"),
        ({"optimizer": OptimizerConfig(clip_norm=0.0)}, "--clip-norm"),
        ({"optimizer": OptimizerConfig(clip_norm=float("nan"))}, "--clip-norm"),
        ({"optimizer": OptimizerConfig(schedule="linear")}, "--schedule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_out_of_range_name_the_flag(changes: dict[str, Any], flag: str) -> None:
    model, guide = vae_pair()
    before = weights(model, guide)
    with pytest.raises(UserError, match=f"^{flag}: must be") as caught:
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
