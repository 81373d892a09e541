"""What of the statistics of data is beyond chance, beside those of data sets that a model has made.

T(x) is to be farther from the draws' mean than Student's t allows in any of as many looks (Bonferroni), by their
spread, and farther than any statistic of its name lies in any of the R data sets, by the spread of the others: whatever
the shapes of the distributions, a right model is accused in at most one of R + 1 cases for each name. What rests on
fewer than ten rows is not judged: with 20,000 correlations of columns that are nearly always zero, chance lets two ones
meet somewhere.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.estimates.significance import LEVEL, errors_of_chance
from ppl_vae.predictive.statistics import QUANTILES, SPREAD, Statistics

FEWEST = 10
"""Rows that a statistic has to rest on to be judged."""

_ROUNDING = 1e-6  # of a statistic
_WITHIN = 0.5  # of a quantile of counts: it moves by whole numbers
_LITTLE = 0.01  # of a spread, added before its logarithm is taken


class Judged(NamedTuple):
    """What is said of S statistics, ``(S,)`` each: as in :class:`ppl_vae.predictive.checking.PredictiveChecks`."""

    p_values: Tensor
    p_errors: Tensor
    away: Tensor
    beyond: Tensor


def judge(statistics: Statistics, data: Tensor, draws: Tensor, enough: Tensor, usually: Tensor) -> Judged:
    """What of the data is beyond chance.

    Args:
        statistics: S of them.
        data: ``(S,)``.
        draws: ``(R, S)``.
        enough: whether a statistic rests on enough rows of the data or of the draws, bool, ``(S,)``.
        usually: whether on enough of the draws.
    """
    num = len(draws)
    lower, upper = ((1 + each.sum(0)) / (num + 1) for each in (draws <= data, draws >= data))
    tail = lower.minimum(upper)
    missing = data.isnan() | draws.isnan().any(0)
    p_values = torch.where(missing, torch.nan, (2 * tail).clamp(max=1))
    p_errors = torch.where(missing, torch.nan, 2 * (tail * (1 - tail).clamp(min=0) / (num + 1)).sqrt())
    spread = statistics.which(SPREAD)
    little = _LITTLE * torch.where(data > 0, data, draws.mean(0)).clamp(min=1e-30)
    counted = torch.tensor([statistics.kinds[place] == "counts" for place in statistics.places[:, 0].tolist()])
    fixed = _ROUNDING * data.abs().maximum(draws.mean(0).abs()) + _WITHIN * (counted & statistics.which(*QUANTILES))
    # A spread's logarithm is nearer to a Gaussian than the spread, and 1e20 in one of the draws hides nothing.
    fixed = torch.where(spread, _ROUNDING, fixed)
    data, draws = (torch.where(spread, (each.clamp(min=0) + little).log(), each) for each in (data, draws))
    mean, variance = draws.mean(0), draws.var(0)
    apart = draws - mean
    away = _ratio(data - mean, ((1 + 1 / num) * variance + fixed.square()).sqrt())
    away = torch.where(enough & ~missing, away, torch.nan)
    # Of each draw, what away would be if it were the data and the others the draws.
    others = (((num - 1) * variance - apart.square() * num / (num - 1)) / (num - 2)).clamp(min=0)
    by_chance = (
        _ratio(apart * num / (num - 1), (others * num / (num - 1) + fixed.square()).sqrt()).abs().nan_to_num(0.0)
    )
    by_chance = torch.where(usually, by_chance.amax(0), 0.0)
    looks = 2 * max(1, int((~away.isnan()).sum()))  # on both sides
    most = torch.full_like(data, float(errors_of_chance(num - 1, LEVEL, looks)))
    for name in dict.fromkeys(statistics.names):
        chosen = statistics.which(name)
        most = torch.where(chosen, most.maximum(by_chance[chosen].max()), most)
    return Judged(p_values, p_errors, away, away.abs() > most)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """The one over the other; 0 of nothing over nothing."""
    return torch.where(above == 0, 0.0, above / below)
