"""Observations moved along a direction of latent space: from one group's mean code to another's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.data.labels import Label, number_of
from ppl_vae.predictive.latent_space.codes import GuideFor, decode_ways, encode, labels_for, rows_among, saw_bits
from ppl_vae.predictive.rendering import centre, strips_of, takes_labels
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.wording import observation
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.errors import UserError

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Multiples of a direction that are usually added."""


@in_range
def arithmetic(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    from_label: Label | None = None,
    to_label: Label | None = None,
    subtract: Sequence[int] = (),
    add: Sequence[int] = (),
    images: Sequence[int] = (),
    strengths: Sequence[float] = STRENGTHS,
    limit: Count = 2000,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """Observations moved along a direction: images, observations, direction, strengths, latents by site, means.

    The direction is the mean code of one label less that of another, or of some rows less that of others.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: where the observations come from.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        from_label: subtract the mean code of this label.
        to_label: add the mean code of this label.
        subtract: subtract the mean code of these rows.
        add: add the mean code of these rows.
        images: rows to move; by default the first six, of ``from_label`` where that is given.
        strengths: multiples of the direction that are added; 0 is the observation's own code.
        limit: how many datapoints the mean codes of labels are taken over.
        split: what the caption calls the data.
        seed: of the bits of grey levels, and of the noise of music.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: no direction is named, or two; rows or labels that the data has not; labels, of a model that is given
            them, so that z is not to hold them.
    """
    info = DataInfo.of(info)
    labels = takes_labels(model, info)
    if all((subtract, add)) and (from_label, to_label) == (None, None):
        start, end = (rows_among(rows, data, name) for rows, name in ((subtract, "subtract"), (add, "add")))
        named = [" and ".join(map(str, rows)) for rows in (subtract, add)]
        words = f"from {observation(info)} {named[0]} to {observation(info)} {named[1]}"
    elif from_label is None or to_label is None or subtract or add:
        raise UserError("name a direction, by `from_label` and `to_label`, or by `subtract` and `add`.")
    else:
        (start, start_name), (end, end_name) = (
            _members(info, label, name, data, limit, split, labels)
            for label, name in ((from_label, "from_label"), (to_label, "to_label"))
        )
        words = f"from the mean of label {start_name} to that of label {end_name}"
    if images:
        rows = rows_among(images, data, "images")
    else:
        rows = start[:6] if from_label is not None else torch.arange(min(6, len(data)), device=data.device)
    if not strengths:
        raise UserError("`strengths`: name one or more.")
    multiples = torch.tensor(strengths, device=data.device)
    found = encode(model, guide, data, torch.cat([start, end, rows]), "means", seed, unseen)
    first, second, own = found.codes.split([len(start), len(end), len(rows)])
    along = direction(first, second)
    codes = shifted(own, along, multiples)
    x, shown = found.x[-len(rows) :], found.shown[-len(rows) :]
    y = labels_for(model, info, None, None if found.y is None else found.y[-len(rows) :])
    made = decode_ways(model, data, info, codes, None if y is None else y[:, None].expand(codes.shape[:2]), seed)
    moved = centre(model, info, f"z + strength × direction{', y' if labels else ''}", drawn="x" in made)
    return Samples(
        {"images": rows, "observations": x, "direction": along, "strengths": multiples, **made},
        info,
        f"{moved}, the direction {words}{saw_bits(data, info)}.",
        lambda caption: strips_of(
            info,
            torch.cat([shown[:, None], made.get("x", made["means"])], 1),
            [f"{split} {row}" for row in rows.tolist()],
            [observation(info), *[f"{strength:g}" for strength in strengths]],
            caption,
            (0,),
        ),
        axes={"index": rows.tolist(), "strength": strengths},
        along=info.names.of_labels(None if found.y is None else found.y[-len(rows) :]),
    )


def _members(
    info: DataInfo, label: Label, name: str, data: Dataset, limit: int, split: str, takes_labels: bool
) -> tuple[Tensor, str]:
    """The rows of a label among the first ones, and what it is called."""
    number = number_of(info, label, name)
    if takes_labels:
        raise UserError("this model is given the label, so z need not carry it; use `subtract` and `add`.")
    y = data.head(limit).y
    assert y is not None  # the data has labels, or it would have no such number
    members: Tensor = (y == number).nonzero().flatten()
    if not len(members):
        raise UserError(f"`{name}` {label}: none of the first {limit} {split} datapoints; raise `limit`.")
    return members, info.called([info.labels[number]])[0]


def direction(start: Tensor, end: Tensor) -> Tensor:
    """The mean of one group's codes less the mean of another's: what must be added to go from the one to the other.

    Args:
        start: codes ``(n, D)``.
        end: codes ``(m, D)``.

    Returns:
        ``(D,)``.
    """
    return end.mean(0) - start.mean(0)


def shifted(codes: Tensor, along: Tensor, strengths: Tensor) -> Tensor:
    """Codes moved along a direction, by each of several multiples of it.

    Args:
        codes: ``(n, D)``.
        along: ``(D,)``, or one for each code, ``(n, 1, D)``.
        strengths: ``(S,)``; 0 is the code itself.

    Returns:
        ``(n, S, D)``.
    """
    return codes[:, None] + strengths[:, None] * along
