"""Programs in several threads: each comes to what it comes to alone."""

import logging
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.runtime import turns
from ppl_vae.runtime.turns import turn
from ppl_vae.svi import OptimizerConfig
from tests.pairs import bits, stripes_data, vae_pair

TRAIN = stripes_data(60)
TEST = Dataset(bits(8, seed=3))


def fitted(pair: tuple[nn.Module, nn.Module], seed: int, epochs: int = 4) -> list[Tensor]:
    settings = FitConfig(
        epochs=epochs, batch_size=20, seed=seed, device="cpu", optimizer=OptimizerConfig(learning_rate=0.02)
    )
    fit(*pair, TRAIN, settings=settings)
    return [value for program in pair for value in program.state_dict().values()]


def in_threads(*works: Callable[[], object]) -> list[object]:
    """What they come to, begun together."""
    results: list[object] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(place: int, work: Callable[[], object]) -> None:
        gate.wait(60)
        try:
            results[place] = work()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def same(a: object, b: object) -> bool:
    return all(torch.equal(*both) for both in zip(a, b, strict=True))  # type: ignore[call-overload]


def test_four_fits_in_four_threads_are_the_four_alone() -> None:
    alone = [fitted(vae_pair(seed=seed), seed) for seed in range(4)]
    pairs = [vae_pair(seed=seed) for seed in range(4)]
    state = torch.get_rng_state()
    found = in_threads(*(lambda seed=seed: fitted(pairs[seed], seed) for seed in range(4)))
    for expected, value in zip(alone, found, strict=True):
        assert not isinstance(value, Exception), value
        assert same(value, expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_evaluation_beside_a_fit_changes_neither() -> None:
    """Of another pair, and of the one that is being trained: that is then before or after, never in between."""
    expected = fitted(vae_pair(seed=1), 1, epochs=8)
    other, trained = vae_pair(seed=2), vae_pair(seed=1)
    alone = elbo(*other, TEST, 5).elbo.values, importance_bound(*other, TEST, 5).values
    ends = [elbo(*vae_pair(seed=1), TEST, 5).elbo.values]
    found = in_threads(
        lambda: fitted(trained, 1, epochs=8),
        lambda: [(elbo(*other, TEST, 5).elbo.values, importance_bound(*other, TEST, 5).values) for _ in range(5)],
        lambda: [elbo(*trained, TEST, 5).elbo.values for _ in range(5)],
    )
    ends.append(elbo(*trained, TEST, 5).elbo.values)
    assert not torch.equal(*ends)
    assert same(found[0], expected)
    assert all(same(values, alone) for values in found[1])  # type: ignore[attr-defined]
    assert all(any(torch.equal(values, end) for end in ends) for values in found[2])  # type: ignore[attr-defined]


def test_a_callback_evaluates_in_its_own_turn() -> None:
    pair, seen = vae_pair(), []
    settings = FitConfig(epochs=2, device="cpu")
    fit(*pair, TRAIN, settings=settings, on_epoch=lambda _: seen.append(elbo(*pair, TEST).elbo.mean))
    assert len(seen) == 2


def test_who_waits_says_what_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(turns, "_SECONDS", 0.05)
    holds, done, pair = threading.Event(), threading.Event(), vae_pair()

    def hold() -> None:
        with turn("training"):
            holds.set()
            done.wait(60)

    holder = threading.Thread(target=hold, name="first")
    holder.start()
    holds.wait(60)
    waits = threading.Thread(target=lambda: elbo(*pair, TEST), name="second")
    with caplog.at_level(logging.WARNING, logger="ppl_vae"):
        waits.start()
        while not caplog.messages:
            waits.join(0.01)
        done.set()
        waits.join(60)
    holder.join(60)
    assert caplog.messages == [
        "an evaluation in thread 'second' waits for training in thread 'first': programs run one at a time"
    ]
    assert not turns._held


def test_a_turn_is_given_back_whatever_happens_in_it() -> None:
    with pytest.raises(RuntimeError, match="inside"), turn("a test"):
        raise RuntimeError("inside")
    pair = vae_pair()
    assert in_threads(lambda: elbo(*pair, TEST).elbo.mean) == [elbo(*pair, TEST).elbo.mean]
