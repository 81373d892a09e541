"""Throughput of evaluation: the importance bound and annealing, eager, traced and by NumPyro, at the same weights."""

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.bench.contenders import AbsentError, numpyro_device
from ppl_vae.bench.ours import build_pair
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES, Size
from ppl_vae.bench.timing import ratio
from ppl_vae.data import Dataset
from ppl_vae.evaluation import annealed_importance_bound, importance_bound
from ppl_vae.evaluation.annealing import AnnealingConfig, temperatures
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks
from ppl_vae.tracing.capture import Engine

NUM_SAMPLES = 500
"""Draws of the importance bound for each datapoint."""
NUM_BATCHES = 3
"""Batches of the importance bound in a turn, of which the first has compiling in its time."""
NUM_IMAGES, NUM_CHAINS, NUM_TEMPERATURES = 100, 10, 20
"""Of annealing; as many temperatures are passed by the pilot chains."""
_SIZES = ("digits", "mnist", "burda")
_OURS: tuple[Engine, ...] = ("eager", "traced")
# A turn compiles, and takes seconds.
_MOST_ROUNDS = 3


class Turn(NamedTuple):
    """One evaluation.

    Args:
        first: seconds of the first part of it, compiling included.
        rate: datapoints × draws, or × temperatures, a second, of the rest.
        log_px: the bounds, ``(N,)``, nats.
    """

    first: float
    rate: float
    log_px: Tensor


def measure_evaluation(clock: Clock) -> dict[str, Any]:
    """Time both estimators at each size, contenders by turns.

    Returns:
        ``importance`` and ``annealing``, each by size: ``contenders``, by name the ``rate`` in datapoints × draws or
        × temperatures a second, the median over the rounds, its ``min`` and ``max``, ``first``, the seconds of the
        first part of the first round, compiling included, and ``difference``, how much the mean bound is above
        eager's, with its ``stderr``; ``ratios`` of the traced rate to the others'; ``absent``, with the reason.
    """
    found: dict[str, Any] = {"importance": {}, "annealing": {}}
    for name in _SIZES:
        for estimator, contenders in (("importance", _importance), ("annealing", _annealing)):
            turns, absent = contenders(SIZES[name], clock)
            found[estimator][name] = {**_in_turn(f"{estimator}: {name}", turns, clock), "absent": absent}
    return found


def _in_turn(what: str, turns: Mapping[str, Callable[[], Turn]], clock: Clock) -> dict[str, Any]:
    rounds: dict[str, list[Turn]] = {name: [] for name in turns}
    number = min(clock.repeats, _MOST_ROUNDS)
    for current in range(number):
        for name, turn in turns.items():
            clock.report(f"{what}, {name}, round {current + 1} of {number}")
            rounds[name].append(turn())
    rates = {name: [turn.rate for turn in taken] for name, taken in rounds.items()}
    found = {}
    for name, taken in rounds.items():
        difference = taken[0].log_px.double() - rounds["eager"][0].log_px.double()
        found[name] = {
            "rate": median(rates[name]),
            "min": min(rates[name]),
            "max": max(rates[name]),
            "first": taken[0].first,
            "difference": float(difference.mean()),
            "stderr": float(difference.std() / len(difference) ** 0.5),
        }
    others = [name for name in rates if name != "traced"]
    ratios = {f"traced/{name}": ratio(rates["traced"], rates[name])._asdict() for name in others if "traced" in rates}
    return {"contenders": found, "ratios": ratios}


Turns = dict[str, Callable[[], Turn]]


