"""Several codes of one observation, decoded: what q leaves open about it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.data.labels import Label
from ppl_vae.predictive.latent_space.codes import (
    GuideFor,
    decode_ways,
    encode,
    label_number,
    labels_for,
    rows_among,
    saw_bits,
)
from ppl_vae.predictive.rendering import centre, shows_means, strips_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.wording import amount, between_ends, element, observation, of_range
from ppl_vae.runtime.config import Count, in_range

_SHOWN = 5  # images, where none is named


@in_range
def several_codes(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    images: Sequence[int] = (),
    num_draws: Count = 8,
    label: Label | None = None,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """z₁, …, z_S ~ q(z | x) of each observation: images, observations, latents by site ``(rows, S, …)``, means.

    An encoder of a plain autoencoder has one code for an image; q has a distribution, and this is what it looks like in
    x. The draws are from torch's own generator.

    Args:
        model: p(x, z).
        guide: q(z | x); of a point all codes are the same.
        data: where the observations come from.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        images: rows of the data; by default the first five.
        num_draws: S, how many codes of each.
        label: that a conditional model decodes with; by default the observation's own.
        split: what the caption calls the data.
        seed: of the bits of grey levels, and of the noise of music.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: no such row; a label that the model does not know.
    """
    info = DataInfo.of(info)
    number = label_number(model, info, label)
    rows = rows_among(images or range(min(_SHOWN, len(data))), data, "images")
    found = encode(model, guide, data, rows, "samples", seed, unseen, num_draws)
    drawn = found.codes.unflatten(0, (len(rows), num_draws))
    y = labels_for(model, info, number, found.y)
    made = decode_ways(model, data, info, drawn, None if y is None else y[:, None].expand(drawn.shape[:2]), seed)
    shown = made.get("x", made["means"])
    given = "z" if y is None else "z, y"
    strips = torch.cat([found.shown[:, None], shown], 1)
    names = [f"{split} {row}" for row in rows.tolist()]
    return Samples(
        {"images": rows, "observations": found.x, **made},
        info,
        f"{centre(model, info, given, drawn='x' in made)} of {num_draws} draws z ~ q(z | x) of each datapoint; first "
        f"the datapoint itself{saw_bits(data, info)}.",
        lambda caption: strips_of(
            info, strips, names, ["x", *(f"draw {n + 1}" for n in range(num_draws))], caption, (0,)
        ),
        (_spread(info, made["means"]),) if num_draws > 1 and shows_means(model, info) else (),
        {f"{place:02d}": x for place, x in enumerate(strips.unbind(1))},
        axes={"index": rows.tolist(), "draw": range(num_draws)},
        along=info.names.of_labels(found.y),
    )


def _spread(info: DataInfo, means: Tensor) -> str:
    """How much the means ``(rows, S, *event)`` differ, of one observation."""
    scaled = torch.from_numpy(between_ends(info, means.cpu().numpy()))
    spread = amount(info, float(scaled.std(1).mean()))
    what = f"a {element(info)}'s mean has a standard deviation of {spread}{of_range(info)}"
    return f"spread   {what} over the codes of one {observation(info)}"
