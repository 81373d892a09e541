"""What every estimator by draws of the guide begins with: sums over the draws of each datapoint, by stream.

An estimate of a mean of weights is then no more than::

    def values(batch: Batch, count: int, runs: int) -> Tensor:
        return log_weights(model, guide, batch, count, runs)

    sums = sums_over_draws(model, guide, data, values, num_samples, seed, log=True)
    return log_mean_over_draws(sums, num_samples)
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ppl_vae.data.checks import check_rows_are_there, check_runs
from ppl_vae.data.dataset import Dataset
from ppl_vae.estimates.streams import NUM_STREAMS, Streams, dealt
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import is_drawn, refuse_points
from ppl_vae.programs.log_weights import BATCH_SIZE, chunks
from ppl_vae.programs.pair import frozen
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.seeding import seeded, stream
from ppl_vae.tracing.capture import Engine, NotTraceableError, compiled, refuse_untraced, trace, worth_compiling

NO_WEIGHTS = "take the ELBO, or annealing from the prior."
"""What there is where the guide is a point."""

Advance = Callable[[int], object]
Values = Callable[[Batch, int, int], Tensor]
_Sums = Callable[[Batch, int], Tensor]


def sums_over_draws(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    values: Values,
    num_samples: int,
    seed: int = 0,
    *,
    log: bool,
    engine: Engine = "eager",
    advance: Advance | None = None,
) -> Tensor:
    """Sum what draws of the guide come to, streamed over the draws, so that memory does not grow with their number.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the datapoints, on the device of the pair.
        values: called with a batch, how many draws of z to make for each of its datapoints, and in how many ``runs``
            of the pair (:func:`ppl_vae.programs.log_weights.log_weights`); returns a value of each draw,
            ``(count, ..., batch)``.
        num_samples: K, draws for each datapoint, at least 1.
        seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
        log: whether the values are logarithms of weights, to be summed as what they are logarithms of.
        engine: how they are worked out: eager, plain Pyro; traced, compiled once; auto, what ends sooner.
        advance: called with the number of datapoints done, for a progress bar.

    Returns:
        ``(G, ..., N)`` on the CPU, for :func:`ppl_vae.estimates.streams.mean_over_draws` or
        :func:`ppl_vae.estimates.streams.log_mean_over_draws`.

    Raises:
        UserError: the pair cannot run on this data, or the guide has rows for others; or weights of a guide that is a
            point, which has none.
    """
    check_rows_are_there(data)
    check_rows(guide, data.first, len(data))
    found = []
    data = data.fixed(seed)
    with frozen(model, guide), seeded(stream(seed, "draws"), data.device):
        check_runs(data, model, guide)
        if log:
            refuse_points(guide, data.probe(), NO_WEIGHTS)
        runs = runs_for(guide, data)

        def eager(batch: Batch, count: int) -> Tensor:
            return dealt(values(batch, count, runs), log=log)

        # So many runs in one graph would take minutes to compile.
        sums = eager if runs > 1 else _faster(eager, data, num_samples, engine)
        for batch in data.batches(BATCH_SIZE):
            streams = Streams(log=log)
            for count in chunks(num_samples, batch):
                streams.add(sums(batch, count), count)
            found.append(streams.sums)
            if advance:
                advance(len(batch.x))
    return torch.cat(found, dim=-1).cpu()


def runs_for(guide: nn.Module, data: Dataset) -> int:
    """Calls of the pair to deal the draws to: one for each stream where each call has a q of its own.

    Then what the draws of a call share is noise of that stream, and the error of the draws holds it.
    """
    return NUM_STREAMS if is_drawn(guide, data.probe()) else 1


def _faster(eager: _Sums, data: Dataset, num_samples: int, engine: Engine) -> _Sums:
    """The same, compiled for the usual batch where that ends sooner."""
    usual = next(data.batches(BATCH_SIZE))
    counts = list(chunks(num_samples, usual))
    calls = len(counts) * -(-len(data) // BATCH_SIZE)
    if not worth_compiling(engine, calls, counts[0] * usual.x.numel(), data.device):
        return eager

    def function(*tensors: Tensor) -> tuple[Tensor]:
        return (eager(usual.of(tensors), counts[0]),)

    examples = usual.tensors
    try:
        traced = compiled(trace(function, examples), examples)
    except NotTraceableError as error:
        refuse_untraced(engine, error)
        return eager

    def either(batch: Batch, count: int) -> Tensor:
        if (count, len(batch.x)) != (counts[0], len(usual.x)):
            return eager(batch, count)
        (sums,) = traced(*batch.tensors)
        return sums

    return either
