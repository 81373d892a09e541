"""Statistics of a table, of many data sets at once: of each column by its kind, and the correlations of columns.

What was not seen counts for nothing: a statistic of a column is over the rows where it was seen, a correlation over
those where both of its columns were.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.data.info import DataInfo
from ppl_vae.data.kinds import COLUMNS, kind_of
from ppl_vae.runtime.errors import UserError

MOST_CORRELATED = 200
"""Correlations are of the first so many columns: their number grows with the square."""

MEAN, SPREAD, ZEROS, SHARE, CORRELATION = "mean", "standard deviation", "share of zeros", "share of ones", "correlation"
QUANTILES = {"5 % quantile": 0.05, "median": 0.5, "95 % quantile": 0.95}


class Statistics(NamedTuple):
    """Which statistics a table has, S of them.

    Args:
        names: what each is, such as "mean".
        places: the columns of x that each is of, ``(S, 2)``: the two of a correlation, the one of others twice.
        kinds: of the columns, as in :class:`ppl_vae.data.info.DataInfo`, one for each.
    """

    names: tuple[str, ...]
    places: Tensor
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, info: DataInfo, x: Tensor) -> "Statistics":
        """Those of a table.

        Reals and counts have mean, standard deviation and quantiles, counts a share of zeros too, bits and the values
        of a category a share of ones; two columns have a correlation unless they are values of one category.

        Args:
            info: of the data; where it has no kinds, they are told from the numbers.
            x: some rows, ``(n, *event)``.

        Raises:
            UserError: the data is no table.
        """
        size = info.event_shape[0]
        kinds: tuple[str, ...] = info.column_kinds or (kind_of(x, info.layout),) * size
        if len(info.event_shape) != 1 or not set(kinds) <= {*COLUMNS}:
            raise UserError("the data is no table: give rows of reals, counts, bits or categories, of shape (N, D).")
        names: list[str] = []
        places: list[tuple[int, int]] = []
        for name, of_kinds in _OF_KINDS.items():
            chosen = [place for place, kind in enumerate(kinds) if kind in of_kinds]
            names += [name] * len(chosen)
            places += [(place, place) for place in chosen]
        blocks = torch.repeat_interleave(torch.tensor(info.blocks or (1,) * size))  # of each column, its block's number
        correlated = min(size, MOST_CORRELATED)
        first, second = torch.triu_indices(correlated, correlated, offset=1)
        pairs = torch.stack([first, second], 1)[blocks[first] != blocks[second]]
        names += [CORRELATION] * len(pairs)
        return cls(tuple(names), torch.cat([torch.tensor(places).reshape(-1, 2), pairs]), kinds)

    def which(self, *names: str) -> Tensor:
        """Which of the statistics have one of these names, bool, ``(S,)``."""
        return torch.tensor([name in names for name in self.names])

    def values(self, x: Tensor, mask: Tensor | None, centre: Tensor) -> Tensor:
        """The statistics of data sets, ``(R, S)``, on the device of x; NaN where there is none.

        Args:
            x: ``(R, N, D)``.
            mask: what was seen, bool, ``(N, D)``; None for all.
            centre: near the means of the columns, ``(D,)``, taken off before anything is squared.
        """
        seen = torch.ones_like(x[0], dtype=torch.bool) if mask is None else mask
        num = seen.sum(0).to(x)
        zero = torch.zeros((), dtype=x.dtype, device=x.device)
        mean = torch.where(seen, x - centre, zero).sum(1) / num  # (R, D)
        fewer = torch.where(num > 1, num - 1, torch.nan)
        away = torch.where(seen, x - centre - mean.unsqueeze(1), zero)
        by_name = {
            MEAN: mean + centre,
            SPREAD: (away.square().sum(1) / fewer).sqrt(),
            ZEROS: ((x == 0) & seen).sum(1) / num,
            SHARE: mean + centre,
            **_quantiles(x, seen),
        }
        pairs = correlations(away[..., :MOST_CORRELATED], seen[:, :MOST_CORRELATED].to(x))
        found = torch.empty(len(x), len(self.names), dtype=x.dtype, device=x.device)
        for name in dict.fromkeys(self.names):
            chosen = self.which(name)
            first, second = self.places[chosen].to(x.device).T
            found[:, chosen.to(x.device)] = pairs[:, first, second] if name == CORRELATION else by_name[name][:, first]
        return found

    def effective(self, seen: Tensor, varying: Tensor) -> Tensor:
        """How many rows each statistic rests on, ``(S,)``: those with another value than the usual one, and of a
        correlation as many as have one in both columns if these are independent.

        Args:
            seen: bool, ``(N, D)``.
            varying: the share of such rows in each column, ``(D,)``.
        """
        first, second = self.places.to(seen.device).T
        both = (seen.to(varying).mT @ seen.to(varying))[first, second]
        return both * varying[first] * torch.where(first == second, 1.0, varying[second])


_OF_KINDS = {
    MEAN: ("reals", "counts"),
    SPREAD: ("reals", "counts"),
    **dict.fromkeys(QUANTILES, ("reals", "counts")),
    ZEROS: ("counts",),
    SHARE: ("bits", "category"),
}


def _quantiles(x: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """By name ``(R, D)``, between neighbours by a straight line."""
    ordered = torch.where(seen, x, torch.inf).sort(dim=1).values  # what was not seen comes last
    last = (seen.sum(0) - 1).clamp(min=0)
    found = {}
    for name, level in QUANTILES.items():
        place = level * last.to(x)
        below, share = place.floor().long(), place - place.floor()
        low, high = (ordered.gather(1, each.expand(len(x), 1, -1))[:, 0] for each in (below, (below + 1).minimum(last)))
        found[name] = torch.where(seen.any(0), torch.lerp(low, high, share), torch.nan)
    return found


def correlations(away: Tensor, seen: Tensor) -> Tensor:
    """Pearson's correlations of columns, each pair's over the rows where both were seen, ``(R, C, C)``.

    Args:
        away: deviations from the columns' means, 0 where nothing was seen, ``(R, N, C)``.
        seen: 1 or 0, ``(N, C)``.
    """
    num = seen.mT @ seen
    sums = away.mT @ seen  # [r, a, b]: of column a over the rows where b was seen too
    squares = (away.square().mT @ seen - sums.square() / num).clamp(min=0)
    products = away.mT @ away - sums * sums.mT / num
    return (products / (squares * squares.mT).sqrt()).clamp(-1, 1)
