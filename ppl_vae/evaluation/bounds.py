"""Bounds on log p(x) from draws of the guide: the ELBO and the K-sample importance bound."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.estimate import Estimate, rows_of, table_of
from ppl_vae.estimates.streams import NUM_STREAMS, Streams, dealt, log_mean_over_draws, mean_over_draws
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import is_drawn
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks, log_weights, weighted_draws
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, Seed, in_range
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.runtime.shown import Row, Shown
from ppl_vae.tracing.capture import Engine, NotTraceableError, compiled, refuse_untraced, trace, worth_compiling

Advance = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class ElboParts(Shown):
    """elbo = reconstruction − kl, each over the same draws."""

    elbo: Estimate
    reconstruction: Estimate
    kl: Estimate

    def by_name(self) -> dict[str, Estimate]:
        """The three by name, the ELBO first."""
        return {"elbo": self.elbo, "reconstruction": self.reconstruction, "kl": self.kl}

    def __str__(self) -> str:
        return table_of(self.by_name())

    def rows(self) -> list[Row]:
        """A row for each part."""
        return rows_of(self.by_name())


@in_range
def elbo(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count = 1,
    seed: Seed = 0,
    advance: Advance | None = None,
) -> ElboParts:
    """The ELBO, E_q[log p(x, z) − log q(z | x)] ≤ log p(x), and its two parts.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, on the device of the pair.
        num_samples: draws of z for each datapoint, at least 1.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
            The same seed means the same bits whatever the estimator.
        advance: called with the number of datapoints done, for a progress bar.

    Returns:
        estimates in nats per datapoint; bigger is better.

    Raises:
        UserError: the pair cannot run on this data, or the guide has rows for others.
    """
    check_rows_are_there(data)
    check_rows(guide, data.first, len(data))
    sums = []
    data = data.fixed(seed)
    with frozen(model, guide), seeded(stream(seed, "draws"), data.x.device):
        check_runs(data, model, guide)
        runs = runs_for(guide, data)
        for batch in data.batches(BATCH_SIZE):
            streams = Streams(log=False)
            for count in chunks(num_samples, batch):
                weighted = weighted_draws(model, guide, batch, count, runs)
                streams.add(dealt(torch.stack([weighted.reconstruction, weighted.kl], dim=1), log=False), count)
            sums.append(streams.sums)
            if advance:
                advance(len(batch.x))
    reconstruction, kl = torch.cat(sums, dim=-1).cpu().unbind(1)
    return ElboParts(*(mean_over_draws(part, num_samples) for part in (reconstruction - kl, reconstruction, kl)))


@in_range
def importance_bound(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: Count,
    seed: Seed = 0,
    advance: Advance | None = None,
    engine: Engine = "auto",
) -> Estimate:
    """The K-sample importance bound, E[log 1/K Σₖ wₖ] ≤ log p(x): rises with K, K = 1 is the ELBO (Burda et al. 2016).

    Streamed over the samples, so that memory does not grow with K.

    Args:
        model: p(x, z).
        guide: q(z | x), the proposal. The bound is only as tight as the proposal is good.
        data: the datapoints, on the device of the pair.
        num_samples: K, draws of z for each datapoint, at least 1.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
            The same seed means the same bits whatever the estimator.
        advance: called with the number of datapoints done, for a progress bar.
        engine: how weights are worked out: eager, plain Pyro; traced, compiled once; auto, what ends sooner.

    Returns:
        the estimate in nats per datapoint; bigger is better. Its ``rise`` is what going from K/2 draws to K added.

    Raises:
        UserError: the pair cannot run on this data, or the guide has rows for others.
    """
    check_rows_are_there(data)
    check_rows(guide, data.first, len(data))
    found = []
    data = data.fixed(seed)
    with frozen(model, guide), seeded(stream(seed, "draws"), data.x.device):
        check_runs(data, model, guide)
        log_sums = _log_sums(model, guide, data, num_samples, engine)
        for batch in data.batches(BATCH_SIZE):
            streams = Streams(log=True)
            for count in chunks(num_samples, batch):
                streams.add(log_sums(batch, count), count)
            found.append(streams.sums)
            if advance:
                advance(len(batch.x))
    return log_mean_over_draws(torch.cat(found, dim=1).cpu(), num_samples)


def runs_for(guide: nn.Module, data: Dataset) -> int:
    """Calls of the pair to deal the draws to: one for each stream where each call has a q of its own.

    Then what the draws of a call share is noise of that stream, and the error of the draws holds it.
    """
    return NUM_STREAMS if is_drawn(guide, data.probe()) else 1


def _log_sums(
    model: nn.Module, guide: nn.Module, data: Dataset, num_samples: int, engine: Engine
) -> Callable[[Batch, int], Tensor]:
    """log Σ w by stream of so many draws, ``(G, batch)``; compiled for the usual batch where that ends sooner."""

    runs = runs_for(guide, data)

    def eager(batch: Batch, count: int) -> Tensor:
        return dealt(log_weights(model, guide, batch, count, runs), log=True)

    usual = next(data.batches(BATCH_SIZE))
    counts = list(chunks(num_samples, usual))
    calls = len(counts) * -(-len(data) // BATCH_SIZE)
    if runs > 1 or not worth_compiling(engine, calls, counts[0] * usual.x.numel(), data.x.device):
        return eager  # so many runs in one graph would take minutes to compile

    def function(x: Tensor, index: Tensor, *y: Tensor) -> tuple[Tensor]:
        return (eager(Batch(x, y[0] if y else None, index), counts[0]),)

    examples = _tensors(usual)
    try:
        traced = compiled(trace(function, examples), examples)
    except NotTraceableError as error:
        refuse_untraced(engine, error)
        return eager

    def either(batch: Batch, count: int) -> Tensor:
        if (count, len(batch.x)) != (counts[0], len(usual.x)):
            return eager(batch, count)
        (sums,) = traced(*_tensors(batch))
        return sums

    return either


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.x, batch.index, *([] if batch.y is None else [batch.y])]
