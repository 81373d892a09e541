"""Bounds on log p(x) from draws of the guide: the ELBO and the K-sample importance bound."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.batch import Batch
from ppl_vae.capture import Engine, NotTraceableError, compiled, refuse_untraced, trace, worth_compiling
from ppl_vae.check import check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.evaluation.estimate import Estimate
from ppl_vae.evaluation.log_weights import BATCH_SIZE, chunks, log_weights, weighted_draws
from ppl_vae.pair import frozen
from ppl_vae.rows import check_rows
from ppl_vae.seeding import seeded, stream

Advance = Callable[[int], object]


class ElboParts(NamedTuple):
    """elbo = reconstruction − kl, each over the same draws."""

    elbo: Estimate
    reconstruction: Estimate
    kl: Estimate


def elbo(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: int = 1,
    seed: int = 0,
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
    check_rows(guide, data.first, len(data))
    sums = []
    data = data.fixed(seed)
    with frozen(model, guide), seeded(stream(seed, "draws"), data.x.device):
        check_runs(data, guide, model)
        for batch in data.batches(BATCH_SIZE):
            total = torch.zeros(2, len(batch.x), dtype=batch.x.dtype, device=batch.x.device)
            for count in chunks(num_samples, batch):
                weighted = weighted_draws(model, guide, batch, count)
                total += torch.stack([weighted.reconstruction.sum(0), weighted.kl.sum(0)])
            sums.append(total / num_samples)
            if advance:
                advance(len(batch.x))
    reconstruction, kl = torch.cat(sums, dim=1).cpu()
    return ElboParts(Estimate(reconstruction - kl), Estimate(reconstruction), Estimate(kl))


def importance_bound(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    num_samples: int,
    seed: int = 0,
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
        the estimate in nats per datapoint; bigger is better.

    Raises:
        UserError: the pair cannot run on this data, or the guide has rows for others.
    """
    check_rows(guide, data.first, len(data))
    values = []
    data = data.fixed(seed)
    with frozen(model, guide), seeded(stream(seed, "draws"), data.x.device):
        check_runs(data, guide, model)
        log_sum = _log_sum(model, guide, data, num_samples, engine)
        for batch in data.batches(BATCH_SIZE):
            total = torch.full((len(batch.x),), -math.inf, dtype=batch.x.dtype, device=batch.x.device)
            for count in chunks(num_samples, batch):
                total = torch.logaddexp(total, log_sum(batch, count))
            values.append(total - math.log(num_samples))
            if advance:
                advance(len(batch.x))
    return Estimate(torch.cat(values).cpu())


def _log_sum(
    model: nn.Module, guide: nn.Module, data: Dataset, num_samples: int, engine: Engine
) -> Callable[[Batch, int], Tensor]:
    """log Σ w over so many draws, ``(batch,)``; compiled for the usual batch and count where that ends sooner."""

    def eager(batch: Batch, count: int) -> Tensor:
        return log_weights(model, guide, batch, count).logsumexp(0)

    usual = next(data.batches(BATCH_SIZE))
    counts = list(chunks(num_samples, usual))
    calls = len(counts) * -(-len(data) // BATCH_SIZE)
    if not worth_compiling(engine, calls, counts[0] * usual.x.numel(), data.x.device):
        return eager

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
        (total,) = traced(*_tensors(batch))
        return total

    return either


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.x, batch.index, *([] if batch.y is None else [batch.y])]
