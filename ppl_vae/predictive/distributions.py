"""Sheets of draws from the prior, posterior and conditional predictive distributions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from ppl_vae.data.conditions import chosen, in_list
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.data.labels import Label, number_of, rows_of
from ppl_vae.predictive.draws import label_sheet, posterior_predictive, prior_predictive
from ppl_vae.predictive.latent_space.codes import GuideFor
from ppl_vae.predictive.rendering import (
    blocks_of,
    centre,
    is_drawn,
    pairs_of,
    sheet_of,
    shown_of,
    shows_noise,
    strips_of,
    takes_conditions,
    takes_labels,
)
from ppl_vae.predictive.samples import Samples
from ppl_vae.programs.holes import with_gaps
from ppl_vae.programs.rows import check_rows
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHEET_COLUMNS = 12


@in_range
def prior(model: nn.Module, info: Described, num_samples: Count = 64) -> Samples:
    """z ~ p(z), x ~ p(x | z), from torch's own generator: the latents by site, means, x, and a sheet of the means.

    Args:
        model: p(x, z).
        info: of its training data, or what :func:`ppl_vae.load` gave.
        num_samples: how many draws.

    Raises:
        UserError: the model reads labels or conditions, and has no distribution to draw them from.
    """
    info = DataInfo.of(info)
    if takes_labels(model, info):
        raise UserError("this model is conditional on labels, and has no p(y) of them; draw from `conditional`.")
    if takes_conditions(model, info):
        raise UserError(
            f"this model is conditional on {in_list(info.conditions)}, and has no distribution of them; sample "
            "conditional."
        )
    draws = prior_predictive(model, info.event_shape, num_samples)
    shown, words = shown_of(model, info, draws)
    kinds = {"E[x | z], z ~ p(z)": draws.means, "x ~ p(x | z) for the same z": draws.x}
    noisy = shows_noise(model, info)
    return Samples(
        {**draws.latents, "means": draws.means, "x": draws.x},
        info,
        f"Prior predictive: {words}{'; below, x ~ p(x | z) for the same z' if noisy else ''}.",
        lambda caption: blocks_of(info, kinds, caption) if noisy else sheet_of(info, shown, caption),
        sequences={"x": draws.x},
        axes={"draw": range(num_samples)},
    )


def posterior(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """z ~ q(z | x), x' ~ p(x' | z), from torch's own generator: observations, latents, means, x, and their pairs.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: the observations, each of which is drawn for once.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        split: what the caption calls the data.
        seed: of the bits of grey levels.
        unseen: gives the guide for datapoints that this one may have no answer to, for instance by local inference.

    Raises:
        UserError: the guide has rows for other datapoints.
    """
    info = DataInfo.of(info)
    if unseen is None:
        check_rows(guide, data.first, len(data))
    data = data.fixed(seed)
    batch = data.batch(torch.arange(len(data), device=data.device))
    draws = posterior_predictive(model, unseen(data) if unseen else guide, batch)
    drawn = is_drawn(model, info)
    reconstructed = draws.x if drawn else draws.means
    what = "x ~ p(x | z)" if drawn else centre(model, info)

    x = with_gaps(batch.x, batch.mask)
    kinds = {"x": x, "E[x | z], z ~ q(z | x)": draws.means, "x ~ p(x | z) for the same z": draws.x}
    noisy = shows_noise(model, info)

    def drawn_under(caption: str) -> "Figure":
        return blocks_of(info, kinds, caption) if noisy else pairs_of(info, x, reconstructed, caption)

    return Samples(
        {"observations": x, **draws.latents, "means": draws.means, "x": draws.x},
        info,
        f"{split} data; below, {what} for one z ~ q(z | x){', and x ~ p(x | z)' if noisy else ''}.",
        drawn_under,
        sequences={"observation": x, "reconstruction": reconstructed},
        axes={"index": range(len(x))},
        along=info.names.of_labels(batch.y),
    )


@in_range
def conditional(
    model: nn.Module,
    info: Described,
    num_samples: Count = 64,
    label: Label | None = None,
    at: Mapping[str, float | str] | None = None,
) -> Samples:
    """z ~ p(z), x ~ p(x | z, y, c), from torch's own generator: latents, means and x of one label and conditions c.

    Of a model that reads labels, without a label, it is the means of a sheet: a row for each label that training saw,
    at most 50, a z for each column.

    Args:
        model: p(z) p(x | z, y, c).
        info: of its training data, or what :func:`ppl_vae.load` gave.
        num_samples: how many draws; of the sheet, how many columns, at most 12.
        label: y, as the data has it.
        at: conditions by name, such as ``{"age": 40}``, of a category one of its values; the others are at their mean
            over the training data, which the caption says.

    Returns:
        the draws; where a condition leaves what training saw, its ``words`` say so.

    Raises:
        UserError: the model reads no such thing, or training saw no such label; there is no condition of that name, or
            its value is no number.
    """
    info = DataInfo.of(info)
    labels, conditioned = takes_labels(model, info), takes_conditions(model, info)
    if not labels and not conditioned:
        raise UserError("this run's model takes no labels and no conditions; train one with `model` conditional.")
    if label is not None and not labels:
        raise UserError("`label`: this run's model takes no labels; say its conditions by `at`.")
    if at and not conditioned:
        raise UserError("`at`: this run's model takes no conditions; leave it out.")
    under = chosen(info.conditions, at or {}) if conditioned else None
    c, given, rest, words = (None, "", "", ()) if under is None else under
    given = f", {given}" if given else ""
    rest = f"; {rest}" if rest else ""
    if labels and label is None:
        rows = rows_of(info)
        sheet = label_sheet(model, info.event_shape, rows.numbers, min(num_samples, _SHEET_COLUMNS), c)
        names = [f"y = {name}" for name in rows.names]
        return Samples(
            {"means": sheet},
            info,
            f"E[x | z, y{given}]: {rows.words}, a column for each z ~ p(z){rest}.",
            lambda caption: strips_of(info, sheet, names, (), caption),
            words,
            axes={"label": rows.names, "draw": range(sheet.shape[1])},
        )
    number = None if label is None else number_of(info, label, "label")
    y = None if number is None else torch.full((num_samples,), number, device=device_of(model))
    draws = prior_predictive(model, info.event_shape, num_samples, y, c)
    return Samples(
        {**draws.latents, "means": draws.means, "x": draws.x},
        info,
        f"E[x | z{'' if label is None else f', y = {label}'}{given}] for z ~ p(z){rest}.",
        lambda caption: sheet_of(info, draws.means, caption),
        words,
        sequences={"x": draws.x},
        axes={"draw": range(num_samples)},
    )
