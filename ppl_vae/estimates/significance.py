"""Whether a difference is beyond chance: decided here for every warning, note, tie and refusal.

It is where it exceeds t standard errors, Student's t (1908) of the degrees of freedom that the error was estimated
with: datapoints − 1, trainings − 1, or of each datapoint its streams of draws, or chains, − 1. A sum of variances that
were estimated apart is taken to have the least of theirs, which errs on the side of chance whatever the variances are
(Hájek 1962). Where a few are looked at and any of them would be told, each is held to an equal part of the level
(Bonferroni). Of many datapoints with a few streams each, t is so large then that none could be told: each is held to a
level of its own, and it is how many pass that has to be more than chance makes.
"""

import torch
from torch import Tensor

from ppl_vae.estimates.estimate import Estimate

LEVEL = 1e-3
"""How often chance alone makes a statement, all of its looks together: one of a thousand evaluations with nothing wrong
in them says that something is. That is 3.1 standard errors of a Gaussian."""
IMPOSSIBLE = 3e-5
"""The same for a result that cannot be, since the evaluation is then refused: 4 standard errors of a Gaussian."""
ONE_ERROR = 0.16
"""How often a Gaussian is higher than by one standard error, which is what a ± says."""
ROUNDING = 1e-4
"""Nats that sums of float32 may be off by: where nothing varies, as under an exact posterior, that is all there is."""


def errors_of_chance(freedom: float | Tensor, level: float = LEVEL, looks: int = 1) -> Tensor:
    """How many standard errors chance exceeds in one of 1 / ``level`` cases, upwards, in any of so many looks.

    Args:
        freedom: degrees of freedom of the error, at least 1, of any shape.
        level: the probability.
        looks: how many differences it is the level of together.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # here: it takes a while

    known = torch.as_tensor(freedom, dtype=torch.float64).clamp(min=1.0)
    return torch.as_tensor(-stdtrit(known.numpy(), level / looks))


def freedom_of_draws(estimate: Estimate) -> int:
    """Of the error over draws at one datapoint: the streams that had any, less 1; 0 where that error is not known."""
    if estimate.noise is None:
        return 0
    return max(0, int((estimate.noise != 0).any(1).sum()) - 1)


def beyond_chance(difference: Estimate, looks: int = 1) -> bool:
    """Whether it is above 0, by its paired error over datapoints, or over draws for a single one."""
    num = len(difference.values)
    error = difference.stderr if num > 1 else difference.monte_carlo_stderr
    freedom = num - 1 if num > 1 else freedom_of_draws(difference)
    return difference.mean > float(errors_of_chance(freedom, looks=looks)) * error


def each_beyond_chance(more: Tensor, variance: Tensor, freedom: int, level: float) -> Tensor:
    """At which datapoints a difference is above 0, ``(N,)``, bool.

    Args:
        more: the differences, ``(N,)``.
        variance: of each over draws, ``(N,)``; NaN where it is not known.
        freedom: of it; of a sum of variances, the least of theirs.
        level: of each datapoint.
    """
    return more > errors_of_chance(freedom, level) * variance.sqrt() + ROUNDING


def more_than_chance(count: int, num: int, each: float) -> bool:
    """Whether so many of ``num`` independent looks are more than chance tells, each at its own level (binomial)."""
    from scipy.special import bdtrc  # here: it takes a while

    return count > 0 and float(bdtrc(count - 1, num, each)) < LEVEL


def still_rising(bound: Estimate) -> bool:
    """Whether the last doubling of a bound's draws added more than its error over datapoints, and more than chance
    does: then that error no longer says how far the truth is."""
    rise = bound.rise
    if rise is None or rise.noise is None:
        return rise is not None
    num = len(bound.values)
    if num > 1 and not rise.mean > float(errors_of_chance(num - 1, ONE_ERROR)) * bound.stderr:
        return False
    return rise.mean > float(errors_of_chance(freedom_of_draws(rise))) * rise.monte_carlo_stderr
