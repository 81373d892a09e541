"""What was found of each datapoint, as a table."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ppl_vae.estimates.estimate import Estimate
from ppl_vae.evaluation.weight_tails import WeightTails
from ppl_vae.runtime.shown import Columned, Columns, Names

_USUAL = ("elbo", "reconstruction", "kl", "log_px")


@dataclass(frozen=True, eq=False)
class EachDatapoint(Columned, Mapping[str, Tensor]):
    """What was found of each datapoint: ``found["elbo"]`` is a column, ``found.to_frame()`` has all of them.

    Args:
        numbers: columns ``(N,)`` by name, the first of which is ``index``.
        y: labels by number, ``(N,)``, or None.
        names: what they are called.
    """

    numbers: Mapping[str, Tensor]
    y: Tensor | None = None
    names: Names = Names()  # noqa: RUF009

    def __getitem__(self, name: str) -> Tensor:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def columns(self) -> Columns:
        """The row number in its split, from 0; the label, where there are labels; and the numbers."""
        index, *rest = ({name: column.cpu().numpy()} for name, column in self.numbers.items())
        return index | self.names.of_labels(self.y) | {name: column for each in rest for name, column in each.items()}


def per_datapoint(
    results: Mapping[str, Estimate],
    weights: WeightTails | None,
    y: Tensor | None = None,
    names: Names = Names(),  # noqa: B008
) -> EachDatapoint:
    """The table of an evaluation.

    Args:
        results: what was asked for, by name.
        weights: of the guide's draws on the same datapoints, or the first of them, for what was not asked for; None
            where q has no density.
        y: labels by number, or None.
        names: what they are called.

    Returns:
        columns ``(N,)`` by name, NaN where there is nothing: ``index`` of the datapoint in its split, from 0; ``elbo``,
        ``reconstruction``, ``kl`` and ``log_px`` in nats, then what else was asked for, each with ``NAME_stderr``, its
        standard error over draws; ``k_hat`` and ``ess`` of the importance weights, see
        :class:`ppl_vae.evaluation.weight_tails.WeightTails`.
    """
    num = len(next(iter(results.values())).values)
    columns = {"index": torch.arange(num)}
    from_weights = {**weights.parts.by_name(), "log_px": weights.log_px} if weights else {}

    def of_all(values: Tensor | None) -> Tensor:
        if values is None:
            return torch.full((num,), math.nan)
        return torch.cat([values, values.new_full((num - len(values),), math.nan)])

    for name in dict.fromkeys((*_USUAL, *results)):
        found = results.get(name, from_weights.get(name))
        columns[name] = of_all(None if found is None else found.values)
        columns[f"{name}_stderr"] = of_all(None if found is None else found.stderr_of_each)
    columns["k_hat"] = of_all(weights and weights.khat)
    columns["ess"] = of_all(weights and weights.ess.values)
    return EachDatapoint(columns, y, names)


def as_csv(found: EachDatapoint) -> str:
    """With a header; an empty cell for NaN, ``inf`` and ``-inf`` for what is infinite."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = found.columns()
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        writer.writerow(_cell(value) for value in row)
    return text.getvalue()


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.9g}"
