"""Observations of a data set put into latent space, and codes taken back: what all walks share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae.data.conditions import means_of
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import Label, number_of
from ppl_vae.predictive.latent_space.walks import CodeKind, codes_of, decode_codes, draws_along
from ppl_vae.predictive.rendering import is_drawn, takes_labels
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.programs.holes import with_gaps
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.rows import check_rows, has_rows, tables_of
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import stream

GuideFor = Callable[[Dataset], nn.Module]
"""Gives a guide with an answer to these datapoints, for instance by local inference."""


class Encoded(NamedTuple):
    """Some observations of a data set.

    Args:
        shown: as the data has them, ``(n, *event)``: grey levels where the guide saw bits drawn from them; NaN where
            nothing was seen.
        x: as the guide saw them, ``(n, *event)``, likewise.
        y: labels ``(n,)``, or None.
        codes: ``(n, D)``; of several for each ``(n · num_codes, D)``, those of one observation together.
    """

    shown: Tensor
    x: Tensor
    y: Tensor | None
    codes: Tensor


def encode(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    rows: Tensor,
    kind: CodeKind = "means",
    seed: int = 0,
    unseen: GuideFor | None = None,
    num_codes: int = 1,
) -> Encoded:
    """Some rows of a data set, and their codes.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the data set.
        rows: which of them, ``(n,)``.
        kind: ``means`` of q(z | x), or ``samples``, one draw each, from torch's own generator.
        seed: of the bits of grey levels.
        unseen: gives the guide for datapoints that this one may have no answer to; the guide itself if None.
        num_codes: of each row, of the same guide.

    Raises:
        UserError: the guide has rows for other datapoints.
    """
    if unseen is None:
        check_rows(guide, data.first, len(data))
    bits = data.fixed(seed)
    mask, y = (None if each is None else each[rows] for each in (data.mask, data.y))
    shown, x = (with_gaps(each.values(rows), mask) for each in (data, bits))
    if tables_of(guide) and (unseen is None or has_rows(guide, data.first, len(data))):
        return Encoded(shown, x, y, codes_of(model, guide, bits, rows.repeat_interleave(num_codes), kind))
    few = bits.take(rows).replace(first=UNSEEN)  # if each has to be fitted, no others than these
    each = torch.arange(len(few), device=x.device).repeat_interleave(num_codes)
    return Encoded(shown, x, y, codes_of(model, unseen(few) if unseen else guide, few, each, kind))


def decode_ways(
    model: nn.Module, data: Dataset, info: DataInfo, codes: Tensor, y: Tensor | None, seed: int
) -> dict[str, Tensor]:
    """Latents by site and means E[x | z] at codes, under conditions at their training means; of music, a draw x too.

    Args:
        model: p(x, z).
        data: any that the model accepts.
        info: of the training data.
        codes: W ways of S steps, ``(W, S, D)``.
        y: numbers of labels ``(W, S)``, for a conditional model.
        seed: of the noise of music, which is the same at every step.
    """
    latents = Latents.of(model, data.probe())
    values, _ = latents.mapped(codes)
    c = means_of(info.conditions)
    made = {**values, "means": decode_codes(model, latents, codes, info.event_shape, y, c)}
    if is_drawn(model, info):
        made["x"] = draws_along(model, latents, codes, info.event_shape, stream(seed, "steps"), c)
    return made


def rows_among(rows: Sequence[int], data: Dataset, setting: str) -> Tensor:
    """Rows of a data set as a tensor.

    Args:
        rows: which.
        data: the data set.
        setting: that named them, for the message.

    Raises:
        UserError: there is no such row, or none is named.
    """
    if not rows:
        raise UserError(f"`{setting}`: name one or more rows of the split.")
    if wrong := [row for row in rows if not 0 <= row < len(data)]:
        raise UserError(f"`{setting}` {wrong[0]}: the split's rows are 0 to {len(data) - 1}.")
    return torch.tensor(rows, device=data.device)


def label_number(model: nn.Module, info: DataInfo, label: Label | None) -> int | None:
    """The number by which a conditional model knows a label; None if there is none.

    Raises:
        UserError: the model takes no labels, or its training data has no such label.
    """
    if label is None:
        return None
    if not takes_labels(model, info):
        raise UserError("`label`: this run's model takes no labels; train one with `model` conditional.")
    return number_of(info, label, "label")


def labels_for(model: nn.Module, info: DataInfo, number: int | None, own: Tensor | None) -> Tensor | None:
    """The numbers of the labels to decode under: of the one asked for, else of the observations' own; None unless the
    model takes any."""
    if own is None or not takes_labels(model, info):
        return None
    return own if number is None else torch.full_like(own, number)


def saw_bits(data: Dataset, info: DataInfo) -> str:
    """What is to be said of pictures of observations that the guide saw as bits."""
    return " (in grey; q saw bits drawn from them)" if data.dynamic and info.layout == "plain" else ""
