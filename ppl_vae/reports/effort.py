"""How much a report looks at: all that it can use where that is quick, fewer datapoints and draws where it is not.

What follows a training is to take no longer than seconds, or a fraction of the training. A clock would make the
numbers depend on what else the machine does; so the work is counted instead, in multiplications and in numbers that are
made, of the pair as it runs. The same pair, trained as long on the same data, then gets the same report, whatever the
clock says.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ppl_vae.data import Dataset, Splits
from ppl_vae.diagnostics.aggregate import MOST_DRAWN, MOST_DRAWS
from ppl_vae.diagnostics.units import DRAWS as UNIT_DRAWS
from ppl_vae.predictive.statistics import MOST_CORRELATED
from ppl_vae.programs.density import has_density
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import weighted_draws
from ppl_vae.programs.pair import frozen
from ppl_vae.registry.build import Pair
from ppl_vae.runs.opened import split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.seeding import seeded


class Effort(NamedTuple):
    """How much a report looks at; None is all.

    Args:
        elbo_datapoints: the first so many for the ELBO.
        elbo_draws: of each for the ELBO.
        datapoints: the first so many for the importance bound and the diagnostics.
        bound_draws: of each for the importance bound.
        draws: of each for the diagnostics.
        codes: datapoints in the picture of the latents and in the aggregate posterior.
        checked: of a table, the first so many rows for the predictive checks.
        replicates: data sets like these that are drawn for them, from the posterior and from the prior.
    """

    elbo_datapoints: int | None
    elbo_draws: int
    datapoints: int
    bound_draws: int
    draws: int
    codes: int | None
    checked: int = 5000
    replicates: int = 200

    @property
    def estimates_all(self) -> bool:
        """Whether the estimates and diagnostics are of all that they can use, whatever the predictive checks are of."""
        return self._replace(checked=FULL.checked, replicates=FULL.replicates) == FULL

    def in_words(self, run: Path) -> str:
        """What it looks at, and how to have all of it."""
        data = "all datapoints" if self.elbo_datapoints is None else f"the first {self.elbo_datapoints:,} datapoints"
        return (
            f"To be quick, this report looks at {data}, with {self.elbo_draws} draws "
            f"of z for each; the importance bound and the diagnostics are of the first {self.datapoints}, with "
            f"{self.bound_draws} and {self.draws} draws. 'ppl-vae report {run}' makes one that looks at more."
        )


FULL = Effort(None, 10, 250, 500, 1000, None)
"""Seconds for a small network, minutes for a large one; its draws are those that `ppl-vae evaluate` takes."""

# What a report falls back to, the first that is affordable, else the last. First draws are saved: as many datapoints
# with fewer draws have the smaller error. Two draws at least, for an error of the draws.
_OF_ELBO = [(None, 10), (None, 5), (None, 2), *((num, 2) for num in (5000, 2000, 1000, 500, 200, 100))]
_OF_BOUND = [
    (250, 500, 1000),
    (250, 200, 500),
    (100, 200, 500),
    (100, 100, 200),
    (50, 100, 100),
    (20, 50, 100),
    (10, 20, 100),
    (4, 10, 100),
]
_OF_CODES = [None, 5000, 2000, 1000, 500, 200, 100, 50, 20]
_OF_CHECKS = [(5000, 200), (2000, 200), (2000, 100), (1000, 100), (500, 100), (200, 50), (100, 30), (50, 20)]

LEAST = Effort(100, 2, 4, 10, 100, 20, 50, 20)
"""However large the network: of an LSTM over hundreds of steps that takes longer than it should."""

# What one core does in a second, about: measured for dense, convolutional and recurrent networks; within a factor of 2.
_PRODUCTS, _NUMBERS = 8e10, 2e8
# What follows a training takes about 5 s, of which 3 are for what costs the same for every pair: importing matplotlib,
# drawing six pictures twice.
_SECONDS = 2.0
# Of the training's time, and what a training step costs beside a run of the pair at least: a backward pass.
_SHARE, _STEP = 0.25, 2.0
QUIET_SECONDS = 2.0
"""A progress bar only after these."""
_OPERATIONS = 4.0  # to find the density of a number of a draw under a datapoint's q
_SORTED = 16.0  # operations, to draw a number of a replicated data set and to sort it
_CORRELATED = 8.0  # multiplications, to correlate it with one of another column
_PROBE, _PROBE_DRAWS = 4, 5


class Cost(NamedTuple):
    """Of a pair, in seconds of one core, about.

    Args:
        datapoint: for each datapoint, whatever the number of draws.
        draw: for each draw of each datapoint.
    """

    datapoint: float
    draw: float

    def of(self, num_datapoints: int, num_draws: int) -> float:
        """Of so many draws of each of so many datapoints."""
        return num_datapoints * (self.datapoint + num_draws * self.draw)


def cost_of(model: nn.Module, guide: nn.Module, data: Dataset) -> Cost:
    """Count what a run of the pair is made of.

    Args:
        model: p(x, z).
        guide: q(z | x), which has an answer to the data.
        data: on the device of the pair; the first few are looked at.
    """
    few = data.head(_PROBE).fixed(0)
    rows = torch.arange(len(few), device=few.device)

    def seconds(num: int, draws: int) -> float:
        with _Counter() as counter:
            weighted_draws(model, guide, few.batch(rows[:num]), draws)
        return float(counter.seconds)

    num, half = len(few), max(1, len(few) // 2)
    with frozen(model, guide), seeded(0, few.device):
        less, one, several = seconds(half, 1), seconds(num, 1), seconds(num, _PROBE_DRAWS)
    draw = (several - one) / (num * (_PROBE_DRAWS - 1))
    # What a call costs whatever is in it, such as packing an LSTM's weights, is no part of either.
    each = (one - less) / (num - half) if num > half else one
    return Cost(max(0.0, each - draw), max(0.0, draw))


def affordable(model: nn.Module, guide: nn.Module, data: Dataset, trained_draws: int) -> Effort:
    """As much as takes some two seconds of one core, or a quarter of the training, whichever is more.

    Args:
        model: p(x, z).
        guide: q(z | x), which has an answer to the data.
        data: what the report is of.
        trained_draws: how many draws of how many datapoints the training has seen: epochs × datapoints × particles.
    """
    cost = cost_of(model, guide, data)
    seconds = max(_SECONDS, _SHARE * _STEP * cost.of(trained_draws, 1))
    size = Latents.of(model, data.probe()).size

    def of_elbo(num: int | None, draws: int) -> float:
        return cost.of(_count(num, data), draws)

    def of_bound(num: int, bound_draws: int, draws: int) -> float:
        return cost.of(_count(num, data), bound_draws + 2 * draws + min(UNIT_DRAWS, draws))

    def of_codes(num: int | None) -> float:
        count = _count(num, data)
        drawn = min(MOST_DRAWN, count)
        return cost.of(count, 1) + drawn * (MOST_DRAWS * cost.draw + _OPERATIONS * count * size / _NUMBERS)

    def of_checks(num: int, replicates: int) -> float:
        rows = 2 * replicates * _count(num, data)
        correlated = _CORRELATED * min(data.event_size, MOST_CORRELATED)
        return rows * (cost.draw + data.event_size * (_SORTED / _NUMBERS + correlated / _PRODUCTS))

    table = len(data.event_shape) == 1
    checks = _first(_OF_CHECKS, lambda each: of_checks(*each) <= 0.2 * seconds) if table else _OF_CHECKS[0]
    elbo = _first(_OF_ELBO, lambda each: of_elbo(*each) <= 0.35 * seconds)
    if not has_density(guide, data.probe()):
        return FULL._replace(elbo_datapoints=elbo[0], elbo_draws=elbo[1], checked=checks[0], replicates=checks[1])
    bound = _first(_OF_BOUND, lambda each: of_bound(*each) <= 0.45 * seconds)
    codes = _first(_OF_CODES, lambda num: of_codes(num) <= 0.2 * seconds)
    return Effort(elbo[0], elbo[1], bound[0], bound[1], bound[2], codes, checks[0], checks[1])


def _count(num: int | None, data: Dataset) -> int:
    return len(data) if num is None else min(num, len(data))


def _first(ladder: list[Any], fits: Callable[[Any], bool]) -> Any:
    return next((each for each in ladder if fits(each)), ladder[-1])


class _Counter(TorchDispatchMode):
    """Counts inside the block what torch is asked to do: multiplications of matrices, and numbers that are made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products, self.numbers = 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Of one core, about."""
        return self.products / _PRODUCTS + self.numbers / _NUMBERS

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket
        if name is torch.ops.aten.mkldnn_rnn_layer:  # an LSTM: x (steps, batch, in) times two matrices
            self.products += 2 * args[0].shape[:-1].numel() * (args[1].numel() + args[2].numel())
        elif name in flop_registry:
            self.products += flop_registry[name](*args, **(kwargs or {}), out_val=made)
        elif not func.is_view:
            self.numbers += sum(each.numel() for each in tree_leaves(made) if isinstance(each, Tensor))
        return made


def effort_after_training(run: Run, pair: Pair, splits: Splits) -> Effort:
    """How much the report looks at that follows a training by itself.

    Args:
        run: trained.
        pair: as it was learned.
        splits: the run's data.
    """
    data = splits.get(split_shown(pair, splits)).to(device_of(pair.model))
    seen = len(run.history()) * run.record.info.num_data * run.record.config.fit.num_particles
    try:
        return affordable(*pair, data, seen)
    except Exception:  # a user's own pair can raise anything; what it has to say is said where it is looked at
        return LEAST
