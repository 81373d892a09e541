"""Log importance weights, the raw material of every bound on log p(x)."""

from collections.abc import Iterator
from math import inf

from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.pair import Weighted, evaluating, run_pair, weigh

BATCH_SIZE = 256
"""Datapoints that are evaluated at once."""

# What one call evaluates at most, in elements of x (samples × datapoints × event) and in draws (samples × datapoints):
# enough to keep the cores busy, and the activations, of whatever width, stay in a few hundred megabytes.
_CALL_ELEMENTS = 2**23
_CALL_DRAWS = 2**15


# In nats: a term this far below the largest is 1e-20 of it.
_UNSEEN = 46.0


def log_sum_exp(terms: Tensor, dim: int = 0) -> Tensor:
    """log Σ exp, whose gradient leaves out the terms that the sum cannot see, to 1e-20 of the largest.

    Torch's own gives each term its share of the gradient, however small. What a share of e⁻⁸⁰ is multiplied with turns
    into denormal numbers, with which a matrix product takes a hundred times as long.

    Args:
        terms: in nats; any of them may be infinite.
        dim: to sum over.
    """
    largest = terms.detach().amax(dim, keepdim=True)
    return terms.masked_fill(terms < largest - _UNSEEN, -inf).logsumexp(dim)


def weighted_draws(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int, runs: int = 1) -> Weighted:
    """Draw from the guide and weigh the draws under both programs.

    Args:
        model: p(x, z).
        guide: q(z | x).
        batch: the datapoints.
        num_samples: draws of z for each of them.
        runs: calls of the pair to which they are dealt in turn. All draws of a call share its q: of a guide that draws
            to find it (:func:`ppl_vae.programs.density.is_drawn`), calls are independent and draws are not.
    """
    with evaluating(model, guide):
        counts = [len(range(run, num_samples, runs)) for run in range(min(runs, num_samples))]
        parts = [weigh(run_pair(model, guide, batch, count), batch, count) for count in counts]
    return parts[0] if len(parts) == 1 else Weighted(*(_in_turn(each) for each in zip(*parts, strict=True)))


def _in_turn(parts: tuple[Tensor, ...]) -> Tensor:
    """Rows of each of them in turn, of which the first have one more than the last."""
    whole = parts[0].new_empty(sum(map(len, parts)), *parts[0].shape[1:])
    for number, part in enumerate(parts):
        whole[number :: len(parts)] = part
    return whole


def log_weights(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int, runs: int = 1) -> Tensor:
    """log w = log p(x, z) − log q(z | x) with z ~ q(z | x), so that E[w] = p(x); see :func:`weighted_draws`.

    Returns:
        ``(num_samples, batch)``, in nats.
    """
    weighted = weighted_draws(model, guide, batch, num_samples, runs)
    return weighted.reconstruction - weighted.kl


def chunks(num_samples: int, batch: Batch) -> Iterator[int]:
    """How many of the samples to draw in each call, so that memory does not grow with their number.

    Args:
        num_samples: in all, at least 1.
        batch: the datapoints.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    most = max(1, min(_CALL_ELEMENTS // batch.x.numel(), _CALL_DRAWS // len(batch.x)))
    yield from (most for _ in range(num_samples // most))
    if num_samples % most:
        yield num_samples % most