def _importance(size: Size, clock: Clock) -> tuple[Turns, dict[str, str]]:
    model, guide, data = _pair_and_data(size, NUM_BATCHES * BATCH_SIZE, clock.device)
    draws = clock.steps or NUM_SAMPLES

    def ours(engine: Engine) -> Turn:
        watch = _Watch(clock.device)
        log_px = importance_bound(model, guide, data, draws, seed=1, advance=watch, engine=engine).values
        return watch.turn(BATCH_SIZE * draws, log_px)

    def numpyro() -> Turn:
        watch, found = _Watch(clock.device), []
        for number, x in enumerate(batches):
            found.append(rival.importance_bound(x, draws, portion, number))
            watch()
        return watch.turn(BATCH_SIZE * draws, torch.cat([torch.tensor(each) for each in found]))

    turns: Turns = {engine: lambda engine=engine: ours(engine) for engine in _OURS}  # type: ignore[misc]
    try:
        rival = _rival(model, guide, size, clock.device)
    except AbsentError as error:
        return turns, {"numpyro": str(error)}
    batches = [x.cpu().numpy() for x in data.x.split(BATCH_SIZE)]
    portion = next(chunks(draws, Batch(data.x[:BATCH_SIZE], None, torch.arange(BATCH_SIZE))))
    return {**turns, "numpyro": numpyro}, {}


def _annealing(size: Size, clock: Clock) -> tuple[Turns, dict[str, str]]:
    model, guide, data = _pair_and_data(size, NUM_IMAGES, clock.device)
    settings = AnnealingConfig(temperatures=max(3, min(clock.steps or NUM_TEMPERATURES, NUM_TEMPERATURES)))

    def ours(engine: Engine) -> Turn:
        watch = _Watch(clock.device)
        of_engine = AnnealingConfig(temperatures=settings.temperatures, engine=engine)
        annealed = annealed_importance_bound(model, None, data, NUM_CHAINS, of_engine, advance=watch)
        return watch.turn(NUM_IMAGES, annealed.log_px.values)

    def numpyro() -> Turn:
        levels = [temperatures(count).numpy() for count in (settings.temperatures, settings.pilot)]
        watch = _Watch(clock.device)
        for seed in range(2):  # the first compiles, in the first round
            log_px = rival.annealed_bound(data.x.cpu().numpy(), NUM_CHAINS, *levels, settings.leapfrog, seed)
            watch()
        return watch.turn(NUM_IMAGES * settings.total, torch.tensor(log_px))

    turns: Turns = {engine: lambda engine=engine: ours(engine) for engine in _OURS}  # type: ignore[misc]
    try:
        rival = _rival(model, guide, size, clock.device)
    except AbsentError as error:
        return turns, {"numpyro": str(error)}
    return {**turns, "numpyro": numpyro}, {}


class _Watch:
    """The times at which parts of an evaluation are done; called after each."""

    def __init__(self, device: str) -> None:
        self.device, self.times = device, [time.perf_counter()]

    def __call__(self, _: int = 0) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def turn(self, of_one: int, log_px: Tensor) -> Turn:
        """Of so much work in each part."""
        first, *others = (after - before for before, after in pairwise(self.times))
        return Turn(first, of_one * len(others) / sum(others), log_px.cpu())


def _pair_and_data(size: Size, num_rows: int, device: str) -> tuple[nn.Module, nn.Module, Dataset]:
    torch.manual_seed(0)
    model, guide = (program.to(device) for program in build_pair(size))
    grey = torch.from_numpy(size._replace(num_rows=num_rows).observations())
    return model, guide, Dataset(torch.bernoulli(grey).to(device))


def _rival(model: Any, guide: Any, size: Size, device: str) -> Any:
    """NumPyro with the weights of this pair.

    Raises:
        AbsentError: it cannot take part.
    """
    kind = numpyro_device(device)
    from ppl_vae.bench.numpyro_evaluation import NumPyroEvaluation

    return NumPyroEvaluation(list(layers(guide.encoder)), list(layers(model.decoder)), size.activation, kind)


def layers(network: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Weight ``(in, out)`` and bias of each layer, as numpy's arrays."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            yield layer.weight.detach().cpu().numpy().T, layer.bias.detach().cpu().numpy()
