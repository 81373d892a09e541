"""What was found of each datapoint, as the columns of a table."""

import csv
import io
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ppl_vae.estimates.estimate import Estimate
from ppl_vae.evaluation.weight_tails import WeightTails


def per_datapoint(results: Mapping[str, Estimate], weights: WeightTails | None) -> dict[str, Tensor]:
    """The table of an evaluation.

    Args:
        results: what was asked for, by name.
        weights: of the guide's draws on the same datapoints, for what was not asked for; None where q has no density.

    Returns:
        columns ``(N,)`` by name, NaN where there is nothing: ``index`` of the datapoint in its split, from 0; ``elbo``,
        ``reconstruction``, ``kl`` and ``log_px`` in nats, then what else was asked for; ``k_hat`` and ``ess`` of the
        importance weights, see :class:`ppl_vae.evaluation.weight_tails.WeightTails`.
    """
    num = len(next(iter(results.values())).values)
    columns = {"index": torch.arange(num)}
    from_weights = {**weights.parts.by_name(), "log_px": weights.log_px} if weights else {}
    nothing = torch.full((num,), math.nan)
    for name in dict.fromkeys(("elbo", "reconstruction", "kl", "log_px", *results)):
        found = results.get(name) or from_weights.get(name)
        columns[name] = found.values if found else nothing
    return columns | {"k_hat": weights.khat if weights else nothing, "ess": weights.ess.values if weights else nothing}


def as_csv(columns: Mapping[str, Tensor]) -> str:
    """With a header; an empty cell for NaN, ``inf`` and ``-inf`` for what is infinite."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        writer.writerow("" if math.isnan(value) else f"{value:.9g}" for value in row)
    return text.getvalue()
